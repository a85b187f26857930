// The Lanczos process as a state machine (Lanczos 1950; in the order of Paige 1972): the scalars of
// one run.
#pragma once

#include <cmath>
#include <cstdint>

#include "math/hd.hpp"

namespace hesscore::math {

struct LanczosState {
  // given
  double tolerance = 0;      // an off-diagonal below this multiple of ||T|| ends the run
  double* alphas = nullptr;  // diagonal and off-diagonal of T, in memory of the device
  double* betas = nullptr;
  std::int64_t step = 0;  // of the next pair

  // inner products
  double alpha = 0, squared = 0;  // v'Av and w'w

  // found
  double inverse = 0;       // 1 / ||w||, 0 once the run is over
  double beta = 0;          // of the step before
  double norm = 0;          // the largest row sum of T
  std::int64_t length = 0;  // of T once the run is over
  std::int32_t done = 0, finite = 1;
};

// After w'w of the starting vector.
HC_HD void lanczos_start(LanczosState& s) {
  s.done = s.squared > 0 ? 0 : 1;
  s.finite = s.squared - s.squared == 0;
  s.inverse = s.squared > 0 ? 1 / std::sqrt(s.squared) : 0;
  s.beta = 0;
}

// After v'Av.
HC_HD void lanczos_alpha(LanczosState& s) {
  if (s.done != 0) s.alpha = s.beta = 0;
  s.alphas[s.step] = s.alpha;
}

// After ||w||^2 of w = A v - alpha v - beta v_old. Where w vanishes, an invariant subspace has been
// found and the run is over; vectors are zero from there on.
HC_HD void lanczos_beta(LanczosState& s) {
  const double beta = std::sqrt(s.squared), size = s.beta + std::fabs(s.alpha) + beta;
  s.finite = s.finite != 0 && size - size == 0;
  if (size > s.norm) s.norm = size;
  const bool over = s.done != 0 || !(beta > s.tolerance * s.norm) || s.finite == 0;
  s.beta = over ? 0 : beta;
  s.inverse = over ? 0 : 1 / beta;
  s.betas[s.step] = s.beta;
  ++s.step;
  if (over && s.done == 0) s.length = s.step;
  if (over) s.done = 1;
}

}  // namespace hesscore::math
