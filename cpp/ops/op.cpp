// Op: what an op without parameters answers.
#include "ops/op.hpp"

#include "hesscore/graph.hpp"

namespace hesscore {

Op::~Op() = default;

std::string describe(const Op* op) { return op ? op->describe() : "input"; }

void Op::deposit_squares(Emit&, const std::vector<SquareUse>&, std::int64_t, double,
                         const std::vector<Out>&) const {
  throw UnsupportedError(describe() + " has no rule for squared per-sample gradients");
}

}  // namespace hesscore
