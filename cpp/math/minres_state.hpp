// MINRES as a state machine (Paige & Saunders 1975): the scalars of one right-hand side.
#pragma once

#include "math/krylov_progress.hpp"

namespace hesscore::math {

struct MinresState : KrylovProgress {
  double least_squares = 0;  // given: ||A r|| this small against ||A|| ||r|| is the end

  // inner products
  double ry = 0, vq = 0;  // r'y with y = M r, and v'Av

  // found; a state that is done has factors that change nothing
  double inverse = 0;                                    // v = y / beta
  double old_part = 0, new_part = 0;                     // q -= old_part r1 + new_part r2
  double along_old = 0, along = 0, fresh = 0, step = 0;  // w, and x += step w
  double beta = 0, beta_old = 0, dbar = 0, epsilon = 0, phibar = 0, c = -1, s = 0, norm2 = 0;
};

namespace detail {

HC_HD void rest(MinresState& s) {
  s.old_part = s.new_part = s.along_old = s.along = s.fresh = s.step = 0;
  s.inverse = 0;
}

}  // namespace detail

// After r'y of the first residual.
HC_HD void minres_start(MinresState& s) {
  s.beta = s.phibar = s.residual = s.recent[0] = s.ry > 0 ? std::sqrt(s.ry) : 0;
  s.inverse = s.beta > 0 ? 1 / s.beta : 0;
  if (!is_number(s.ry)) s.stop(KrylovStatus::not_finite, s.ry);
  if (s.ry < 0) s.stop(KrylovStatus::indefinite, s.ry);
  s.check();
  if (!s.running()) detail::rest(s);
}

// After v'Av, of q = A v - old_part r1.
HC_HD void minres_alpha(MinresState& s) {
  if (!s.running()) return detail::rest(s);
  s.new_part = s.vq / s.beta;
  if (!is_number(s.vq)) {
    s.stop(KrylovStatus::not_finite, s.vq);
    detail::rest(s);
  }
}

// After r'y of the next Lanczos vector: one more column of T is reduced.
HC_HD void minres_advance(MinresState& s) {
  if (!s.running()) return detail::rest(s);
  if (!is_number(s.ry)) s.stop(KrylovStatus::not_finite, s.ry);
  if (s.ry < 0) s.stop(KrylovStatus::indefinite, s.ry);
  if (!s.running()) return detail::rest(s);
  s.beta_old = s.beta;
  s.beta = std::sqrt(s.ry);
  const double alpha = s.vq, old_beta = s.beta_old;
  s.norm2 += alpha * alpha + s.beta * s.beta + (s.iterations > 0 ? old_beta * old_beta : 0);
  const double epsilon_old = s.epsilon;
  const double delta = s.c * s.dbar + s.s * alpha, gbar = s.s * s.dbar - s.c * alpha;
  const double size = std::sqrt(s.norm2), root = std::hypot(gbar, s.c * s.beta);
  // ||A r|| of the residual before this step, r = phibar v: the step may divide by nothing
  if (s.iterations > 0 && root <= s.least_squares * size) {
    s.stop(KrylovStatus::least_squares, root * s.phibar);
    return detail::rest(s);
  }
  const double gamma = std::hypot(gbar, s.beta);
  if (!(gamma > 1e-300)) {
    s.stop(KrylovStatus::least_squares, 0);
    return detail::rest(s);
  }
  s.epsilon = s.s * s.beta;
  s.dbar = -s.c * s.beta;
  s.c = gbar / gamma;
  s.s = s.beta / gamma;
  s.step = s.c * s.phibar;
  s.phibar *= s.s;
  s.fresh = 1 / gamma;
  s.along_old = -epsilon_old / gamma;
  s.along = -delta / gamma;
  s.record(s.phibar);
  s.check();
}

// After w and x: what the next product takes.
HC_HD void minres_next(MinresState& s) {
  if (!s.running()) return detail::rest(s);
  s.inverse = s.beta > 0 ? 1 / s.beta : 0;
  s.old_part = s.beta / s.beta_old;
  if (s.beta == 0) {
    s.stop(KrylovStatus::least_squares, 0);
    detail::rest(s);
  }
}

}  // namespace hesscore::math
