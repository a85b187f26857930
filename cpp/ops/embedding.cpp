// Embedding: its shapes and passes. Tokens are grouped by row when the first pass needs it.
#include "ops/embedding.hpp"

#include <limits>

namespace hesscore {
namespace {

constexpr std::int64_t kInt32 = 4, kInt64 = 8;  // bytes

}  // namespace

Embedding::Embedding(std::int64_t rows, std::int64_t columns, std::optional<std::int64_t> padding)
    : rows_(rows), columns_(columns), padding_(padding.value_or(-1)) {
  if (rows < 1) throw GraphError("num_embeddings", "a positive number", std::to_string(rows));
  if (columns < 1) throw GraphError("embedding_dim", "a positive number", std::to_string(columns));
  if (padding && (*padding < 0 || *padding >= rows)) {
    throw GraphError("padding_idx", "a row, 0.." + std::to_string(rows - 1),
                     std::to_string(*padding));
  }
}

std::string Embedding::describe() const {
  return "Embedding(" + std::to_string(rows_) + ", " + std::to_string(columns_) +
         (padding_ < 0 ? ")" : ", padding_idx=" + std::to_string(padding_) + ")");
}

Shape Embedding::output_shape(const std::vector<Shape>& x) const {
  Shape y = x.at(0);
  y.push_back(columns_);
  return y;
}

std::vector<ParameterShape> Embedding::parameters() const {
  ParameterShape weight{"weight", {rows_, columns_}, rows_, columns_, Start::standard_normal};
  weight.zero_row = padding_;
  return {weight};
}

std::vector<Operand> Embedding::save(Emit& e, const Site& s) const {
  const std::int64_t most = std::numeric_limits<std::int32_t>::max();
  if (tokens(s) > most / 4 || rows_ > most / 4) {
    throw SizeError("input of " + describe(), "at most " + std::to_string(most / 4) + " tokens",
                    std::to_string(tokens(s)) + " for " + std::to_string(rows_) + " rows");
  }
  return {e.temporary(kernels::embedding_group_size(rows_, tokens(s)), kInt32)};
}

In Embedding::group(Emit& e, In x, Operand to, std::int64_t n) const {
  e.call<kernels::GroupTokens>({x, to, n, rows_, padding_});
  return to;
}

In Embedding::groups(Emit& e, const Site& s) const {
  if (!e.untouched(s.saved[0])) return s.saved[0];
  return group(e, s.x[0], s.saved[0], tokens(s));
}

void Embedding::forward(Emit& e, const Site& s, Out y) const {
  e.call<kernels::Lookup>({s.w[0], s.x[0], y, tokens(s), rows_, columns_});
}

void Embedding::jvp(Emit& e, const Site& s, const JvpPorts& p) const {
  if (p.v.empty()) {
    if (!p.dy.accumulate) e.call<kernels::Fill>({p.dy, p.reps * s.y_size()});
    return;
  }
  e.call<kernels::Lookup>(
      {p.v[0], s.x[0], p.dy, tokens(s), rows_, columns_, padding_, p.reps, p.stride});
}

void Embedding::deposit(Emit& e, const Site& s, In gy, Out gw, std::int64_t reps,
                        std::int64_t stride) const {
  e.call<kernels::LookupTransposed>(
      {gy, groups(e, s), gw, tokens(s), rows_, columns_, reps, stride});
}

void Embedding::vjp(Emit& e, const Site& s, const VjpPorts& p) const {
  if (!p.gw.empty()) deposit(e, s, p.gy, p.gw[0], p.reps, p.stride);
}

void Embedding::vjp_dot(Emit& e, const Site& s, const SecondPorts& p) const {
  if (!p.hw.empty()) deposit(e, s, p.dgy, p.hw[0], p.reps, p.stride);
}

void Embedding::diag(Emit& e, const Site& s, const DiagPorts& p) const {
  if (!p.gw.empty()) deposit(e, s, p.gy, p.gw[0], 1, 0);
  if (!p.hw.empty()) deposit(e, s, p.hy, p.hw[0], 1, 0);
}

void Embedding::deposit_per_sample(Emit& e, const Uses& uses, SampleRange samples,
                                   const std::vector<SampleRows>& to) const {
  Out w = to[0].to;
  for (const Use& use : uses) {
    const std::int64_t batch = use.site->batch, t = tokens(*use.site) / batch;
    const In gy = use.gy.at(samples.first * t * columns_);
    const In x = use.site->x[0].at(samples.first % batch * t);
    e.call<kernels::LookupPerSample>(
        {gy, x, w, samples.count, t, rows_, columns_, padding_, to[0].stride});
    w.accumulate = true;
  }
}

// Several uses side by side are one use of longer samples.
Embedding::Together Embedding::together(Emit& e, const Uses& uses, std::int64_t reps) const {
  const std::int64_t batch = uses[0].site->batch;
  Together all{uses[0].gy, uses[0].site->x[0], tokens(*uses[0].site) / batch};
  if (uses.size() == 1) return all;
  all.positions = 0;
  for (const Use& use : uses) all.positions += tokens(*use.site) / batch;
  const std::int64_t n = batch * all.positions;
  all.gy = e.temporary(reps * n * columns_);
  all.x = e.temporary(n, kInt64);
  std::int64_t begin = 0;
  for (const Use& use : uses) {
    const std::int64_t t = tokens(*use.site) / batch, row = t * columns_;
    const Operand x = all.x.at(begin), gy = all.gy.at(begin * columns_);
    e.call<kernels::CopyTokens>({use.site->x[0], x, batch, t, all.positions});
    e.call<kernels::Copy>({use.gy, gy, reps * batch, row, row, all.positions * columns_});
    begin += t;
  }
  return all;
}

In Embedding::groups(Emit& e, const Uses& uses, const Together& all) const {
  if (uses.size() == 1) return groups(e, *uses[0].site);
  const std::int64_t n = uses[0].site->batch * all.positions;
  return group(e, all.x, e.temporary(kernels::embedding_group_size(rows_, n), kInt32), n);
}

void Embedding::deposit_squares(Emit& e, const Uses& uses, std::int64_t reps, double scale,
                                const std::vector<Out>& to) const {
  const Together all = together(e, uses, reps);
  e.call<kernels::LookupSquares>({all.gy, groups(e, uses, all), to[0],
                                  uses[0].site->batch * all.positions, rows_, columns_,
                                  all.positions, reps, scale});
}

void Embedding::deposit_moments(Emit& e, const Uses& uses, const MomentPorts& to) const {
  const Together all = together(e, uses, 1);
  const std::int64_t batch = uses[0].site->batch, n = batch * all.positions;
  if (to.norms) {
    e.call<kernels::LookupNorms>(
        {all.gy, all.x, to.norms, batch, all.positions, rows_, columns_, padding_});
  }
  if (to.sum.empty()) return;
  const In grouped = groups(e, uses, all);
  e.call<kernels::LookupTransposed>({all.gy, grouped, to.sum[0], n, rows_, columns_});
  e.call<kernels::LookupSquares>(
      {all.gy, grouped, to.squares[0], n, rows_, columns_, all.positions, 1, to.scale});
}

std::vector<KroneckerPart> Embedding::kronecker_parts() const {
  KroneckerPart p{.rows = columns_, .channels = rows_, .width = columns_};
  p.channels_first = p.one_hot = true;
  return {p};
}

In Embedding::kronecker_adjoints(Emit&, const Site& s, std::size_t, In gy, std::int64_t first,
                                 std::int64_t) const {
  return gy.at(first * (s.y_size() / s.batch));
}

void Embedding::kronecker_counts(Emit& e, const Site& s, In weight, Out to) const {
  e.call<kernels::LookupTransposed>({weight, groups(e, s), to, tokens(s), rows_, 1});
}

}  // namespace hesscore
