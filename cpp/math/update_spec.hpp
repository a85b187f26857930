// UpdateSpec: one optimizer update as plain data. The formulas are in math/updates.hpp.
#pragma once

#include <cstdint>

#include "math/hd.hpp"

namespace hesscore::math {

enum class UpdateKind : std::int32_t { sgd, adam, sophia };

// sgd:   g += decay w;  m = momentum m + g  (first step: m = g);
//        w -= lr (nesterov ? g + momentum m : m)
// adam:  w -= lr decay w (decoupled) or g += decay w;  m = b1 m + (1-b1) g;
//        u = b2 u + (1-b2) (abs_moment ? |d| : d^2), d = g when absent;
//        w -= lr (m / c1) / ((u / c2)^power' + eps), c1, c2 the bias corrections,
//        power' = power / 2 for d^2 and power for |d|.
// sophia: w -= lr decay w;  m as in adam;  u = b2 u + (1-b2) d where there is a d;
//        w -= lr clip(m / max(gamma u, eps), -1, 1)
// First of all, g becomes g min(1, clip_norm / ||g||) or clip(g, -clip_value, clip_value), where
// these are not zero; last of all, a mean of w becomes ema mean + (1 - ema) w (first step: w).
struct UpdateSpec {
  UpdateKind kind = UpdateKind::sgd;
  double lr = 1e-3, momentum = 0, decay = 0;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, power = 1, gamma = 1;
  double correction1 = 1, correction2 = 1;  // 1 - beta^t
  bool nesterov = false, first = false, decoupled = false, abs_moment = false;
  double clip_norm = 0, clip_value = 0, ema = 0;
};

// What differs from step to step, in memory of the device, so that a recorded step can be run
// again. It begins as every run's clock does: seed and step of dropout, then one seed for each
// sampled quantity.
struct StepRecord {
  std::uint64_t seed = 0, step = 0, seeds[2] = {0, 0};
  std::int64_t first_row = 0;  // of the mini-batch, in the order of the epoch
  double lr = 0, correction1 = 1, correction2 = 1;
  std::uint64_t first = 0;  // is it the optimizer's first?
};

HC_HD UpdateSpec at_step(UpdateSpec spec, const StepRecord& r) {
  spec.lr = r.lr;
  spec.correction1 = r.correction1;
  spec.correction2 = r.correction2;
  spec.first = r.first != 0;
  return spec;
}

}  // namespace hesscore::math
