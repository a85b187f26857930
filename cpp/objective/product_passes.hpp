// Products with a curvature matrix, A v, in two halves: tangents to the outputs and their adjoints
// there, then the backward pass to the parameters.
#pragma once

#include "objective/request.hpp"
#include "ops/loss.hpp"
#include "plan/sweep.hpp"

namespace hesscore {

// v'Av: the first half and sums over outputs; of H or H - G also over the layers, each with its own
// second derivative: v'Hv = <dz, H_L dz> + sum of g' y''[(dx, v), (dx, v)].
// Hv: forward, adjoints | tangents, dg = H_L dz, tangent of the backward pass. (H - G) v: the same
// with dg = 0, by linearity; nothing cancels.
// Gv: forward | tangents, dg = H_L dz, backward pass.  Fv: dg = u <u, dz> with u drawn or given.
class ProductPasses {
 public:
  // Emits what the products share: the part before the bar.
  ProductPasses(const Request& r, const Graph& graph, const LossModel& model, Emit& e);

  // Is A = J' K J with K acting on the outputs alone, dg = K dz?
  static bool is_gauss_newton(Product p) { return p != Product::hessian && p != Product::gap; }
  bool is_gauss_newton() const { return is_gauss_newton(r_.product); }

  struct Outputs {
    NodeArrays tangents;
    Operand dz, dg;
  };
  Outputs to_outputs(Operand v);
  // The rest, from what the first half found, or of a Gauss-Newton matrix from any seed.
  void to_parameters(const Outputs& at, Operand v, ParameterSink& sink);
  void to_parameters(Operand seed, ParameterSink& sink) { sweep_.vjp(seed, r_.reps, &sink); }

  void form(Operand v, Operand result);  // float64, one for each vector

  std::int64_t output_size() const { return loss_.size(); }

 private:
  Operand zeros(std::int64_t n);

  const Request& r_;
  std::int64_t num_params_;
  Emit& e_;
  Sweep sweep_;
  LossSite loss_;
  NodeArrays g_;  // adjoints of the loss, for the Hessian
  Operand u_;     // columns of the Fisher matrix
};

// The whole product of kPortV to kPortOut, or the quadratic forms of kPortV, in two phases.
void compose_product(const Request& r, const Graph& graph, const LossModel& model, Emit& e);

}  // namespace hesscore
