// SGD, Adam (Kingma & Ba 2015) and AdamW (Loshchilov & Hutter 2019).
#include "optim/elementwise.hpp"

namespace hesscore {

std::unique_ptr<Optimizer::Impl> make_method(const Objective& f, const Sgd& m) {
  const math::UpdateSpec spec{.kind = math::UpdateKind::sgd,
                              .momentum = m.momentum,
                              .decay = m.weight_decay,
                              .nesterov = m.nesterov};
  return make_elementwise(f, {.lr = m.lr, .spec = spec});
}

std::unique_ptr<Optimizer::Impl> make_method(const Objective& f, const Adam& m) {
  return make_elementwise(f, {.lr = m.lr, .spec = adam_spec(m)});
}

std::unique_ptr<Optimizer::Impl> make_method(const Objective& f, const AdamW& m) {
  math::UpdateSpec spec = adam_spec(m);
  spec.decoupled = true;
  return make_elementwise(f, {.lr = m.lr, .spec = spec});
}

}  // namespace hesscore
