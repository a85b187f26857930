// Dense factorisations (LAPACK, cuSOLVER); row-major, float64 or float32.
#pragma once

#include "backend/keys/operands.hpp"

namespace hesscore::kernels {

// The lower triangle of a (n, n) becomes L of a = L L'; the upper one is left as it was.
// info[0] (int32, in memory of the device) = 0, or the order of the first leading minor that is not
// positive definite.
struct Cholesky {
  static constexpr std::string_view name = "cholesky";
  struct Args {
    Out a, info;
    std::int64_t n;
    HC_OPERANDS(a, info)
  };
};

// b (rows, n): every row replaced by the solution of L L' x = b.
struct CholeskySolve {
  static constexpr std::string_view name = "cholesky_solve";
  struct Args {
    In l;
    Out b;
    std::int64_t n, rows;
    HC_OPERANDS(l, b)
  };
};

// a (n, n), symmetric, its lower triangle read: row i becomes the i-th eigenvector; values (n)
// ascending. info as above: 0, or the number of values that did not converge.
struct SymmetricEigen {
  static constexpr std::string_view name = "symmetric_eigen";
  struct Args {
    Out a, values, info;
    std::int64_t n;
    HC_OPERANDS(a, values, info)
  };
};

}  // namespace hesscore::kernels
