// Vector algebra over a device's kernel table.
#include "backend/algebra.hpp"

#include <cmath>
#include <mutex>

namespace hesscore {

Algebra::Algebra(Device& device, DType dtype)
    : device_(&device),
      element_(size_of(dtype)),
      dot_(device.kernels().get<kernels::Dot>(dtype)),
      all_finite_(device.kernels().get<kernels::AllFinite>(dtype)),
      axpby_(device.kernels().get<kernels::Axpby>(dtype)),
      scale_(device.kernels().get<kernels::Copy>(dtype)),
      fill_(device.kernels().get<kernels::Fill>(dtype)),
      power_(device.kernels().get<kernels::Power>(dtype)),
      multiply_(device.kernels().get<kernels::Multiply>(dtype)),
      update_(device.kernels().get<kernels::Update>(dtype)),
      step_curvature_(device.kernels().get<kernels::StepCurvature>(dtype)) {}

template <class Args>
void Algebra::run(void (*kernel)(void*, const Args&),
                  const std::type_identity_t<Args>& args) const {
  const std::lock_guard lock(*device_);
  kernel(device_->stream(), args);
}

double Algebra::dot(const void* x, const void* y, std::int64_t n) const {
  double result = 0;
  run(dot_, {.x = In(x), .y = In(y), .n = n, .result = &result});
  return result;
}

double Algebra::norm(const void* x, std::int64_t n) const { return std::sqrt(dot(x, x, n)); }

bool Algebra::all_finite(const void* x, std::int64_t n) const {
  int result = 0;
  run(all_finite_, {.x = In(x), .n = n, .result = &result});
  return result != 0;
}

void Algebra::axpby(double a, const void* x, double b, void* y, std::int64_t n) const {
  run(axpby_, {.x = In(x), .y = Out(y), .n = n, .a = a, .b = b});
}

void Algebra::scale(double a, const void* x, void* y, std::int64_t n) const {
  run(scale_,
      {.x = In(x), .y = Out(y), .outer = 1, .inner = n, .stride_x = n, .stride_y = n, .scale = a});
}

void Algebra::copy(const void* x, void* y, std::int64_t n) const {
  device_->copy(y, x, static_cast<std::size_t>(n) * element_);
}

void Algebra::copy_rows(const void* x, std::int64_t stride_x, void* y, std::int64_t stride_y,
                        std::int64_t n, std::int64_t rows) const {
  run(scale_, {.x = In(x),
               .y = Out(y),
               .outer = rows,
               .inner = n,
               .stride_x = stride_x,
               .stride_y = stride_y});
}

void Algebra::fill(double value, void* y, std::int64_t n) const {
  run(fill_, {.y = Out(y), .n = n, .value = value});
}

void Algebra::power(const void* x, double shift, double exponent, void* y, std::int64_t n) const {
  run(power_, {.x = In(x), .y = Out(y), .n = n, .shift = shift, .exponent = exponent});
}

void Algebra::multiply(const void* d, const void* x, void* y, std::int64_t n,
                       std::int64_t rows) const {
  run(multiply_, {.a = In(d), .b = In(x), .y = Out(y), .n = n, .reps = rows, .rep_b = true});
}

void Algebra::update(const math::UpdateSpec& spec, const UpdateArrays& a, std::int64_t n) const {
  run(update_, {.w = Out(a.w),
                .m = Out(a.m),
                .u = Out(a.u),
                .g = In(a.g),
                .d = In(a.d),
                .n = n,
                .spec = spec,
                .square = In(a.square),
                .mean = Out(a.mean)});
}

double Algebra::step_curvature(const math::UpdateSpec& spec, const void* m, const void* u,
                               std::int64_t n) const {
  double result = 0;
  run(step_curvature_, {.m = In(m), .u = In(u), .n = n, .spec = spec, .result = &result});
  return result;
}

}  // namespace hesscore
