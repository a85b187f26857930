// Evaluation: loss, gradient, network output, diagonals and Kronecker factors together. One forward
// sweep serves all; the gradient and every recursive diagonal share one backward sweep.
#pragma once

#include "objective/compose.hpp"
#include "objective/hessian_diagonal.hpp"

namespace hesscore {

class Evaluation {
 public:
  Evaluation(const Request& request, const Graph& graph, const LossModel& model, Emit& e);
  void emit();

 private:
  void backward();
  NodeArrays recursive_diagonals(Operand g, ParameterSink* gradient);
  void squared_columns(std::size_t i);
  std::int64_t column_bytes() const;
  void hutchinson(std::size_t i, const NodeArrays& g);
  void samples(ParameterSink* gradient);
  void kronecker();

  Out watched(Operand to) const;
  ParameterSink sink_at(Operand to) const;
  ParameterSink diag_sink(std::size_t i) { return sink_at(diag_port(i)); }
  Operand diag_port(std::size_t i) { return e_.external(kPortDiag + static_cast<int>(i)); }
  Operand clock_seed(std::size_t i) {
    return e_.external(kPortClock).at(kClockSeeds + static_cast<std::int64_t>(i));
  }
  bool wants(Diag kind) const;
  bool of_samples() const { return r_.per_sample_grads || r_.grad_moments.any(); }

  const Request& r_;
  const Graph& graph_;
  Emit& e_;
  Sweep sweep_;
  LossSite loss_;
  Operand g_, h_, b_, f_;  // seeds
};

}  // namespace hesscore
