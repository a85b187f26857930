// Conjugate gradients as a state machine (Hestenes & Stiefel 1952; stopping rule: Martens 2010):
// the scalars of an iteration and what follows from its inner products. One thread runs these.
#pragma once

#include <cmath>
#include <cstdint>

#include "math/hd.hpp"

namespace hesscore::math {

// As solve.hpp has it, with "running" before them.
enum class CgStatus : std::int32_t {
  running,
  converged,
  max_iterations,
  negative_curvature,
  breakdown
};

// Why it stopped, for the sentence of the report.
enum class CgReason : std::int32_t {
  none,
  tolerance,
  stalled,
  preconditioner,   // r'Mr is not positive
  product,          // p'Ap is not finite
  overflow,         // nor is the new residual
  first_residual,   // nor is the one at the start
  first_direction,  // of negative curvature, and taken
};

struct CgState {
  // given
  double scale = 1, shift = 0;  // of the operator: scale A + shift I
  double target = 0;            // stop at ||r|| <= target
  std::int64_t maxiter = 0;
  std::int64_t pause_at = 0;  // iteration at which the loop pauses for the host, running; 0: never
  std::int32_t martens = 0;
  double* history = nullptr;  // residual norms, one for each iteration and the start
  double* model = nullptr;    // phi, likewise; both in memory of the device
  // Iterates kept on the way, the latest so many `rows`: x at keep_at, given as 1, and from then on
  // at `spacing` times the iteration before. 0: none.
  void* ring = nullptr;
  std::int64_t rows = 0, keep_at = 0, kept = 0;
  double spacing = 1;

  // found
  std::int32_t go_on = 0;  // the loop's condition
  CgStatus status = CgStatus::running;
  CgReason reason = CgReason::none;
  std::int64_t iterations = 0;
  double residual = 0, phi = 0;
  double ry = 0, pp = 0;  // r'y, y = M r, and p'p
  double curvature = 0;   // p'Ap
  double alpha = 0, beta = 0;
};

HC_HD std::int64_t next_kept(std::int64_t iteration, double spacing) {
  return static_cast<std::int64_t>(std::ceil(static_cast<double>(iteration) * spacing));
}

// Where in the ring x (n) goes now; null: nowhere.
template <class T>
HC_HD T* place_to_keep(const CgState& s, std::int64_t n) {
  if (s.keep_at == 0 || s.iterations != s.keep_at) return nullptr;
  return static_cast<T*>(s.ring) + s.kept % s.rows * n;
}

namespace detail {

constexpr double kTiny = 5e-324;  // stands for a step that underflows: it is one all the same

HC_HD bool is_finite(double x) { return x - x == 0; }

HC_HD void stop(CgState& s, CgStatus status, CgReason reason) {
  s.status = status;
  s.reason = reason;
  s.go_on = 0;
}

HC_HD bool stalled(const CgState& s) {
  const std::int64_t i = s.iterations, k = i / 10 > 10 ? i / 10 : 10;
  if (i <= k || s.phi >= 0) return false;
  return (s.phi - s.model[i - k]) / s.phi < static_cast<double>(k) * 5e-4;
}

HC_HD void check_progress(CgState& s) {
  if (s.residual <= s.target) {
    stop(s, CgStatus::converged, CgReason::tolerance);
  } else if (s.martens != 0 && stalled(s)) {
    stop(s, CgStatus::converged, CgReason::stalled);
  } else if (s.iterations >= s.maxiter) {
    stop(s, CgStatus::max_iterations, CgReason::none);
  } else if (!(s.ry > 0 && is_finite(s.ry))) {
    stop(s, CgStatus::breakdown, CgReason::preconditioner);
  } else {
    s.go_on = s.pause_at > 0 && s.iterations == s.pause_at ? 0 : 1;
  }
}

}  // namespace detail

// Inner products of y = M r with what is there.
struct CgSums {
  double rr, ry, yy, yp;
};

// The first residual and direction, before any iteration. The caller has set phi of its start.
HC_HD void cg_start(CgState& s, const CgSums& d) {
  s.residual = std::sqrt(d.rr);
  s.ry = d.ry;
  s.pp = d.yy;
  s.alpha = s.beta = 0;
  s.history[0] = s.residual;
  s.model[0] = s.phi;
  if (!detail::is_finite(d.rr)) {
    return detail::stop(s, CgStatus::breakdown, CgReason::first_residual);
  }
  detail::check_progress(s);
}

// alpha for the direction at hand, given <u, v> of kernels::CgCurvature; 0 says that there is no
// iteration: the loop has stopped, or stops here. On p'Ap <= 0 the last iterate stays, but the very
// first direction is taken, since it lowers the model.
HC_HD void cg_curvature(CgState& s, double uv) {
  s.alpha = 0;
  if (s.go_on == 0) return;
  s.curvature = s.scale * uv + s.shift * s.pp;
  if (!detail::is_finite(s.curvature)) {
    return detail::stop(s, CgStatus::breakdown, CgReason::product);
  }
  if (s.curvature > 0) {
    s.alpha = s.ry / s.curvature;
    if (s.alpha == 0) s.alpha = detail::kTiny;
  } else if (s.iterations == 0) {
    s.alpha = 1;
  } else {
    detail::stop(s, CgStatus::negative_curvature, CgReason::none);
  }
}

// After r -= alpha A p.
HC_HD void cg_advance(CgState& s, const CgSums& d) {
  if (s.alpha == 0) return;
  if (!detail::is_finite(d.rr)) {
    s.alpha = 0;
    return detail::stop(s, CgStatus::breakdown, CgReason::overflow);
  }
  if (s.keep_at > 0 && s.iterations == s.keep_at) {
    ++s.kept;
    s.keep_at = next_kept(s.keep_at, s.spacing);
  }
  s.phi += s.alpha * (s.alpha * s.curvature / 2 - s.ry);
  s.residual = std::sqrt(d.rr);
  ++s.iterations;
  s.history[s.iterations] = s.residual;
  s.model[s.iterations] = s.phi;
  s.beta = d.ry / s.ry;
  s.ry = d.ry;
  s.pp = d.yy + s.beta * (2 * d.yp + s.beta * s.pp);
  if (s.curvature <= 0) {
    return detail::stop(s, CgStatus::negative_curvature, CgReason::first_direction);
  }
  detail::check_progress(s);
}

}  // namespace hesscore::math
