// Losses: resolved for an output shape, then emitted as seeds of the backward sweeps.
#pragma once

#include "hesscore/graph.hpp"
#include "math/losses.hpp"
#include "ops/emit.hpp"

namespace hesscore {

// A Loss resolved for one output shape. Shapes leave the batch out.
struct LossModel {
  math::LossSpec spec;          // without the number of samples and the kind of target
  std::vector<double> weights;  // class weights, or pos_weight
  Shape target;                 // values, or labels of cross-entropy
  Shape soft_target;            // class probabilities; empty for other losses
  bool labels = false;          // integer targets are possible
};

// Throws ShapeError or GraphError where loss and output do not fit.
LossModel resolve(const Loss& loss, const Shape& output);
std::string_view name_of(const Loss& loss);

class LossSite {
 public:
  struct Given {  // what this plan will be called with
    std::int64_t batch;
    bool soft = false, weighted = false;
  };
  LossSite(Emit& e, const LossModel& model, Given given, In z);

  struct Seeds {
    Out loss, g, h, b, f;  // see kernels::LossSeed; absent ones are skipped
  };
  void seed(const Seeds& to);
  Operand hessian(In dz, std::int64_t reps);                // H_L dz
  Operand columns(std::int64_t first, std::int64_t count);  // square-root columns
  // f(columns, count, sign) for all square-root columns, `chunk` of them at a time.
  template <class F>
  void each_chunk(std::int64_t chunk, F f) {
    for (std::int64_t first = 0, count = 1; first < column_count(); first += count) {
      const double sign = math::column_sign(spec_, first);
      for (count = 1; count < chunk && first + count < column_count(); ++count) {
        if (math::column_sign(spec_, first + count) != sign) break;
      }
      f(columns(first, count), count, sign);
    }
  }
  Operand samples(In clock, std::int64_t samples);  // columns drawn from the model
  std::int64_t column_count() const { return math::column_count(spec_); }
  std::int64_t outputs() const { return spec_.classes * spec_.positions; }  // of a sample
  std::int64_t size() const { return spec_.samples * outputs(); }           // of z
  const math::LossSpec& spec() const { return spec_; }

 private:
  Emit& e_;
  math::LossSpec spec_;
  In z_, y_, sample_weight_, class_weight_, scale_;
};

}  // namespace hesscore
