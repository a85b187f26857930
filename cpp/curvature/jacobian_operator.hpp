// The Jacobian of the network's outputs as a rectangular operator: one forward pass, then tangent
// and backward passes on what it left.
#pragma once

#include <map>
#include <mutex>

#include "hesscore/curvature.hpp"
#include "objective/impl.hpp"

namespace hesscore {

class JacobianOperator final : public LinearMap {
 public:
  // With `snapshot`, and always on a device, it copies w and x; else they must outlive it.
  JacobianOperator(const Objective& f, const View& w, const Inputs& x, const Mode& mode,
                   bool snapshot);

  std::int64_t rows() const override { return rows_; }
  std::int64_t cols() const override { return impl_.graph().num_params(); }
  DType dtype() const override { return request_.dtype; }
  Device& device() const override { return impl_.device(); }
  void apply(const void* v, void* out, std::int64_t count = 1) const override;
  void apply_adjoint(const void* u, void* out, std::int64_t count = 1) const override;

 private:
  View keep(const View& v);
  Plan& plan(std::int64_t reps) const;
  void run(std::size_t phase, const void* in, std::int64_t in_size, void* out,
           std::int64_t out_size, std::int64_t count) const;

  const Objective::Impl& impl_;
  Request request_;
  Bindings point_;
  std::vector<Buffer> copies_;
  Buffer clock_;
  std::int64_t rows_ = 0;
  mutable std::map<std::int64_t, std::unique_ptr<Plan>> plans_;  // by the number of vectors
  mutable std::mutex mutex_;  // plans are of one thread at a time
};

}  // namespace hesscore
