// Conjugate gradients on one row of many: one right-hand side, or the model in a trust region
// (Steihaug 1983). The recurrences of the norms in the trust region are those of Conn, Gould &
// Toint (2000), section 7.5.1.
#pragma once

#include "math/krylov_progress.hpp"

namespace hesscore::math {

struct CgRowState : KrylovProgress {
  // given; the radius is in the norm of the inverse preconditioner, 0: none
  double radius = 0;
  std::int64_t preconditioned = 0;

  // inner products
  double pq = 0, rr = 0, ry = 0;  // p'Ap, r'r, r'y with y = M r

  // found; a row that is done has alpha 0, fresh 0, beta 1, which changes nothing
  double alpha = 0, beta = 0, fresh = 1;
  double along = 0;               // r'y of the direction
  double pp = 0, xp = 0, xx = 0;  // in the norm of the trust region
  double model = 0;               // x'Ax / 2 - b'x
};

namespace detail {

HC_HD void rest(CgRowState& s) {
  s.alpha = s.fresh = 0;
  s.beta = 1;
}

// The positive root of ||x + t p|| = radius.
HC_HD double to_boundary(const CgRowState& s) {
  const double gap = s.radius * s.radius - s.xx;
  const double root = std::sqrt(s.xp * s.xp + s.pp * (gap > 0 ? gap : 0));
  return s.xp > 0 ? gap / (s.xp + root) : (root - s.xp) / s.pp;
}

HC_HD void check_direction(CgRowState& s) {
  if (s.preconditioned == 0) s.ry = s.rr;
  s.check();
  if (s.running() && !(s.ry > 0 && is_number(s.ry))) s.stop(KrylovStatus::indefinite, s.ry);
}

}  // namespace detail

// After r'r and r'y of the first residual.
HC_HD void cg_row_start(CgRowState& s) {
  s.residual = s.recent[0] = std::sqrt(s.rr);
  if (!is_number(s.rr)) s.stop(KrylovStatus::not_finite, s.rr);
  detail::check_direction(s);
  s.along = s.pp = s.ry;
  s.beta = 0;
  if (!s.running()) detail::rest(s);
}

// After p'Ap.
HC_HD void cg_row_curvature(CgRowState& s) {
  if (!s.running()) return detail::rest(s);
  s.worth = s.pq;
  if (!is_number(s.pq)) {
    s.stop(KrylovStatus::not_finite, s.pq);
    return detail::rest(s);
  }
  const bool bounded = s.radius > 0;
  s.alpha = s.pq > 0 ? s.along / s.pq : 0;
  const double xx = s.xx + s.alpha * (2 * s.xp + s.alpha * s.pp);
  if (bounded && (s.pq <= 0 || xx >= s.radius * s.radius)) {
    s.alpha = detail::to_boundary(s);
    s.stop(s.pq <= 0 ? KrylovStatus::negative_curvature : KrylovStatus::boundary, s.pq);
  } else if (s.pq <= 0) {  // no step beyond the first, which lowers the model
    s.first = s.iterations == 0;
    s.alpha = s.first;
    s.stop(KrylovStatus::negative_curvature, s.pq);
    if (s.first == 0) detail::rest(s);
  }
}

// After r -= alpha q, and r'r and r'y.
HC_HD void cg_row_advance(CgRowState& s) {
  if (s.alpha == 0) return detail::rest(s);
  s.model += s.alpha * (s.alpha * s.pq / 2 - s.along);
  s.xx += s.alpha * (2 * s.xp + s.alpha * s.pp);
  s.xp += s.alpha * s.pp;
  s.record(std::sqrt(s.rr));
  if (!is_number(s.rr)) s.stop(KrylovStatus::not_finite, s.rr);
  detail::check_direction(s);
  if (!s.running()) return detail::rest(s);
  s.beta = s.ry / s.along;
  s.xp *= s.beta;
  s.pp = s.ry + s.beta * s.beta * s.pp;
  s.along = s.ry;
}

// One more multiple of the identity, beside the row that has the smallest: the residuals of all are
// parallel, r_shift = zeta r (Frommer & Maass 1999).
struct CgShiftState {
  const CgRowState* base = nullptr;  // on the device
  double shift = 0;                  // above that of the base
  double zeta = 1, zeta_old = 1, alpha_old = 1, beta_old = 0;
  double alpha = 0, beta = 0, fresh = 1;
};

// After cg_row_curvature of the base: the step of this system.
HC_HD void cg_shift_step(CgShiftState& s) {
  const double alpha = s.base->alpha;
  s.alpha = 0;
  if (alpha == 0 || s.base->first != 0) return;
  const double below =
      alpha * s.beta_old * (s.zeta_old - s.zeta) + s.zeta_old * s.alpha_old * (1 + s.shift * alpha);
  const double next = below != 0 ? s.zeta * s.zeta_old * s.alpha_old / below : 0;
  s.alpha = s.zeta != 0 ? alpha * next / s.zeta : 0;
  s.zeta_old = s.zeta;
  s.zeta = next;
  s.alpha_old = alpha;
}

// After cg_row_advance of the base: its direction p = fresh r + beta p.
HC_HD void cg_shift_direction(CgShiftState& s) {
  const bool over = s.base->fresh == 0 || s.zeta_old == 0;
  const double ratio = over ? 0 : s.zeta / s.zeta_old;
  s.beta = over ? 1 : s.base->beta * ratio * ratio;
  s.fresh = over ? 0 : s.zeta;
  s.beta_old = s.base->beta;
}

}  // namespace hesscore::math
