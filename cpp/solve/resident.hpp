// Conjugate gradients that a device runs by itself: the host starts them, pauses them for a
// callback, and reads the outcome.
#pragma once

#include "solve/cg.hpp"

namespace hesscore {

// Where the iterations begin.
struct CgStart {
  const void* residual;
  double phi, target;
  std::int64_t maxiter;
};

// Can this preconditioner, or none, go along?
bool fits_resident(const LinearOperator* preconditioner);

// Runs them from `x` on, which gets the solution.
SolveReport run_resident(const LinearOperator::Resident& A, const View& x, const CgStart& start,
                         const CgOptions& options, KeptIterates& kept);

}  // namespace hesscore
