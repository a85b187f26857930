// The kernels of Krylov methods.
#include "solve/krylov.hpp"

#include <mutex>

namespace hesscore {

KrylovKernels::KrylovKernels(Device& device, DType dtype)
    : device_(device),
      dots_(device.kernels().get<kernels::RowDots>(dtype)),
      combine_(device.kernels().get<kernels::Combine>(dtype)),
      step_(device.kernels().get<kernels::KrylovStep>(dtype)),
      product_(device.kernels().get<kernels::Product>(dtype)) {}

void KrylovKernels::dots(const kernels::RowDots::Args& args) const {
  const std::lock_guard lock(device_);
  dots_(device_.stream(), args);
}

void KrylovKernels::combine(const kernels::Combine::Args& args) const {
  const std::lock_guard lock(device_);
  combine_(device_.stream(), args);
}

void KrylovKernels::step(const kernels::KrylovStep::Args& args) const {
  const std::lock_guard lock(device_);
  step_(device_.stream(), args);
}

void KrylovKernels::product(const kernels::Product::Args& args) const {
  const std::lock_guard lock(device_);
  product_(device_.stream(), args);
}

}  // namespace hesscore
