// Products with a curvature matrix.
#include "objective/product_passes.hpp"

#include "backend/keys/krylov.hpp"
#include "objective/compose.hpp"

namespace hesscore {
namespace {

Sweep forward(const Request& r, const Graph& graph, Emit& e) {
  Sweep sweep(graph, e, r.batch, r.train);
  if (ProductPasses::is_gauss_newton(r.product)) sweep.keep_slopes();
  sweep.forward();
  return sweep;
}

}  // namespace

ProductPasses::ProductPasses(const Request& r, const Graph& graph, const LossModel& model, Emit& e)
    : r_(r),
      num_params_(graph.num_params()),
      e_(e),
      sweep_(forward(r, graph, e)),
      loss_(e, model, {r.batch, r.soft, r.weighted}, sweep_.output()) {
  if (!is_gauss_newton()) {
    const Operand seed = e.temporary(loss_.size());
    loss_.seed({{}, seed, {}, {}, {}});
    sweep_.keep_adjoints();
    g_ = sweep_.vjp(seed, 1, nullptr);
  } else if (r.product == Product::fisher_empirical) {
    u_ = e.temporary(loss_.size());
    loss_.seed({{}, {}, {}, {}, u_});
  } else if (r.product == Product::fisher_mc) {
    u_ = loss_.samples(e.external(kPortClock).at(kClockSeeds), r.samples);
  }
}

Operand ProductPasses::zeros(std::int64_t n) {
  const Operand to = e_.temporary(n);
  e_.call<kernels::Fill>({to, n, 0});
  return to;
}

ProductPasses::Outputs ProductPasses::to_outputs(Operand v) {
  NodeArrays d = sweep_.jvp(v, r_.reps, num_params_);
  const Operand dz = sweep_.at_output(d);
  if (r_.product == Product::gap) return {std::move(d), dz, zeros(r_.reps * loss_.size())};
  if (!u_) return {std::move(d), dz, loss_.hessian(dz, r_.reps)};
  const Operand projected = e_.temporary(r_.reps * loss_.size());
  const std::int64_t samples = r_.product == Product::fisher_mc ? r_.samples : 1;
  e_.call<kernels::RowProject>({u_, dz, projected, samples, r_.batch, loss_.outputs(), r_.reps});
  return {std::move(d), dz, projected};
}

void ProductPasses::to_parameters(const Outputs& at, Operand v, ParameterSink& sink) {
  if (is_gauss_newton()) return to_parameters(at.dg, sink);
  sweep_.vjp_dot(at.tangents, g_, at.dg, r_.reps, num_params_, v, sink);
}

void ProductPasses::form(Operand v, Operand result) {
  const Outputs at = to_outputs(v);
  kernels::RowDots::Args a{.x = at.dz, .y = at.dg, .result = Out(result), .n = loss_.size()};
  a.rows = r_.reps;
  a.row_x = a.row_y = loss_.size();
  a.row_result = 1;
  e_.call<kernels::RowDots>(a);
  if (!is_gauss_newton()) {
    sweep_.second_forms(at.tangents, g_, r_.reps, num_params_, v, result);
  }
}

void compose_product(const Request& r, const Graph& graph, const LossModel& model, Emit& e) {
  ProductPasses product(r, graph, model, e);
  e.next_phase();
  const Operand v = e.external(kPortV);
  if (r.what == Request::What::form) {
    return product.form(v, e.external(kPortOut, sizeof(double)));
  }
  ParameterSink sink(graph, e.external(kPortOut), graph.num_params());
  product.to_parameters(product.to_outputs(v), v, sink);
}

}  // namespace hesscore
