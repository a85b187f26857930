// Thin typed wrappers over LAPACK: row-major arrays in, exceptions out.
#pragma once

#include <cstdint>

namespace hesscore::lapack {

// Replaces a (rows, cols), row-major, by the orthonormal factor of its QR decomposition:
// orthonormal columns if rows >= cols, orthonormal rows otherwise. R's diagonal is made positive,
// so that a Gaussian `a` gives a uniformly distributed result (Mezzadri 2007).
void qr_orthonormal(double* a, std::int64_t rows, std::int64_t cols);

// The keys of backend/kernels.hpp, for float and double: what they leave in `info` is returned.
template <class T>
int cholesky(T* a, std::int64_t n);
template <class T>
void cholesky_solve(const T* l, T* b, std::int64_t n, std::int64_t rows);
template <class T>
int symmetric_eigen(T* a, T* values, std::int64_t n);

}  // namespace hesscore::lapack
