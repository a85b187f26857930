// Compositions of the single-pass requests.
#include "objective/compose.hpp"

#include "objective/evaluation.hpp"
#include "objective/product_passes.hpp"
#include "objective/supported.hpp"

namespace hesscore {
namespace {

void copy(Emit& e, Operand from, Operand to, std::int64_t n) {
  e.call<kernels::Copy>({from, to, 1, n, n, n});
}

void compose_jvp(const Request& r, const Graph& graph, Emit& e, std::int64_t outputs) {
  Sweep sweep(graph, e, r.batch, r.train);
  sweep.keep_slopes();
  sweep.forward();
  const NodeArrays d = sweep.jvp(e.external(kPortV), r.reps, graph.num_params());
  copy(e, sweep.at_output(d), e.external(kPortOut), r.reps * r.batch * outputs);
}

void compose_vjp(const Request& r, const Graph& graph, Emit& e) {
  Sweep sweep(graph, e, r.batch, r.train);
  sweep.keep_slopes();
  sweep.forward();
  ParameterSink sink(graph, e.external(kPortOut), graph.num_params());
  sweep.vjp(e.external(kPortV), r.reps, &sink);
}

}  // namespace

void compose_jacobian(const Request& r, const Graph& graph, Emit& e) {
  const std::int64_t p = graph.num_params();
  Sweep sweep(graph, e, r.batch, r.train);
  sweep.keep_slopes();
  sweep.forward();
  e.next_phase();
  const NodeArrays d = sweep.jvp(e.external(kPortV), r.reps, p);
  const Node& output = graph.nodes()[static_cast<std::size_t>(graph.output())];
  copy(e, sweep.at_output(d), e.external(kPortOut), r.reps * r.batch * element_count(output.shape));
  e.next_phase();
  ParameterSink sink(graph, e.external(kPortOut), p);
  sweep.vjp(e.external(kPortV), r.reps, &sink);
}

void compose(const Request& r, const Graph& graph, const LossModel& model, Emit& e) {
  check_supported(r, graph);
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
    case Request::What::track: {
      Sweep sweep(graph, e, r.batch, r.train, true);
      sweep.forward();
      return sweep.track();
    }
    case Request::What::product:
    case Request::What::form:
      return compose_product(r, graph, model, e);
  }
}

}  // namespace hesscore
