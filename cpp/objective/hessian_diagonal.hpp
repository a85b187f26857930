// The exact diagonal of the Hessian, forward over reverse: tangents of the second-order adjoints
// along one direction for each parameter, or for each unit where samples do not meet.
//
// For a layer a = W x + b with one product for each sample, every sample n has a Hessian H^n of its
// own in a, and
//
//   d2L/dW_ij^2 = sum_n x_nj^2 (H^n)_ii,    d2L/db_i^2 = sum_n (H^n)_ii:
//
// as many directions as the layer has outputs, e_i for all samples at once. An element-wise map
// above the layer keeps diagonals, (H_a)_ii = s'^2 (H_h)_ii + s'' g_i, and a product b = V h above
// that takes e_i to column i of V, so that the directions start at b: products with V are never
// made. Under the loss H^n is the loss's own. Where the output is affine in the parameters of a
// layer, piece by piece, the block of the Hessian is that of the Gauss-Newton matrix, and one
// direction for each output serves. All other parameters take a direction each; those of layers
// used once start at the layer's output, as a copy of the layer's input.
//
// Directions travel in chunks; a phase of the plan is one chunk and is run once for each.
#pragma once

#include <functional>

#include "ops/loss.hpp"
#include "plan/sweep.hpp"

namespace hesscore {

// Directions that may travel together: `bytes` of memory, 0 for as much as keeps a machine busy,
// where one takes `each` bytes; `total` in all.
std::int64_t chunk_size(std::int64_t bytes, std::int64_t each, std::int64_t total);

class HessianDiagonal {
 public:
  HessianDiagonal(const Graph& graph, Emit& e, Sweep& sweep, LossSite& loss,
                  std::int64_t max_memory);

  // g: adjoints of all nodes; h: the diagonal of the loss's Hessian in the output.
  void emit(const NodeArrays& g, Operand h, ParameterSink& sink);

 private:
  enum class Way { nothing, at_loss, squares, units, weights, group };
  struct Plan {
    Way way = Way::nothing;
    std::size_t use = 0;            // for units: the layer,
    std::vector<std::size_t> maps;  // the element-wise maps on it,
    std::size_t start = 0;          // and where directions start: the last of them, or
    bool product = false;           // a product that alone reads it
  };
  struct Loop {
    std::int64_t total, each;  // directions, and the bytes of one
    std::function<void(Operand first, std::int64_t reps)> body;
  };

  Plan plan(int group) const;
  bool climb(Plan& p) const;
  std::int64_t bytes(const Part& p) const;
  NodeArrays second_order(const Part& p, NodeArrays d, const NodeArrays& g, std::int64_t reps,
                          const GroupTangents* own = nullptr);
  void squares(ParameterSink& sink);
  void units(const Plan& p, int group, const NodeArrays& g, ParameterSink& sink);
  void deposit(const Plan& p, Operand c, const NodeArrays& g, const std::vector<Out>& to);
  void weights(const Plan& p, int group, const NodeArrays& g, ParameterSink& sink);
  void group(int group, const NodeArrays& g, ParameterSink& sink);
  void run(const Loop& loop);

  const Graph& graph_;
  Emit& e_;
  Sweep& sweep_;
  LossSite& loss_;
  std::int64_t max_memory_;
  std::vector<Plan> plans_;                 // of the groups
  std::vector<Loop> loops_;                 // after what is emitted at once
  std::vector<std::function<void()>> end_;  // after the loops
};

}  // namespace hesscore
