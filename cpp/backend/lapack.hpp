// Thin typed wrappers over LAPACK: row-major arrays in, exceptions out.
#pragma once

#include <cstdint>

namespace hesscore::lapack {

// Replaces a (rows, cols), row-major, by the orthonormal factor of its QR decomposition:
// orthonormal columns if rows >= cols, orthonormal rows otherwise. R's diagonal is made positive,
// so that a Gaussian `a` gives a uniformly distributed result (Mezzadri 2007).
void qr_orthonormal(double* a, std::int64_t rows, std::int64_t cols);

}  // namespace hesscore::lapack
