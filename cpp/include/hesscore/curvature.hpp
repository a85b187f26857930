// Curvature matrices and the Jacobian at one point as linear operators: linearised once, applied
// often.
#pragma once

#include <memory>

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

// The Jacobian of the network's outputs in the parameters at w, of the N * outputs numbers that
// predict() gives, in their order. Arrays are kept as by curvature().
HESSCORE_API std::unique_ptr<LinearMap> jacobian(const Objective& f, View w, const Inputs& x,
                                                 const Mode& mode = {}, bool snapshot = true);

}  // namespace hesscore
