// Curvature matrices and the Jacobian at one point as linear operators: linearised once, applied
// often.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "hesscore/linear_operator.hpp"
#include "hesscore/objective.hpp"

namespace hesscore {

// The operator of `kind` at w. With `snapshot`, and always on a device, it keeps its own copies of
// w and the batch; else they must outlive it unchanged. What it planned, allocated and recorded
// serves the next operator for a batch of this shape.
HESSCORE_API std::unique_ptr<LinearOperator> curvature(const Objective& f, Product kind, View w,
                                                       const Batch& batch, const Mode& mode = {},
                                                       bool snapshot = true, int samples = 1,
                                                       std::uint64_t seed = 0);

inline std::unique_ptr<LinearOperator> hessian(const Objective& f, View w, const Batch& batch) {
  return curvature(f, Product::hessian, std::move(w), batch);
}
inline std::unique_ptr<LinearOperator> ggn(const Objective& f, View w, const Batch& batch) {
  return curvature(f, Product::ggn, std::move(w), batch);
}

// Batches one after another, as often as they are asked for.
class HESSCORE_API BatchSource {
 public:
  virtual ~BatchSource();
  virtual void rewind() = 0;  // the next one is the first one
  // False: that was all. Its arrays stay until the next call, or with `stays` for ever.
  virtual bool next(Batch& batch) = 0;
  virtual bool stays() const = 0;
};

struct BatchesOptions {
  std::int64_t max_memory = std::int64_t{1} << 30;  // bytes of linearisations that are kept
  int samples = 1;
  std::uint64_t seed = 0;                             // of batch k: batch_seed(seed, k)
  std::function<void(std::int64_t done)> watch = {};  // after each batch of a product
};

// So that batches draw differently, and the first one as it would alone.
inline std::uint64_t batch_seed(std::uint64_t seed, std::uint64_t k) {
  return (seed + k * 0x9E3779B97F4A7C15U) & ~(std::uint64_t{1} << 63);
}

// The curvature of the loss over all batches: for a mean the mean over all samples, for a sum the
// sum over batches. Linearisations of batches that stay are kept while they fit; the others are
// linearised anew for each product. Products with several vectors keep none. It copies w and
// borrows the batches.
HESSCORE_API std::unique_ptr<LinearOperator> curvature(const Objective& f, Product kind, View w,
                                                       std::shared_ptr<BatchSource> batches,
                                                       const Mode& mode = {},
                                                       const BatchesOptions& options = {});
HESSCORE_API std::unique_ptr<LinearOperator> curvature(const Objective& f, Product kind, View w,
                                                       std::vector<Batch> batches,
                                                       const Mode& mode = {},
                                                       const BatchesOptions& options = {});

// The Jacobian of the network's outputs in the parameters at w, of the N * outputs numbers that
// predict() gives, in their order. Arrays are kept as by curvature().
HESSCORE_API std::unique_ptr<LinearMap> jacobian(const Objective& f, View w, const Inputs& x,
                                                 const Mode& mode = {}, bool snapshot = true);

}  // namespace hesscore
