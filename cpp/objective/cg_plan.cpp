// The phases of conjugate gradients.
#include "objective/cg_plan.hpp"

#include "objective/product_passes.hpp"

namespace hesscore {
namespace {

class CgPlan {
 public:
  CgPlan(const Request& r, const Graph& graph, const LossModel& model, Emit& e, bool preconditioned)
      : graph_(graph),
        e_(e),
        n_(graph.num_params()),
        product_(r, graph, model, e),
        x_(e.external(kCgX)),
        r_(e.external(kCgResidual)),
        p_(e.external(kCgDirection)),
        state_(e.external(kCgState)) {
    if (preconditioned) d_ = e.external(kCgDiagonal);
  }

  void apply() { multiply(e_.external(kPortV), e_.external(kPortOut)); }

  void start() {
    e_.call<kernels::CgAdvance>({{}, {}, d_, r_, state_, n_, true});
    e_.call<kernels::CgDirection>({r_, d_, state_, {}, p_, n_, true});
  }

  void iterate() {
    Operand q;
    if (product_.is_gauss_newton()) {
      const auto [tangents, dz, dg] = product_.to_outputs(p_);
      const Operand seed = e_.temporary(product_.output_size());
      e_.call<kernels::CgCurvature>({dz, dg, seed, state_, product_.output_size()});
      ParameterSink residual = ParameterSink::adding_to(graph_, r_);
      product_.to_parameters(seed, residual);
    } else {
      q = e_.temporary(n_);
      multiply(p_, q);
      e_.call<kernels::CgCurvature>({p_, q, {}, state_, n_});
    }
    e_.call<kernels::CgAdvance>({p_, q, d_, r_, state_, n_});
    e_.call<kernels::CgDirection>({r_, d_, state_, x_, p_, n_});
  }

 private:
  void multiply(Operand v, Operand to) {
    ParameterSink sink(graph_, to, n_);
    product_.to_parameters(product_.to_outputs(v), v, sink);
  }

  const Graph& graph_;
  Emit& e_;
  std::int64_t n_;
  ProductPasses product_;
  Operand x_, r_, p_, d_, state_;
};

}  // namespace

void compose_cg(const Request& r, const Graph& graph, const LossModel& model, Emit& e,
                bool preconditioned) {
  CgPlan plan(r, graph, model, e, preconditioned);
  e.next_phase();
  plan.apply();
  e.next_phase();
  plan.start();
  e.next_phase();
  plan.iterate();
}

}  // namespace hesscore
