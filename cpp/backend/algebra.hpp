// Vector algebra on one device in one dtype, as solvers and optimizers write it.
#pragma once

#include <type_traits>

#include "backend/kernels.hpp"
#include "hesscore/device.hpp"

namespace hesscore {

// The kernels are looked up once, here. Pointers are of `dtype` and lie on `device`.
class Algebra {
 public:
  Algebra(Device& device, DType dtype);

  double dot(const void* x, const void* y, std::int64_t n) const;
  double norm(const void* x, std::int64_t n) const;
  bool all_finite(const void* x, std::int64_t n) const;

  void axpby(double a, const void* x, double b, void* y, std::int64_t n) const;  // y = a x + b y
  void scale(double a, const void* x, void* y, std::int64_t n) const;            // y = a x
  void copy(const void* x, void* y, std::int64_t n) const;
  // y[r] = x[r] for r < rows of n numbers, rows that many apart.
  void copy_rows(const void* x, std::int64_t stride_x, void* y, std::int64_t stride_y,
                 std::int64_t n, std::int64_t rows) const;
  void fill(double value, void* y, std::int64_t n) const;
  void power(const void* x, double shift, double exponent, void* y, std::int64_t n) const;

  // y[r] = d * x[r] for r < rows
  void multiply(const void* d, const void* x, void* y, std::int64_t n, std::int64_t rows = 1) const;

  double step_curvature(const math::UpdateSpec& spec, const void* m, const void* u,
                        std::int64_t n) const;
  struct UpdateArrays {
    void *w = nullptr, *m = nullptr, *u = nullptr;
    const void *g = nullptr, *d = nullptr;
    const double* square = nullptr;  // on the device
    void* mean = nullptr;
  };
  void update(const math::UpdateSpec& spec, const UpdateArrays& a, std::int64_t n) const;

 private:
  // Other threads wait meanwhile, and for each other's recordings.
  template <class Args>
  void run(void (*kernel)(void*, const Args&), const std::type_identity_t<Args>& args) const;

  Device* device_;
  std::size_t element_;
  Kernel<kernels::Dot> dot_;
  Kernel<kernels::AllFinite> all_finite_;
  Kernel<kernels::Axpby> axpby_;
  Kernel<kernels::Copy> scale_;
  Kernel<kernels::Fill> fill_;
  Kernel<kernels::Power> power_;
  Kernel<kernels::Multiply> multiply_;
  Kernel<kernels::Update> update_;
  Kernel<kernels::StepCurvature> step_curvature_;
};

}  // namespace hesscore
