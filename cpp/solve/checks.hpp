// What solvers ask of their arguments.
#pragma once

#include "hesscore/solve.hpp"

namespace hesscore {

// A vector (n,), or with `rows` an array (K, n) of them.
void check_vector(const char* name, const View& v, const LinearOperator& A, bool rows = false);
void check_like(const char* name, const LinearOperator& M, const LinearOperator& A);
void check_tolerance(const char* name, double value);
void check_count(const char* name, std::int64_t value, std::int64_t low, std::int64_t high);

}  // namespace hesscore
