// What products ask of their arguments.
#pragma once

#include <limits>
#include <string>

#include "backend/kernels.hpp"

namespace hesscore::cuda {

template <class T>
constexpr DType kDType = sizeof(T) == 4 ? DType::f32 : DType::f64;

inline int extent(std::int64_t n) {
  if (n > std::numeric_limits<int>::max()) {
    throw UnsupportedError("CUDA products take up to 2^31 - 1 rows, columns and terms, not " +
                           std::to_string(n));
  }
  return static_cast<int>(n);
}

// Whether rows of `length` numbers, and the matrices of a batch, all begin at a multiple of 16
// bytes.
template <class T>
bool may_copy_wide(const void* x, std::int64_t length, std::int64_t stride) {
  constexpr auto kNumbers = static_cast<std::int64_t>(16 / sizeof(T));
  return reinterpret_cast<std::uintptr_t>(x) % 16 == 0 && length % kNumbers == 0 &&
         stride % kNumbers == 0;
}

}  // namespace hesscore::cuda
