// A Kronecker-factored matrix as an operator.
#pragma once

#include <map>
#include <mutex>

#include "curvature/kronecker_product.hpp"
#include "plan/plan.hpp"

namespace hesscore {

class KroneckerOperator final : public LinearOperator {
 public:
  // Reads `factors` and, of the spectral form, `middle`, which may be kept alive by `keep`.
  KroneckerOperator(Device& device, DType dtype, std::int64_t n,
                    std::shared_ptr<const KroneckerLayout> layout, KroneckerForm form,
                    const void* factors, const void* middle, std::vector<Vector> keep = {})
      : device_(device),
        dtype_(dtype),
        n_(n),
        layout_(std::move(layout)),
        form_(form),
        factors_(factors),
        middle_(middle),
        keep_(std::move(keep)) {}

  std::int64_t size() const override { return n_; }
  DType dtype() const override { return dtype_; }
  Device& device() const override { return device_; }
  void apply(const void* v, void* out, std::int64_t count = 1) const override;

 private:
  Plan& plan(std::int64_t count) const;

  Device& device_;
  DType dtype_;
  std::int64_t n_;
  std::shared_ptr<const KroneckerLayout> layout_;
  KroneckerForm form_;
  const void *factors_, *middle_;
  std::vector<Vector> keep_;
  mutable std::map<std::int64_t, std::unique_ptr<Plan>> plans_;  // by the number of vectors
  mutable std::mutex mutex_;
};

}  // namespace hesscore
