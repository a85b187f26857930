// What Kronecker factors and KFAC share: factors at a point, and their damped inverses.
#pragma once

#include "curvature/factor_algebra.hpp"
#include "objective/impl.hpp"
#include "objective/kronecker_layout.hpp"

namespace hesscore {

// Writes the factors, in their layout, and what `also` asks for, after one forward pass; with the
// eigenbases of factors, `to` gets the second moments of the gradients in these. Returns the loss.
double evaluate_factors(Objective::Impl& f, const View& w, const Batch& batch,
                        const KroneckerOptions& options, const Mode& mode, void* to,
                        const Outputs& also, const void* bases = nullptr);

// Where inverses of factors lie: blocks that share a G are damped each in its own way.
KroneckerLayout inverse_layout(KroneckerLayout layout);

// (A + pi sqrt(damping) I)^-1 and (G + sqrt(damping) / pi I)^-1 of all blocks (Martens & Grosse
// 2015, section 6.3). Returns the first block where one is not positive definite, or null.
const KroneckerPlace* invert_factors(const FactorAlgebra& algebra, const KroneckerLayout& layout,
                                     const void* factors, double damping, void* inverses);

}  // namespace hesscore
