// How far a solve on the device has come: what the host reads when it has a look.
#pragma once

#include <cmath>
#include <cstdint>

#include "math/hd.hpp"

namespace hesscore::math {

constexpr std::int64_t kRecent = 16;  // the host looks at least that often

enum class KrylovStatus : std::int32_t {
  running,
  converged,      // the residual reached its target
  least_squares,  // no residual is smaller
  max_iterations,
  negative_curvature,
  boundary,    // of the trust region, along a direction of positive curvature
  indefinite,  // the preconditioner is
  not_finite,
};

struct KrylovProgress {
  // given
  double target = 0;
  std::int64_t maxiter = 0;
  // found
  KrylovStatus status = KrylovStatus::running;
  std::int32_t first = 0;  // a first direction of negative curvature was taken
  std::int64_t iterations = 0;
  double residual = 0, worth = 0;  // what `status` is about: p'Ap, r'Mr
  double recent[kRecent] = {};     // residuals, that of iteration i at i % kRecent

  HC_HD bool running() const { return status == KrylovStatus::running; }
  HC_HD void stop(KrylovStatus why, double value) {
    status = why;
    worth = value;
  }
  // Counts an iteration with this residual.
  HC_HD void record(double norm) {
    residual = norm;
    recent[++iterations % kRecent] = norm;
  }
  HC_HD void check() {
    if (!running()) return;
    if (residual <= target) {
      status = KrylovStatus::converged;
    } else if (iterations >= maxiter) {
      status = KrylovStatus::max_iterations;
    }
  }
};

HC_HD bool is_number(double x) { return x - x == 0; }

// (c, s, r) with [c s; s -c] (a, b)' = (r, 0)'.
struct Reflection {
  double c, s, r;
};
HC_HD Reflection reflection(double a, double b) {
  if (b == 0) return {a < 0 ? -1.0 : 1.0, 0, std::fabs(a)};
  const double r = std::hypot(a, b);
  return {a / r, b / r, r};
}

}  // namespace hesscore::math
