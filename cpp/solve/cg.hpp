// Conjugate gradients in memory that the caller keeps: a solve inside a training step allocates no
// vector.
#pragma once

#include "hesscore/solve.hpp"

namespace hesscore {

// Residual r, direction p, q = A p, and y = M r; with Krylov coordinates also the solution z in
// them, and the start and its residual as vectors. Made by the first solve that needs them.
struct CgWorkspace {
  Vector r, p, q, y, z, start, residual;
};

SolveReport cg(const LinearOperator& A, View b, View x, const CgOptions& options,
               CgWorkspace& workspace);

}  // namespace hesscore
