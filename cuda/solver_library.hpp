// cuSOLVER, opened when it is first needed: it brings hundreds of megabytes that most programs do
// without.
#pragma once

#include <cusolverDn.h>

namespace hesscore::cuda {

// The functions that we call, by their own names.
struct SolverLibrary {
#define HC_SOLVER_FUNCTIONS(f)                                               \
  f(cusolverDnCreate) f(cusolverDnSetStream) f(cusolverDnCreateParams)       \
      f(cusolverDnXpotrf_bufferSize) f(cusolverDnXpotrf) f(cusolverDnXpotrs) \
          f(cusolverDnXsyevd_bufferSize) f(cusolverDnXsyevd)
#define HC_SOLVER_MEMBER(name) decltype(&::name) name;
  HC_SOLVER_FUNCTIONS(HC_SOLVER_MEMBER)
#undef HC_SOLVER_MEMBER
};

// Throws DeviceError in one sentence when it cannot be opened.
const SolverLibrary& solver_library();

}  // namespace hesscore::cuda
