// Op: what an op without parameters answers.
#include <limits>

#include "ops/op.hpp"

#include "hesscore/graph.hpp"

namespace hesscore {

void check_size(const std::string& name, std::int64_t size) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
  if (size > kMost || size < -kMost) {
    throw SizeError(name, "sizes below 2^31", std::to_string(size));
  }
}

Op::~Op() = default;

std::string describe(const Op* op) { return op ? op->describe() : "input"; }

std::vector<Op::ParameterColumns> Op::parameter_columns(Emit&, const Site&) const { return {}; }

Op::ParameterColumns Op::bias_columns(std::int64_t rows, std::int64_t units) {
  ParameterColumns bias;
  math::ConvGeometry& g = bias.columns.g;
  g.n = rows;
  g.h = g.w = g.oh = g.ow = 1;
  g.c = 1;
  g.o = units;
  bias.columns.constant = true;
  return bias;
}

Op::GramCost Op::gram_cost(const Site&, const Site&) const { return {}; }

Operand Op::gram(Emit&, const Site&, const Site&) const {
  throw UnsupportedError(describe() + " has no Gram rule");
}

void Op::gram_apply(Emit&, const Site&, const Site&, In, In, Out) const {
  throw UnsupportedError(describe() + " has no Gram rule");
}

void Op::deposit_per_sample(Emit&, const Uses&, SampleRange, const std::vector<SampleRows>&) const {
  throw UnsupportedError(describe() + " has no rule for gradients of single samples");
}

In Op::kronecker_inputs(Emit&, const Site&, std::size_t, std::int64_t, std::int64_t) const {
  throw UnsupportedError(describe() + " has no rule for Kronecker factors");
}

In Op::kronecker_adjoints(Emit&, const Site&, std::size_t, In, std::int64_t, std::int64_t) const {
  throw UnsupportedError(describe() + " has no rule for Kronecker factors");
}

void Op::kronecker_counts(Emit&, const Site&, In, Out) const {
  throw UnsupportedError(describe() + " has no one-hot inputs");
}

}  // namespace hesscore
