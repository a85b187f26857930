// Evaluation: which seeds are needed, and which sweeps carry them.
#include "objective/evaluation.hpp"

#include <algorithm>

#include "objective/columns.hpp"
#include "objective/kronecker_passes.hpp"

namespace hesscore {
namespace {

bool is_recursive(Diag k) {
  return k == Diag::hesscale || k == Diag::hesscale_gn || k == Diag::bl89;
}

bool needs_second_derivatives(const DiagRequest& d) {
  return is_recursive(d.kind) || d.kind == Diag::hutchinson || d.kind == Diag::hessian;
}

Sweep forward(Sweep sweep, const Request& r) {
  const bool backward =
      r.grad || r.per_sample_grads || r.grad_moments.any() || r.kronecker || !r.diag.empty();
  if (backward && std::none_of(r.diag.begin(), r.diag.end(), needs_second_derivatives)) {
    sweep.keep_slopes();
  }
  sweep.forward();
  return sweep;
}

}  // namespace

Evaluation::Evaluation(const Request& r, const Graph& graph, const LossModel& model, Emit& e)
    : r_(r),
      graph_(graph),
      e_(e),
      sweep_(forward(Sweep(graph, e, r.batch, r.train, r.tracked), r)),
      loss_(e, model, {r.batch, r.soft, r.weighted}, sweep_.output()) {}

bool Evaluation::wants(Diag kind) const {
  return std::any_of(r_.diag.begin(), r_.diag.end(),
                     [&](const DiagRequest& d) { return d.kind == kind; });
}

Out Evaluation::watched(Operand to) const {
  Out out(to);
  out.watch = r_.watched;
  return out;
}

ParameterSink Evaluation::sink_at(Operand to) const {
  ParameterSink sink(graph_, to);
  if (r_.watched) sink.watch();
  return sink;
}

// Of one column on its way down, at most: adjoints of two layers and what squaring takes; the uses
// of shared layers wait for each other.
std::int64_t Evaluation::column_bytes() const {
  std::vector<int> uses(graph_.groups().size(), 0);
  for (const Node& n : graph_.nodes()) {
    if (n.group >= 0) ++uses[static_cast<std::size_t>(n.group)];
  }
  std::int64_t widest = 0, waiting = 0;
  for (const Node& n : graph_.nodes()) {
    const std::int64_t size = r_.batch * element_count(n.shape);
    widest = std::max(widest, size);
    if (n.group >= 0 && uses[static_cast<std::size_t>(n.group)] > 1) waiting += 2 * size;
  }
  return (4 * widest + waiting) * static_cast<std::int64_t>(size_of(r_.dtype));
}

void Evaluation::emit() {
  if (r_.predict) {
    e_.call<kernels::Copy>(
        {sweep_.output(), e_.external(kPortPredict), 1, loss_.size(), loss_.size(), loss_.size()});
  }
  const auto seed = [&](bool wanted) { return wanted ? e_.temporary(loss_.size()) : Operand{}; };
  const bool second =
      wants(Diag::hesscale) || wants(Diag::bl89) || wants(Diag::hutchinson) || wants(Diag::hessian);
  g_ = seed(r_.grad || second || of_samples());
  h_ = seed(wants(Diag::hesscale) || wants(Diag::hesscale_gn) || wants(Diag::hessian));
  b_ = seed(wants(Diag::bl89));
  const bool own = r_.kronecker && r_.kronecker->kind == Factors::empirical;
  f_ = seed(wants(Diag::empirical_fisher) || own);
  loss_.seed({watched(e_.external(kPortLoss)), g_, h_, b_, f_});
  backward();
}

void Evaluation::backward() {
  ParameterSink gradient;
  if (r_.grad) gradient = sink_at(e_.external(kPortGrad));
  ParameterSink* const sink = r_.grad ? &gradient : nullptr;
  NodeArrays g;
  if (wants(Diag::hutchinson) || wants(Diag::hessian)) sweep_.keep_adjoints();
  const bool apart = h_ || b_ || wants(Diag::hutchinson);  // from those of single samples
  if (std::any_of(r_.diag.begin(), r_.diag.end(),
                  [](const DiagRequest& d) { return is_recursive(d.kind); })) {
    g = recursive_diagonals(g_, sink);
  } else if (g_ && (apart || !of_samples())) {
    g = sweep_.vjp(g_, 1, sink);
  }
  if (of_samples()) samples(apart ? nullptr : sink);
  for (std::size_t i = 0; i < r_.diag.size(); ++i) {
    const Diag kind = r_.diag[i].kind;
    if (kind == Diag::hutchinson) hutchinson(i, g);
    if (kind == Diag::hessian) {
      ParameterSink at = diag_sink(i);
      HessianDiagonal(graph_, e_, sweep_, loss_, r_.diag[i].max_memory).emit(g, h_, at);
    }
    if (kind == Diag::ggn || kind == Diag::ggn_mc || kind == Diag::empirical_fisher) {
      squared_columns(i);
    }
  }
  if (r_.kronecker) kronecker();
}

void Evaluation::kronecker() {
  KroneckerPasses(r_, graph_, e_, sweep_, loss_, {f_, clock_seed(r_.diag.size())}).emit();
}

NodeArrays Evaluation::recursive_diagonals(Operand g, ParameterSink* gradient) {
  std::vector<ParameterSink> sinks;
  sinks.reserve(r_.diag.size());
  std::vector<DiagStream> streams;
  for (std::size_t i = 0; i < r_.diag.size(); ++i) {
    const Diag kind = r_.diag[i].kind;
    if (!is_recursive(kind)) continue;
    sinks.push_back(diag_sink(i));
    streams.push_back({kind == Diag::bl89 ? b_ : h_, kind == Diag::hesscale_gn, &sinks.back()});
  }
  return sweep_.diagonals(g, gradient, streams);
}

void Evaluation::squared_columns(std::size_t i) {
  const DiagRequest& d = r_.diag[i];
  ParameterSink sink = diag_sink(i);
  if (d.kind == Diag::empirical_fisher) {
    sweep_.vjp_squares(f_, 1, 1, sink);
  } else if (d.kind == Diag::ggn_mc) {
    sweep_.vjp_squares(loss_.samples(clock_seed(i), d.samples), d.samples, 1, sink);
  } else {
    const std::int64_t chunk = d.max_memory > 0
                                   ? chunk_size(d.max_memory, column_bytes(), loss_.column_count())
                                   : chunk_of(graph_, r_.batch, loss_.column_count());
    loss_.each_chunk(chunk, [&](Operand columns, std::int64_t count, double sign) {
      sweep_.vjp_squares(columns, count, sign, sink);
    });
  }
  sink.finish(e_);
}

// The sweep is that of the rows, of a mean N times that of the loss. Sums over samples are the
// mean's N-fold.
void Evaluation::samples(ParameterSink* gradient) {
  const MomentsRequest& m = r_.grad_moments;
  const std::int64_t p = graph_.num_params(), size = loss_.size();
  const bool mean = loss_.spec().mean;
  const auto n = static_cast<double>(r_.batch);
  Operand seed = g_;
  if (mean) {
    seed = e_.temporary(size);
    e_.call<kernels::Copy>({g_, seed, 1, size, size, size, n});
  }
  const auto array = [&](bool wanted, int port) {
    return wanted ? e_.external(port) : m.sums() ? e_.temporary(p) : Operand{};
  };
  const Operand sum = array(m.mean, kPortMean), square = array(m.second_moment, kPortSecondMoment);
  ParameterSink rows(graph_, e_.external(kPortPerSample), p), sums(graph_, sum),
      squares(graph_, square);
  SampleSinks to;
  to.scale = 1 / n;
  if (r_.per_sample_grads) to.rows = &rows;
  if (m.sums()) to.sum = &sums, to.squares = &squares;
  if (m.norms) {
    to.norms = e_.external(kPortNorms);
    e_.call<kernels::Fill>({to.norms, r_.batch});
  }
  sweep_.vjp_per_sample(seed, m.sums() ? nullptr : gradient, to);
  const Operand grad = gradient ? e_.external(kPortGrad) : Operand{};
  const Operand from = m.sums() ? sum : grad;
  if (gradient && (m.sums() || mean)) {
    e_.call<kernels::Copy>({from, watched(grad), 1, p, p, p, mean ? 1 / n : 1});
  }
  if (m.mean || m.variance) {
    const Out variance = m.variance ? e_.external(kPortVariance) : Operand{};
    e_.call<kernels::Moments>({sum, square, sum, variance, p, 1 / n});
  }
  if (m.norms) e_.call<kernels::SquareRoot>({to.norms, to.norms, r_.batch});
}

void Evaluation::hutchinson(std::size_t i, const NodeArrays& g) {
  const std::int64_t p = graph_.num_params();
  const std::int64_t samples = r_.diag[i].samples;
  const std::int64_t chunk =
      std::min(chunk_of(graph_, r_.batch, samples),
               std::max<std::int64_t>(1, kChunkElements / std::max<std::int64_t>(p, 1)));
  for (std::int64_t first = 0; first < samples; first += chunk) {
    const std::int64_t count = std::min(chunk, samples - first);
    const Operand v = e_.temporary(count * p), hv = e_.temporary(count * p);
    e_.call<kernels::Rademacher>({clock_seed(i), v, count * p, static_cast<std::uint64_t>(first)});
    const NodeArrays d = sweep_.jvp(v, count, p);
    ParameterSink sink(graph_, hv, p);
    sweep_.vjp_dot(d, g, loss_.hessian(sweep_.at_output(d), count), count, p, v, sink);
    Out diagonal = watched(diag_port(i));
    diagonal.accumulate = first > 0;
    e_.call<kernels::MultiplySum>({v, hv, diagonal, p, count, 1.0 / static_cast<double>(samples)});
  }
}

}  // namespace hesscore
