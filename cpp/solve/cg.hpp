// Conjugate gradients in memory that the caller keeps: a solve inside a training step allocates no
// vector.
#pragma once

#include "hesscore/solve.hpp"

namespace hesscore {

// Iterates on the way: that of iteration 1, and from then on of `spacing` times the iteration
// before. The latest `rows` of them stay.
struct KeptIterates {
  std::int64_t rows = 0;
  double spacing = 1.3;

  std::vector<std::int64_t> iterations;  // of the last solve, those that are no more included
  Vector ring;                           // the k-th in row k % rows
  const void* at(std::size_t k) const;
};

// Residual r, direction p, q = A p, and y = M r; with Krylov coordinates also the solution z in
// them, and the start and its residual as vectors. Made by the first solve that needs them.
struct CgWorkspace {
  Vector r, p, q, y, z, start, residual;
  KeptIterates kept;
};

SolveReport cg(const LinearOperator& A, View b, View x, const CgOptions& options,
               CgWorkspace& workspace);

// `resident`: with the work of A.resident_cg(), if it has some, or as a row of cg_rows, if that has
// all that is asked for; else the host drives the iterations, in Krylov coordinates where A knows
// some. Devices other than the host prefer the first two.
SolveReport cg(const LinearOperator& A, View b, View x, const CgOptions& options,
               CgWorkspace& workspace, bool resident);

}  // namespace hesscore
