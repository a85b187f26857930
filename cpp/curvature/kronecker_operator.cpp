// Kronecker-factored matrices: one plan for each number of vectors.
#include "curvature/kronecker_operator.hpp"

#include <algorithm>

namespace hesscore {
namespace {

constexpr std::int64_t kMostVectors = 16;  // in one pass

}  // namespace

Plan& KroneckerOperator::plan(std::int64_t count) const {
  std::unique_ptr<Plan>& plan = plans_[count];
  if (!plan) {
    Emit e(device_.kernels(), dtype_);
    emit_kronecker_product(e, *layout_, form_, count, n_);
    plan = std::make_unique<Plan>(std::move(e), device_);
    plan->bind(kKroneckerFactors, factors_);
    plan->bind(kKroneckerMiddle, middle_);
  }
  return *plan;
}

void KroneckerOperator::apply(const void* v, void* out, std::int64_t count) const {
  const std::lock_guard device_lock(device_);  // the first one: callers may have it
  const std::lock_guard lock(mutex_);
  const auto row = n_ * static_cast<std::int64_t>(size_of(dtype_));
  for (std::int64_t done = 0; done < count;) {
    const std::int64_t some = std::min(kMostVectors, count - done);
    Plan& p = plan(some);
    p.bind(kPortV, static_cast<const std::byte*>(v) + done * row);
    p.bind(kPortOut, static_cast<std::byte*>(out) + done * row);
    p.run();
    done += some;
  }
}

}  // namespace hesscore
