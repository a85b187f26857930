// Inverses and eigenproblems of single factors.
#include "curvature/factor_algebra.hpp"

#include <mutex>

namespace hesscore {

FactorAlgebra::FactorAlgebra(Device& device, DType dtype)
    : device_(device),
      dtype_(dtype),
      algebra_(device, dtype),
      info_(device, sizeof(std::int32_t)) {}

void FactorAlgebra::strided_copy(const void* x, std::int64_t step_x, Out y, std::int64_t step_y,
                                 std::int64_t n, double scale) const {
  const std::lock_guard lock(device_);
  device_.kernels().get<kernels::Copy>(dtype_)(device_.stream(),
                                               {In(x), y, n, 1, step_x, step_y, scale});
}

std::vector<double> FactorAlgebra::values(const void* x, std::int64_t n,
                                          std::int64_t stride) const {
  const Vector copy(device_, dtype_, n);
  strided_copy(x, stride, Out(copy.data()), 1, n);
  return copy.to_host();
}

void FactorAlgebra::set(const std::vector<double>& values, void* to) const {
  const auto n = static_cast<std::int64_t>(values.size());
  Vector copy(device_, dtype_, n);
  copy.from_host(values);
  algebra_.copy(copy.data(), to, n);
  device_.synchronize();
}

std::int32_t FactorAlgebra::info() const {
  std::int32_t value = 0;
  device_.to_host(&value, info_.data(), sizeof value);
  return value;
}

bool FactorAlgebra::inverse(const void* a, double shift, void* out, std::int64_t n) const {
  const Vector work(device_, dtype_, n * n), one(device_, dtype_, 1);
  algebra_.fill(1, one.data(), 1);
  algebra_.copy(a, work.data(), n * n);
  strided_copy(one.data(), 0, Out(work.data(), true), n + 1, n, shift);
  algebra_.fill(0, out, n * n);
  strided_copy(one.data(), 0, Out(out), n + 1, n);
  const std::lock_guard lock(device_);
  const KernelTable& kernels = device_.kernels();
  kernels.get<kernels::Cholesky>(dtype_)(device_.stream(),
                                         {Out(work.data()), Out(info_.data()), n});
  if (info() != 0) return false;
  kernels.get<kernels::CholeskySolve>(dtype_)(device_.stream(), {In(work.data()), Out(out), n, n});
  device_.synchronize();
  return true;
}

std::vector<double> FactorAlgebra::eigen(const void* a, void* out, std::int64_t n) const {
  const Vector values(device_, dtype_, n);
  algebra_.copy(a, out, n * n);
  {
    const std::lock_guard lock(device_);
    device_.kernels().get<kernels::SymmetricEigen>(dtype_)(
        device_.stream(), {Out(out), Out(values.data()), Out(info_.data()), n});
  }
  if (info() != 0) throw NonFiniteError("the eigenvalues of a Kronecker factor did not converge");
  return values.to_host();
}

}  // namespace hesscore
