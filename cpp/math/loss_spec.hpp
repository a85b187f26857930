// LossSpec: a loss as plain data, the way kernels receive it.
//
// z (N, C, D): sample n, logit c, position d; l acts on the C logits of one position.
//   cross_entropy  C classes; y labels int64 (N, D) or probabilities (N, C, D); class_weight (C)
//   gaussian_nll   C = 2 (mean, log-variance), y (N, D)
//   mse, bce, poisson_nll, huber    C = 1, y (N, D); bce: class_weight = pos_weight, 1 or D values
#pragma once

#include <cstdint>

#include "math/hd.hpp"

namespace hesscore::math {

enum class LossKind : std::int32_t {
  cross_entropy,
  mse,
  bce_with_logits,
  gaussian_nll,
  poisson_nll,
  huber
};

struct LossSpec {
  LossKind kind = LossKind::mse;
  std::int64_t samples = 0, classes = 1, positions = 1;
  bool mean = true;         // else sum
  bool soft = false;        // cross_entropy: y holds probabilities
  bool has_ignore = false;  // cross_entropy with labels: ignore_index counts nowhere
  std::int64_t ignore_index = -100;
  std::int64_t weights = 0;  // length of class_weight; 0 when absent
  double label_smoothing = 0;
  double delta = 1;  // huber
};

// Square-root columns of the loss Hessian: one less than classes for cross-entropy, whose Hessian
// has no curvature along (1, ..., 1).
HC_HD std::int64_t column_count(const LossSpec& s) {
  return (s.kind == LossKind::cross_entropy ? s.classes - 1 : s.classes) * s.positions;
}

// They are real but for the Gaussian NLL in (mean,
// log-variance), whose 2x2 Hessian has one negative eigenvalue: its second column counts
// negatively.
HC_HD double column_sign(const LossSpec& s, std::int64_t column) {
  return s.kind == LossKind::gaussian_nll && column >= s.positions ? -1.0 : 1.0;
}

}  // namespace hesscore::math
