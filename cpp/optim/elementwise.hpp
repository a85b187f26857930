// Methods whose update is element-wise in (w, gradient, diagonal curvature, moments).
#pragma once

#include <optional>

#include "optim/impl.hpp"

namespace hesscore {

struct Elementwise {
  Rate lr;
  math::UpdateSpec spec;
  std::optional<Diag> diag = {};  // the second moment is that of the gradient without
  int samples = 1;
  std::uint64_t seed = 0;
  std::int64_t interval = 1;        // steps from one diagonal to the next
  bool frozen = false;              // bias corrections of the first step, for ever
  double delta = 0, max_scale = 1;  // AdaHesScale's
};

std::unique_ptr<Optimizer::Impl> make_elementwise(const Objective& f, Elementwise method);

// The fields that all methods of Adam's family share.
template <class M>
math::UpdateSpec adam_spec(const M& m) {
  return {.kind = math::UpdateKind::adam,
          .decay = m.weight_decay,
          .beta1 = m.beta1,
          .beta2 = m.beta2,
          .eps = m.eps};
}

}  // namespace hesscore
