// Conjugate gradients on a curvature matrix as phases of one plan, all scalars in a math::CgState.
//
// For a Gauss-Newton matrix, A = J' K J with K at the outputs (the loss's Hessian, or the columns
// of a Fisher matrix), the step length is known halfway through the product: with dz = J p
//
//   p'(a A + b I)p = a <dz, K dz> + b p'p,
//
// sums over the batch's outputs, a sum of squares where K is one, and p'p follows from the last
// iteration: p = y + beta p_ with y = M r, so
//
//   p'p = y'y + 2 beta y'p_ + beta^2 p_'p_,
//
// whose inner products the pass over the new residual takes along with r'r and r'y. The backward
// pass then starts from -alpha a K dz and adds straight onto r. A p is never formed, and an
// iteration reads the long vectors twice: r -= alpha b p with four sums, then x += alpha p and the
// new p.
//
// An indefinite Hessian takes the textbook's form: q = A p, p'q, then the same two passes.
#pragma once

#include "objective/request.hpp"
#include "ops/loss.hpp"
#include "plan/sweep.hpp"

namespace hesscore {

enum CgPort : int { kCgX = 64, kCgResidual, kCgDirection, kCgDiagonal, kCgState };

enum CgPhase : std::size_t {
  kCgLinearise,
  kCgApply,    // kPortV to kPortOut
  kCgStart,    // the first direction, from the residual
  kCgIterate,  // once; without effect after the end
};

// `preconditioned`: by the diagonal at kCgDiagonal.
void compose_cg(const Request& product, const Graph& graph, const LossModel& loss, Emit& e,
                bool preconditioned);

}  // namespace hesscore
