// Kronecker factors: inputs as they lie there after the forward pass, adjoints as they arrive.
#include "objective/kronecker_passes.hpp"

#include <algorithm>

#include "objective/columns.hpp"

namespace hesscore {
namespace {

constexpr std::int64_t kFormedElements = 1 << 19;  // of rows that are copies, at a time

std::int64_t positions_of(const Use& use, const KroneckerPart& part) {
  return element_count(use.site->y_shape) / part.width;
}

std::int64_t positions_of(const Uses& uses, const KroneckerPart& part) {
  std::int64_t sum = 0;
  for (const Use& u : uses) sum += positions_of(u, part);
  return sum;
}

}  // namespace

KroneckerPasses::KroneckerPasses(const Request& r, const Graph& graph, Emit& e, Sweep& sweep,
                                 LossSite& loss, const Seeds& seeds)
    : r_(r),
      how_(*r.kronecker),
      graph_(graph),
      e_(e),
      sweep_(sweep),
      loss_(loss),
      seeds_(seeds),
      layout_(kronecker_layout(graph, how_.separate_bias)),
      written_(layout_.places.size(), false) {
  if (r.weighted) normalise_weights();
}

const Op& KroneckerPasses::op(const Uses& uses) const {
  return sweep_.op(static_cast<std::size_t>(uses[0].site->node));
}

void KroneckerPasses::normalise_weights() {
  math::LossSpec spec;
  spec.samples = r_.batch;
  const Operand scale = e_.temporary(1), weights = e_.temporary(r_.batch);
  const In given = e_.external(kPortSampleWeight);
  e_.call<kernels::LossScale>({{}, given, {}, scale, spec});
  math::BroadcastAxes axes;
  axes.kept = 1;
  axes.size[0] = r_.batch;
  axes.p[0] = 1;
  e_.call<kernels::BroadcastProduct>({given, scale, weights, axes});
  weights_ = weights;
}

// Rows of `count` samples from `first` on, `size` numbers each, times the samples' weights.
In KroneckerPasses::weighted(In x, std::int64_t first, std::int64_t count, std::int64_t size) {
  if (!weights_) return x;
  const Operand own = e_.temporary(count * size);
  math::BroadcastAxes axes;
  axes.kept = 2;
  axes.size[0] = count;
  axes.size[1] = size;
  axes.p[0] = size;
  axes.p[1] = axes.q[0] = 1;
  e_.call<kernels::BroadcastProduct>({x, weights_.at(first), own, axes});
  return own;
}

// to (+)= x' x, x (rows, n), one of the two times weights.
void KroneckerPasses::add_outer(In x, In weighted_x, std::int64_t rows, std::int64_t n, Sum& to) {
  if (!to.raw) to.raw = e_.temporary(n * n);
  kernels::Product::Args a{weighted_x, x, {}, to.raw, n, n, rows};
  a.trans_a = a.lower = true;
  a.sum = to.sum;
  e_.call<kernels::Product>(a);
  to.raw.accumulate = to.sum.accumulate = true;
}

void KroneckerPasses::emit() { how_.moments ? moments() : factors(); }

void KroneckerPasses::factors() {
  for (const KroneckerPlace& p : layout_.places) input_factor(p);
  if (how_.kind == Factors::recursive) return averages();
  struct Sums {
    Sum positive, negative;
  };
  std::map<std::int64_t, Sums> sums;  // by the place of G
  columns([&](int group, const Uses& uses, std::int64_t reps, double sign) {
    for (const KroneckerPlace& p : layout_.places) {
      const bool shared = !p.weights && !p.shape.contracted;  // with the place of the weights
      if (p.group != group || shared) continue;
      Sums& to = sums[p.g];
      adjoint_sums(p, uses, reps, sign > 0 ? to.positive : to.negative);
    }
  });
  std::int64_t last = -1;
  for (const KroneckerPlace& p : layout_.places) {
    if (p.g == last) continue;
    matrix_of(sums[p.g].positive, sums[p.g].negative, p.rows, out(p.g));
    last = p.g;
  }
}

void KroneckerPasses::columns(
    const std::function<void(int, const Uses&, std::int64_t, double)>& use) {
  const auto sweep = [&](Operand seed, std::int64_t reps, double sign) {
    sweep_.vjp_uses(seed, reps, nullptr,
                    [&](const Op&, int group, const Uses& uses) { use(group, uses, reps, sign); });
  };
  if (how_.kind == Factors::empirical) return sweep(seeds_.own, 1, 1);
  if (how_.kind == Factors::mc) {
    return sweep(loss_.samples(seeds_.clock, how_.samples), how_.samples, 1);
  }
  loss_.each_chunk(chunk_of(graph_, r_.batch, loss_.column_count()), sweep);
}

// ---- A -----------------------------------------------------------------------------------------

void KroneckerPasses::input_factor(const KroneckerPlace& p) {
  if (!p.weights) return e_.call<kernels::Fill>({out(p.a), 1, 1});
  const Uses uses = sweep_.uses_of(p.group);
  const std::int64_t n = p.shape.columns(), positions = positions_of(uses, p.shape);
  if (p.diagonal) return token_factor(p, uses, positions);
  Sum a;
  if (p.bias_at >= 0) a.sum = e_.temporary(n);
  how_.reduce ? input_means(p, uses, positions, a) : input_sums(p, uses, positions, a);
  const double samples = weights_ ? 1 : static_cast<double>(r_.batch);
  const double count = how_.reduce ? samples : samples * static_cast<double>(positions);
  e_.call<kernels::Mirror>({a.raw, a.sum, out(p.a), n, p.shape.taps, 1 / count});
}

void KroneckerPasses::input_sums(const KroneckerPlace& p, const Uses& uses, std::int64_t, Sum& to) {
  const std::int64_t n = p.shape.columns();
  for (const Use& u : uses) {
    const std::int64_t size = positions_of(u, p.shape) * n;
    const std::int64_t chunk =
        p.shape.formed ? std::clamp<std::int64_t>(kFormedElements / size, 1, r_.batch) : r_.batch;
    for (std::int64_t first = 0; first < r_.batch; first += chunk) {
      const std::int64_t count = std::min(chunk, r_.batch - first);
      const In x = op(uses).kronecker_inputs(e_, *u.site, p.part, first, count);
      add_outer(x, weighted(x, first, count, size), count * size / n, n, to);
    }
  }
}

void KroneckerPasses::input_means(const KroneckerPlace& p, const Uses& uses, std::int64_t positions,
                                  Sum& to) {
  const std::int64_t n = p.shape.columns();
  Out means(e_.temporary(r_.batch * n));
  for (const Use& u : uses) {
    const std::int64_t own = positions_of(u, p.shape);
    const std::int64_t most = std::clamp<std::int64_t>(kFormedElements / (own * n), 1, r_.batch);
    const std::int64_t chunk = p.shape.formed ? most : r_.batch;
    for (std::int64_t first = 0; first < r_.batch; first += chunk) {
      const std::int64_t count = std::min(chunk, r_.batch - first);
      const In x = op(uses).kronecker_inputs(e_, *u.site, p.part, first, count);
      Out some = means;
      some.offset += first * n;
      e_.call<kernels::ColumnSum>(
          {x, some, 1, own, n, false, 1 / static_cast<double>(positions), count, own * n, n});
    }
    means.accumulate = true;
  }
  add_outer(means, weighted(means, 0, r_.batch, n), r_.batch, n, to);
}

void KroneckerPasses::token_factor(const KroneckerPlace& p, const Uses& uses,
                                   std::int64_t positions) {
  Out counts(out(p.a));
  for (const Use& u : uses) {
    const std::int64_t own = positions_of(u, p.shape);
    const Operand each = e_.temporary(r_.batch * own);
    const double total = static_cast<double>(positions) * (weights_ ? 1 : double(r_.batch));
    e_.call<kernels::Fill>({each, r_.batch * own, 1 / total});
    op(uses).kronecker_counts(e_, *u.site, weighted(each, 0, r_.batch, own), counts);
    counts.accumulate = true;
  }
}

// ---- G -----------------------------------------------------------------------------------------

// (reps, samples, rows): the sums over positions in all uses.
Operand KroneckerPasses::contracted(const KroneckerPlace& p, const Uses& uses, std::int64_t reps) {
  const std::int64_t samples = reps * r_.batch;
  Out sums(e_.temporary(samples * p.rows));
  for (const Use& u : uses) {
    const std::int64_t own = positions_of(u, p.shape);
    const In g = op(uses).kronecker_adjoints(e_, *u.site, p.part, u.gy, 0, samples);
    e_.call<kernels::ColumnSum>({g, sums, 1, own, p.rows, false, 1, samples, own * p.rows, p.rows});
    sums.accumulate = true;
  }
  return sums;
}

void KroneckerPasses::adjoint_sums(const KroneckerPlace& p, const Uses& uses, std::int64_t reps,
                                   Sum& to) {
  const std::int64_t samples = reps * r_.batch, positions = positions_of(uses, p.shape);
  const bool summed = p.shape.contracted || (how_.reduce && !p.diagonal);
  if (summed && positions > 1) {
    const Operand g = contracted(p, uses, reps);
    return add_outer(g, g, samples, p.rows, to);
  }
  for (const Use& u : uses) {
    const In g = op(uses).kronecker_adjoints(e_, *u.site, p.part, u.gy, 0, samples);
    add_outer(g, g, samples * positions_of(u, p.shape), p.rows, to);
  }
}

void KroneckerPasses::matrix_of(const Sum& positive, const Sum& negative, std::int64_t n, Out to) {
  if (!positive.raw && !negative.raw) return e_.call<kernels::Fill>({to, n * n, 0});
  if (positive.raw) {
    e_.call<kernels::Mirror>({positive.raw, {}, to, n, 1, 1});
    to.accumulate = true;
  }
  if (negative.raw) e_.call<kernels::Mirror>({negative.raw, {}, to, n, 1, -1});
}

}  // namespace hesscore
