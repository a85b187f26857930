// UpdateSpec: one optimizer update as plain data. The formulas are in math/updates.hpp.
#pragma once

#include <cstdint>

namespace hesscore::math {

enum class UpdateKind : std::int32_t { sgd, adam };

// sgd:   g += decay w;  m = momentum m + g  (first step: m = g);
//        w -= lr (nesterov ? g + momentum m : m)
// adam:  w -= lr decay w (decoupled) or g += decay w;  m = b1 m + (1-b1) g;
//        u = b2 u + (1-b2) (abs_moment ? |d| : d^2), d = g when absent;
//        w -= lr (m / c1) / ((u / c2)^power' + eps), c1, c2 the bias corrections,
//        power' = power / 2 for d^2 and power for |d|.
struct UpdateSpec {
  UpdateKind kind = UpdateKind::sgd;
  double lr = 1e-3, momentum = 0, decay = 0;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, power = 1;
  double correction1 = 1, correction2 = 1;  // 1 - beta^t
  bool nesterov = false, first = false, decoupled = false, abs_moment = false;
};

}  // namespace hesscore::math
