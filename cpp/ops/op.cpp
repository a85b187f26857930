// Op: what an op without parameters answers.
#include <algorithm>
#include <limits>

#include "ops/op.hpp"

#include "backend/keys/krylov.hpp"
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

void FormPorts::add(Emit& e, std::size_t i, In b, std::int64_t n, int times) const {
  kernels::RowDots::Args a{.x = dx[i], .y = b, .result = Out(result, true), .n = n, .rows = reps};
  a.row_x = a.row_y = n;
  a.row_result = 1;
  for (int k = 0; k < times; ++k) e.call<kernels::RowDots>(a);
}

// All layers are linear in their parameters, so it is <dx, B dx> + 2 <dx, C v>, where B dx and C v
// are the parts of vjp_dot's dgx.
void Op::second_form(Emit& e, const Site& s, const FormPorts& p) const {
  const auto moving = static_cast<int>(
      std::count_if(p.dx.begin(), p.dx.end(), [](const In& dx) { return static_cast<bool>(dx); }));
  const bool curved = !is_affine(s.train, moving);
  if (moving == 0 || (!curved && p.v.empty())) return;
  const std::int64_t n = p.reps * s.y_size();
  const Operand zero = e.temporary(n);
  e.call<kernels::Fill>({zero, n, 0});
  const auto add = [&](std::vector<In> dx, std::vector<In> v, int times) {
    SecondPorts q{std::move(dx), std::move(v), p.gy, zero, {}, {}, p.reps, p.stride};
    for (std::size_t i = 0; i < p.dx.size(); ++i) {
      q.dgx.push_back(p.dx[i] ? Out(e.temporary(p.reps * s.x_size(i))) : Out{});
    }
    vjp_dot(e, s, q);
    for (std::size_t i = 0; i < p.dx.size(); ++i) {
      if (p.dx[i]) p.add(e, i, q.dgx[i], s.x_size(i), times);
    }
  };
  if (curved) add(p.dx, {}, 1);
  if (!p.v.empty()) add(std::vector<In>(p.dx.size()), p.v, 2);
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
