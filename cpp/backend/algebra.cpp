// Vector algebra over a device's kernel table.
#include "backend/algebra.hpp"

#include <cmath>

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
      update_(device.kernels().get<kernels::Update>(dtype)) {}

double Algebra::dot(const void* x, const void* y, std::int64_t n) const {
  double result = 0;
  dot_(device_->stream(), {.x = In(x), .y = In(y), .n = n, .result = &result});
  return result;
}

double Algebra::norm(const void* x, std::int64_t n) const { return std::sqrt(dot(x, x, n)); }

bool Algebra::all_finite(const void* x, std::int64_t n) const {
  int result = 0;
  all_finite_(device_->stream(), {.x = In(x), .n = n, .result = &result});
  return result != 0;
}

void Algebra::axpby(double a, const void* x, double b, void* y, std::int64_t n) const {
  axpby_(device_->stream(), {.x = In(x), .y = Out(y), .n = n, .a = a, .b = b});
}

void Algebra::scale(double a, const void* x, void* y, std::int64_t n) const {
  scale_(
      device_->stream(),
      {.x = In(x), .y = Out(y), .outer = 1, .inner = n, .stride_x = n, .stride_y = n, .scale = a});
}

void Algebra::copy(const void* x, void* y, std::int64_t n) const {
  device_->copy(y, x, static_cast<std::size_t>(n) * element_);
}

void Algebra::fill(double value, void* y, std::int64_t n) const {
  fill_(device_->stream(), {.y = Out(y), .n = n, .value = value});
}

void Algebra::power(const void* x, double shift, double exponent, void* y, std::int64_t n) const {
  power_(device_->stream(),
         {.x = In(x), .y = Out(y), .n = n, .shift = shift, .exponent = exponent});
}

void Algebra::multiply(const void* d, const void* x, void* y, std::int64_t n,
                       std::int64_t rows) const {
  multiply_(device_->stream(),
            {.a = In(d), .b = In(x), .y = Out(y), .n = n, .reps = rows, .rep_b = true});
}

void Algebra::update(const math::UpdateSpec& spec, void* w, void* m, void* u, const void* g,
                     const void* d, std::int64_t n) const {
  update_(device_->stream(),
          {.w = Out(w), .m = Out(m), .u = Out(u), .g = In(g), .d = In(d), .n = n, .spec = spec});
}

}  // namespace hesscore
