// Inverses and eigenproblems of single factors, on the device.
#pragma once

#include "backend/algebra.hpp"
#include "hesscore/vector.hpp"

namespace hesscore {

class FactorAlgebra {
 public:
  FactorAlgebra(Device& device, DType dtype);

  const void* at(const void* p, std::int64_t i) const {
    return static_cast<const std::byte*>(p) + i * static_cast<std::int64_t>(size_of(dtype_));
  }
  void* at(void* p, std::int64_t i) const {
    return static_cast<std::byte*>(p) + i * static_cast<std::int64_t>(size_of(dtype_));
  }
  // `stride` elements apart, on the host.
  std::vector<double> values(const void* x, std::int64_t n, std::int64_t stride = 1) const;
  std::vector<double> diagonal(const void* a, std::int64_t n) const { return values(a, n, n + 1); }
  void set(const std::vector<double>& values, void* to) const;
  // (a + shift I)^-1 of a symmetric a (n, n); false if that is not positive definite.
  bool inverse(const void* a, double shift, void* out, std::int64_t n) const;
  // out = the eigenvectors of a as rows; their values, ascending, are returned.
  std::vector<double> eigen(const void* a, void* out, std::int64_t n) const;

 private:
  void strided_copy(const void* x, std::int64_t step_x, Out y, std::int64_t step_y, std::int64_t n,
                    double scale = 1) const;
  std::int32_t info() const;

  Device& device_;
  DType dtype_;
  Algebra algebra_;
  Buffer info_;
};

}  // namespace hesscore
