// Truncated conjugate gradients in a trust region (Steihaug 1983; Toint 1981).
#pragma once

#include "hesscore/solve.hpp"

namespace hesscore {

struct SteihaugResult {
  SolveReport report;
  double model;  // x'Ax / 2 - b'x
};

// From x = 0, which becomes the step; ||x|| <= radius in the norm of the inverse preconditioner.
SteihaugResult steihaug(const LinearOperator& A, View b, View x, double radius,
                        const KrylovOptions& options);

void check_krylov(const LinearOperator& A, const KrylovOptions& options);

}  // namespace hesscore
