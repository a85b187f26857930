// Op: what an op without parameters answers.
#include "ops/op.hpp"

#include "hesscore/graph.hpp"

namespace hesscore {

Op::~Op() = default;

std::string describe(const Op* op) { return op ? op->describe() : "input"; }

Op::GramCost Op::gram_cost(const Site&, const Site&) const { return {}; }

Operand Op::gram(Emit&, const Site&, const Site&) const {
  throw UnsupportedError(describe() + " has no Gram rule");
}

void Op::gram_apply(Emit&, const Site&, const Site&, In, In, Out) const {
  throw UnsupportedError(describe() + " has no Gram rule");
}

void Op::deposit_squares(Emit&, const std::vector<SquareUse>&, std::int64_t, double,
                         const std::vector<Out>&) const {
  throw UnsupportedError(describe() + " has no rule for squared per-sample gradients");
}

}  // namespace hesscore
