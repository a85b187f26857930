// LSMR as a state machine (Fong & Saunders 2011, algorithm in section 2.8, with their names): the
// scalars of one right-hand side.
#pragma once

#include "math/krylov_progress.hpp"

namespace hesscore::math {

struct LsmrState : KrylovProgress {
  // given
  double damp = 0, least_squares = 0;  // ||A'r|| this small against ||A|| ||r|| is the end

  double one = 1;
  double uu = 0, vv = 0;  // inner products

  // found: u = (A v - alpha u) / beta, v = (A'u - beta v) / alpha
  double alpha = 0, beta = 0, by_alpha = 0, by_beta = 0;
  // hbar = h - along_hbar hbar, x += step hbar, h = v - along_h h
  double along_hbar = 0, step = 0, along_h = 0;
  double gradient = 0;  // ||A'r||, with the damping

  double alphabar = 0, rho = 1, rhobar = 1, cbar = 1, sbar = 0, zetabar = 0, zeta = 0;
  double betadd = 0, betad = 0, rhodold = 1, tautildeold = 0, thetatilde = 0, d = 0, norm2 = 0;
};

namespace detail {

HC_HD double inverse_of(double x) { return x > 0 ? 1 / x : 0; }

HC_HD void rest(LsmrState& s) { s.step = 0; }

// The residual norm, by one more rotation of the other bidiagonal matrix (section 5.1).
HC_HD double lsmr_residual(LsmrState& s, double c, double sn, double chat, double shat,
                           double thetabar, double zeta_old) {
  const double acute = chat * s.betadd, check = -shat * s.betadd, hat = c * acute;
  s.betadd = -sn * acute;
  const double thetatilde_old = s.thetatilde;
  const Reflection q = reflection(s.rhodold, thetabar);
  s.thetatilde = q.s * s.rhobar;
  s.rhodold = q.c * s.rhobar;
  s.betad = -q.s * s.betad + q.c * hat;
  s.tautildeold = (zeta_old - thetatilde_old * s.tautildeold) / q.r;
  const double taud = (s.zeta - s.thetatilde * s.tautildeold) / s.rhodold;
  s.d += check * check;
  const double gap = s.betad - taud;
  return std::sqrt(s.d + gap * gap + s.betadd * s.betadd);
}

}  // namespace detail

// After u'u of the first residual.
HC_HD void lsmr_start(LsmrState& s) {
  s.beta = s.betadd = s.residual = s.recent[0] = std::sqrt(s.uu);
  s.by_beta = detail::inverse_of(s.beta);
  if (!is_number(s.uu)) s.stop(KrylovStatus::not_finite, s.uu);
  s.check();
}

// After v'v of the first A'u.
HC_HD void lsmr_begin(LsmrState& s) {
  s.alpha = s.alphabar = std::sqrt(s.vv);
  s.by_alpha = detail::inverse_of(s.alpha);
  s.norm2 = s.vv;
  s.zetabar = s.gradient = s.alpha * s.beta;
  if (!is_number(s.vv)) s.stop(KrylovStatus::not_finite, s.vv);
  if (s.running() && s.zetabar == 0) s.stop(KrylovStatus::least_squares, 0);
}

// After u'u of A v - alpha u.
HC_HD void lsmr_beta(LsmrState& s) {
  s.beta = std::sqrt(s.uu);
  s.by_beta = detail::inverse_of(s.beta);
}

// After v'v of A'u - beta v.
HC_HD void lsmr_advance(LsmrState& s) {
  if (s.running() && !(is_number(s.uu) && is_number(s.vv))) {
    s.stop(KrylovStatus::not_finite, s.vv);
  }
  if (!s.running()) return detail::rest(s);
  s.alpha = std::sqrt(s.vv);
  s.by_alpha = detail::inverse_of(s.alpha);
  const Reflection hat = reflection(s.alphabar, s.damp);
  const double rho_old = s.rho, rhobar_old = s.rhobar, zeta_old = s.zeta;
  const Reflection p = reflection(hat.r, s.beta);
  s.rho = p.r;
  const double theta = p.s * s.alpha;
  s.alphabar = p.c * s.alpha;
  const double thetabar = s.sbar * s.rho;
  const Reflection pbar = reflection(s.cbar * s.rho, theta);
  s.cbar = pbar.c;
  s.sbar = pbar.s;
  s.rhobar = pbar.r;
  if (!(s.rho * s.rhobar > 0)) {
    s.stop(KrylovStatus::least_squares, 0);
    return detail::rest(s);
  }
  s.zeta = s.cbar * s.zetabar;
  s.zetabar *= -s.sbar;
  s.along_hbar = -thetabar * s.rho / (rho_old * rhobar_old);
  s.step = s.zeta / (s.rho * s.rhobar);
  s.along_h = -theta / s.rho;
  s.norm2 += s.beta * s.beta;
  const double size = std::sqrt(s.norm2 + s.damp * s.damp);
  s.norm2 += s.vv;
  s.record(detail::lsmr_residual(s, p.c, p.s, hat.c, hat.s, thetabar, zeta_old));
  s.gradient = std::fabs(s.zetabar);
  s.check();
  const bool least = s.gradient <= s.least_squares * size * s.residual;
  if (least && s.status != KrylovStatus::converged) {
    s.stop(KrylovStatus::least_squares, s.gradient);
  }
}

}  // namespace hesscore::math
