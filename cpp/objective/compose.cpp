// Compositions of the single-pass requests and of the products.
#include "objective/compose.hpp"

#include "objective/evaluation.hpp"

namespace hesscore {
namespace {

void copy(Emit& e, Operand from, Operand to, std::int64_t n) {
  e.call<kernels::Copy>({from, to, 1, n, n, n});
}

void compose_jvp(const Request& r, const Graph& graph, Emit& e, std::int64_t outputs) {
  Sweep sweep(graph, e, r.batch, r.train);
  sweep.forward();
  const NodeArrays d = sweep.jvp(e.external(kPortV), r.reps, graph.num_params());
  copy(e, sweep.at_output(d), e.external(kPortOut), r.reps * r.batch * outputs);
}

void compose_vjp(const Request& r, const Graph& graph, Emit& e) {
  Sweep sweep(graph, e, r.batch, r.train);
  sweep.forward();
  ParameterSink sink(graph, e.external(kPortOut), graph.num_params());
  sweep.vjp(e.external(kPortV), r.reps, &sink);
}

// Hv: forward, adjoints | tangents, dg = H_L dz, tangent of the backward pass.
// Gv: forward | tangents, g = H_L dz, backward pass.   Fv: g = u <u, dz> with u drawn or given.
void compose_product(const Request& r, const Graph& graph, const LossModel& model, Emit& e) {
  const std::int64_t p = graph.num_params();
  Sweep sweep(graph, e, r.batch, r.train);
  sweep.forward();
  LossSite loss(e, model, {r.batch, r.soft, r.weighted}, sweep.output());
  NodeArrays g;
  Operand u;
  if (r.product == Product::hessian) {
    const Operand seed = e.temporary(loss.size());
    loss.seed({{}, seed, {}, {}, {}});
    g = sweep.vjp(seed, 1, nullptr);
  } else if (r.product == Product::fisher_empirical) {
    u = e.temporary(loss.size());
    loss.seed({{}, {}, {}, {}, u});
  } else if (r.product == Product::fisher_mc) {
    u = loss.samples(e.external(kPortClock).at(kClockSeeds), r.samples);
  }
  e.next_phase();
  const Operand v = e.external(kPortV);
  const NodeArrays d = sweep.jvp(v, r.reps, p);
  ParameterSink sink(graph, e.external(kPortOut), p);
  const Operand dz = sweep.at_output(d);
  if (r.product == Product::hessian) {
    sweep.vjp_dot(d, g, loss.hessian(dz, r.reps), r.reps, p, v, sink);
  } else if (r.product == Product::ggn) {
    sweep.vjp(loss.hessian(dz, r.reps), r.reps, &sink);
  } else {
    const Operand projected = e.temporary(r.reps * loss.size());
    const std::int64_t samples = r.product == Product::fisher_mc ? r.samples : 1;
    e.call<kernels::RowProject>({u, dz, projected, samples, r.batch, loss.column_count(), r.reps});
    sweep.vjp(projected, r.reps, &sink);
  }
}

}  // namespace

void compose(const Request& r, const Graph& graph, const LossModel& model, Emit& e) {
  const Shape& output = graph.nodes()[static_cast<std::size_t>(graph.output())].shape;
  switch (r.what) {
    case Request::What::evaluate:
      return Evaluation(r, graph, model, e).emit();
    case Request::What::predict: {
      Sweep sweep(graph, e, r.batch, r.train);
      sweep.forward();
      return copy(e, sweep.output(), e.external(kPortOut), r.batch * element_count(output));
    }
    case Request::What::jvp:
      return compose_jvp(r, graph, e, element_count(output));
    case Request::What::vjp:
      return compose_vjp(r, graph, e);
    case Request::What::product:
      return compose_product(r, graph, model, e);
  }
}

}  // namespace hesscore
