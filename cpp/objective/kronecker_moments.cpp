// Second moments of the gradients of single samples in the eigenbases of A and G (George et al.
// 2018, equation 9): the gradient sum_t g_t x_t' becomes sum_t (Q_G g_t) (Q_A x_t)', squared once
// its positions are summed.
#include <algorithm>

#include "objective/kronecker_passes.hpp"

namespace hesscore {
namespace {

constexpr std::int64_t kFormedElements = 4 << 20;  // of rotated inputs at a time

}  // namespace

void KroneckerPasses::moments() {
  columns([&](int group, const Uses& uses, std::int64_t reps, double sign) {
    for (const KroneckerPlace& p : layout_.places) {
      if (p.group == group) place_moments(p, uses, reps, sign);
    }
  });
  for (std::size_t i = 0; i < layout_.places.size(); ++i) {
    const KroneckerPlace& p = layout_.places[i];
    if (!written_[i]) e_.call<kernels::Fill>({out(p.matrix_at), p.elements(), 0});
  }
}

void KroneckerPasses::place_moments(const KroneckerPlace& p, const Uses& uses, std::int64_t reps,
                                    double sign) {
  const auto i = static_cast<std::size_t>(&p - layout_.places.data());
  const Out to(out(p.matrix_at), written_[i]);
  written_[i] = true;
  if (p.diagonal) {
    token_moments(p, uses, reps, to, sign);
  } else if (!p.weights) {
    contracted_moments(p, uses, reps, to, sign);
  } else {
    matrix_moments(p, uses, reps, to, sign);
  }
}

void KroneckerPasses::token_moments(const KroneckerPlace& p, const Uses& uses, std::int64_t reps,
                                    Out to, double sign) {
  Uses rotated = uses;
  for (Use& u : rotated) {
    const std::int64_t rows = reps * u.site->y_size() / p.rows;
    const Operand own = e_.temporary(rows * p.rows);
    e_.call<kernels::Product>(
        {u.gy, basis(p.g), {}, own, rows, p.rows, p.rows, false, /*trans_b=*/true});
    u.gy = own;
  }
  op(uses).deposit_squares(e_, rotated, reps, sign, {to});
}

void KroneckerPasses::contracted_moments(const KroneckerPlace& p, const Uses& uses,
                                         std::int64_t reps, Out to, double sign) {
  const std::int64_t samples = reps * r_.batch;
  const Operand rotated = e_.temporary(samples * p.rows);
  e_.call<kernels::Product>({contracted(p, uses, reps),
                             basis(p.g),
                             {},
                             rotated,
                             samples,
                             p.rows,
                             p.rows,
                             false,
                             /*trans_b=*/true});
  e_.call<kernels::ColumnSum>({rotated, to, samples, 1, p.rows, true, sign});
}

// The eigenvectors of A, their elements in the order of x_t, and apart from them those of the bias.
In KroneckerPasses::own_basis(const KroneckerPlace& p, In& bias) {
  const auto i = static_cast<std::size_t>(&p - layout_.places.data());
  if (const auto known = bases_.find(i); known != bases_.end()) {
    bias = biases_[i];
    return known->second;
  }
  const std::int64_t n = p.columns, channels = p.shape.channels, taps = p.shape.taps;
  const In one = e_.constant({1.0});
  const Operand own = e_.temporary(n * channels * taps);
  math::BroadcastAxes axes;
  axes.kept = 3;
  axes.size[0] = axes.p[0] = n;
  axes.size[1] = taps;
  axes.p[1] = 1;
  axes.size[2] = channels;
  axes.p[2] = taps;
  e_.call<kernels::BroadcastProduct>({basis(p.a), one, own, axes});
  if (p.bias_at >= 0) {
    bias = e_.temporary(n);
    math::BroadcastAxes last;
    last.kept = 1;
    last.size[0] = last.p[0] = n;
    e_.call<kernels::BroadcastProduct>({basis(p.a).at(n - 1), one, Out(bias), last});
  }
  bases_[i] = own;
  biases_[i] = bias;
  return own;
}

// (count, positions of all uses, columns)
In KroneckerPasses::rotated_inputs(const KroneckerPlace& p, const Uses& uses, std::int64_t first,
                                   std::int64_t count) {
  In bias;
  const In q = own_basis(p, bias);
  const std::int64_t n = p.columns, k = p.shape.columns();
  std::int64_t total = 0, begin = 0;
  for (const Use& u : uses) total += element_count(u.site->y_shape) / p.shape.width;
  const Operand all = e_.temporary(count * total * n);
  for (const Use& u : uses) {
    const std::int64_t own = element_count(u.site->y_shape) / p.shape.width;
    const In x = op(uses).kronecker_inputs(e_, *u.site, p.part, first, count);
    const Operand y = uses.size() == 1 ? all : e_.temporary(count * own * n);
    e_.call<kernels::Product>({x, q, bias, y, count * own, n, k, false, /*trans_b=*/true});
    if (uses.size() > 1) {
      e_.call<kernels::Copy>({y, all.at(begin * n), count, own * n, own * n, total * n});
    }
    begin += own;
  }
  return all;
}

// (reps, samples, positions of all uses, rows)
In KroneckerPasses::rotated_adjoints(const KroneckerPlace& p, const Uses& uses, std::int64_t reps) {
  const std::int64_t samples = reps * r_.batch, n = p.rows;
  std::int64_t total = 0, begin = 0;
  for (const Use& u : uses) total += element_count(u.site->y_shape) / p.shape.width;
  const Operand all = e_.temporary(samples * total * n);
  for (const Use& u : uses) {
    const std::int64_t own = element_count(u.site->y_shape) / p.shape.width;
    const In g = op(uses).kronecker_adjoints(e_, *u.site, p.part, u.gy, 0, samples);
    const Operand y = uses.size() == 1 ? all : e_.temporary(samples * own * n);
    e_.call<kernels::Product>({g, basis(p.g), {}, y, samples * own, n, n, false, /*trans_b=*/true});
    if (uses.size() > 1) {
      e_.call<kernels::Copy>({y, all.at(begin * n), samples, own * n, own * n, total * n});
    }
    begin += own;
  }
  return all;
}

void KroneckerPasses::matrix_moments(const KroneckerPlace& p, const Uses& uses, std::int64_t reps,
                                     Out to, double sign) {
  std::int64_t positions = 0;
  for (const Use& u : uses) positions += element_count(u.site->y_shape) / p.shape.width;
  const In g = rotated_adjoints(p, uses, reps);
  const std::int64_t size = positions * p.columns, n = r_.batch;
  const std::int64_t chunk = std::clamp<std::int64_t>(kFormedElements / size, 1, n);
  for (std::int64_t first = 0; first < n; first += chunk) {
    const std::int64_t count = std::min(chunk, n - first);
    const In x = rotated_inputs(p, uses, first, count);
    const std::int64_t together = count == n ? 1 : reps;  // calls
    for (std::int64_t rep = 0; rep < together; ++rep) {
      e_.call<kernels::GroupedSquare>({g.at((rep * n + first) * positions * p.rows), x, to,
                                       together == 1 ? reps * n : count, count, positions, p.rows,
                                       p.columns, sign});
      to.accumulate = true;
    }
  }
}

}  // namespace hesscore
