// The curvature over many batches: one operator for each that is kept, and one that moves from
// batch to batch for the rest.
#pragma once

#include <functional>

#include "curvature/curvature_operator.hpp"

namespace hesscore {

class BatchedOperator final : public LinearOperator {
 public:
  BatchedOperator(const Objective& f, Product kind, const View& w,
                  std::shared_ptr<BatchSource> batches, const Mode& mode,
                  const BatchesOptions& options);

  std::int64_t size() const override { return impl_.graph().num_params(); }
  DType dtype() const override { return w_.dtype(); }
  Device& device() const override { return impl_.device(); }
  void apply(const void* v, void* out, std::int64_t count = 1) const override;
  bool forms(const void* v, double* result, std::int64_t count) const override;

 private:
  struct Kept {
    std::unique_ptr<CurvatureOperator> a;
    double weight = 0;
  };

  using PartOf = std::function<void(const CurvatureOperator& a, void* to)>;
  void sum(DType type, void* out, std::int64_t n, bool keep, const PartOf& part) const;
  double weight_of(const View& w, const Batch& batch) const;
  // The k-th batch's operator, and its weight in the mean.
  std::pair<const CurvatureOperator*, double> at(std::size_t k, const Batch& batch,
                                                 bool keep) const;
  const CurvatureOperator* move(CurvatureOperator& a, std::size_t k, const Batch& batch) const;

  const Objective::Impl& impl_;
  Product kind_;
  Vector w_;
  std::shared_ptr<BatchSource> batches_;
  Mode mode_;
  BatchesOptions options_;
  mutable std::mutex mutex_;
  mutable CurvatureOperator moving_;
  mutable std::vector<Kept> kept_;  // the first ones
  mutable std::int64_t used_ = 0;   // bytes
  mutable bool full_ = false;
  mutable Vector part_;  // one batch's products
};

}  // namespace hesscore
