// The loss kernels against an independent value: gradients and Hessians by differences, columns and
// samples against Hessian products, for every loss and option.
#include <vector>

#include "kernel_tables.hpp"

using namespace hesscore;
using check::expect;
using check::Guarded;
using check::kDType;
using math::LossKind;
using math::LossSpec;

namespace {

// A loss on a small batch.
template <class T>
struct Problem {
  const KernelTable& table;
  LossSpec spec;
  std::int64_t size;  // of z
  Guarded<T> z, values, sample_weight, class_weight;
  std::vector<std::int64_t> labels;
  bool weighted;
  T scale = 0;

  Problem(const KernelTable& t, const LossSpec& s, bool with_weights)
      : table(t),
        spec(s),
        size(s.samples * s.classes * s.positions),
        z(size, 1),
        values(size, 2),
        sample_weight(s.samples, 3),
        class_weight(s.weights, 4),
        weighted(with_weights) {
    for (std::int64_t i = 0; i < s.samples; ++i) sample_weight[i] = T((i * 5) % 4) / 2;  // one is 0
    for (std::int64_t i = 0; i < s.weights; ++i)
      class_weight[i] = std::fabs(class_weight[i]) + T(0.2);
    for (std::int64_t i = 0; i < s.samples * s.positions; ++i) {
      labels.push_back(s.has_ignore && i % 5 == 1 ? s.ignore_index : (i * 7) % s.classes);
    }
    const bool probability = s.kind == LossKind::bce_with_logits || s.soft;
    for (std::int64_t i = 0; i < size; ++i) {
      if (probability || s.kind == LossKind::poisson_nll) values[i] = std::fabs(values[i]) / 2;
    }
    table.get<kernels::LossScale>(kDType<T>)(nullptr, {y(), sw(), cw(), Out(&scale), spec});
  }

  bool uses_labels() const { return spec.kind == LossKind::cross_entropy && !spec.soft; }
  In y() { return uses_labels() ? In(labels.data()) : values.in(); }
  In sw() { return weighted ? sample_weight.in() : In(); }
  In cw() { return spec.weights > 0 ? class_weight.in() : In(); }

  // s_n, times w_y and [not ignored] for labels: the weight of a position in the mean
  double sample(std::int64_t n) const { return weighted ? double(sample_weight[n]) : 1.0; }
  double in_mean(std::int64_t n, std::int64_t d) const {
    if (!uses_labels()) return sample(n);
    const std::int64_t c = labels[static_cast<std::size_t>(n * spec.positions + d)];
    if (spec.has_ignore && c == spec.ignore_index) return 0;
    return sample(n) * (spec.weights > 0 ? double(class_weight[c]) : 1.0);
  }
  double expected_scale() const {
    double sum = 0;
    for (std::int64_t n = 0; n < spec.samples; ++n) {
      for (std::int64_t d = 0; d < spec.positions; ++d) sum += in_mean(n, d);
    }
    return spec.mean ? 1 / sum : 1;
  }

  // l at position (n, d), in plain textbook form
  double position(std::int64_t n, std::int64_t d, const std::vector<double>& at) const {
    const std::int64_t C = spec.classes, D = spec.positions, q = n * D + d;
    const auto logit = [&](std::int64_t c) {
      return at[static_cast<std::size_t>((n * C + c) * D + d)];
    };
    const double x = logit(0), t = double(values[q]), r = x - t;
    switch (spec.kind) {
      case LossKind::mse:
        return r * r;
      case LossKind::poisson_nll:
        return std::exp(x) - t * x;
      case LossKind::huber:
        return std::fabs(r) < spec.delta ? r * r / 2 : spec.delta * (std::fabs(r) - spec.delta / 2);
      case LossKind::bce_with_logits: {
        const double p = spec.weights == 0 ? 1 : double(class_weight[spec.weights == 1 ? 0 : d]);
        const double s = 1 / (1 + std::exp(-x));
        return -p * t * std::log(s) - (1 - t) * std::log(1 - s);
      }
      case LossKind::gaussian_nll:
        return 0.5 * (logit(1) + (x - t) * (x - t) / std::exp(logit(1)));
      case LossKind::cross_entropy:
        break;
    }
    double sum = 0, loss = 0;
    for (std::int64_t c = 0; c < C; ++c) sum += std::exp(logit(c));
    if (in_mean(n, d) == 0 && sample(n) != 0) return 0;
    for (std::int64_t c = 0; c < C; ++c) {
      const double w = spec.weights > 0 ? double(class_weight[c]) : 1.0;
      const double share = spec.soft ? double(values[(n * C + c) * D + d])
                                     : labels[static_cast<std::size_t>(q)] == c;
      const double target = (1 - spec.label_smoothing) * share + spec.label_smoothing / double(C);
      loss -= w * target * std::log(std::exp(logit(c)) / sum);
    }
    return loss;
  }

  double value(const std::vector<double>& at) const {
    double sum = 0;
    for (std::int64_t n = 0; n < spec.samples; ++n) {
      for (std::int64_t d = 0; d < spec.positions; ++d) {
        sum += expected_scale() * sample(n) * position(n, d, at);
      }
    }
    return sum;
  }

  std::vector<double> logits() const {
    std::vector<double> at;
    for (std::int64_t i = 0; i < size; ++i) at.push_back(double(z[i]));
    return at;
  }

  void seed(Out loss, Out g, Out h, Out b, Out f) {
    table.get<kernels::LossSeed>(kDType<T>)(
        nullptr, {z.in(), y(), sw(), cw(), In(&scale), loss, g, h, b, f, spec});
  }
  void hessian(In dz, Out dg, std::int64_t reps) {
    table.get<kernels::LossHessian>(kDType<T>)(
        nullptr, {z.in(), y(), sw(), cw(), In(&scale), dz, dg, reps, spec});
  }
  void columns(Out out, std::int64_t first, std::int64_t count) {
    table.get<kernels::LossColumns>(kDType<T>)(
        nullptr, {z.in(), y(), sw(), cw(), In(&scale), out, first, count, spec});
  }
  void samples(Out out, std::int64_t count, std::uint64_t seed) {
    table.get<kernels::LossSample>(kDType<T>)(
        nullptr, {z.in(), y(), sw(), cw(), In(&scale), In(&seed), out, count, spec});
  }
};

std::vector<LossSpec> all_losses() {
  std::vector<LossSpec> specs;
  for (const std::int64_t positions : {1, 3, 19}) {
    for (const bool mean : {true, false}) {
      const LossSpec base{.samples = 7, .positions = positions, .mean = mean};
      LossSpec s = base;
      for (const LossKind kind : {LossKind::mse, LossKind::poisson_nll, LossKind::huber}) {
        s.kind = kind, s.delta = 1.3;
        specs.push_back(s);
      }
      s.kind = LossKind::gaussian_nll, s.classes = 2;
      specs.push_back(s);
      s = base, s.kind = LossKind::bce_with_logits;
      for (const std::int64_t weights : {std::int64_t{0}, std::int64_t{1}, positions}) {
        s.weights = weights;
        specs.push_back(s);
      }
      s = base, s.kind = LossKind::cross_entropy, s.classes = 5;
      specs.push_back(s);
      s.weights = 5, s.label_smoothing = 0.1;
      specs.push_back(s);
      s.has_ignore = true;
      specs.push_back(s);
      s.has_ignore = false, s.soft = true;
      specs.push_back(s);
    }
  }
  return specs;
}

// body(problem) for every loss, with and without sample weights, on every table
template <class F>
void for_problems(F body) {
  check::for_tables([&](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    for (const LossSpec& spec : all_losses()) {
      for (const bool weights : {false, true}) {
        Problem<T> problem(table, spec, weights);
        const int before = check::failures;
        body(problem, zero);
        if (check::failures == before) continue;
        std::printf("  (loss %d, D = %d, mean %d, soft %d, ignore %d, %d weights)\n",
                    int(spec.kind), int(spec.positions), int(spec.mean), int(spec.soft),
                    int(spec.has_ignore), int(spec.weights));
      }
    }
  });
}

template <class T>
inline constexpr double kTolerance = sizeof(T) == 4 ? 3e-6 : 1e-8;

}  // namespace

TEST("value and gradient") {
  for_problems([](auto& p, auto zero) {
    using T = decltype(zero);
    CHECK_CLOSE(p.scale, p.expected_scale(), 1e-6);
    T loss = 1;
    Guarded<T> g(p.size, 6);
    const Guarded<T> g0(g);
    p.seed(Out(&loss, true), g.out(true), Out(), Out(), Out());
    std::vector<double> at = p.logits();
    CHECK_CLOSE(loss, 1 + p.value(at), kTolerance<T>);
    expect("gradient", g, g0, true, kTolerance<T>, [&](std::int64_t i) {
      const std::int64_t d = i % p.spec.positions, n = i / p.spec.positions / p.spec.classes;
      double& x = at[static_cast<std::size_t>(i)];
      const double keep = x, h = 1e-5;
      x = keep + h;
      const double up = p.expected_scale() * p.sample(n) * p.position(n, d, at);
      x = keep - h;
      const double down = p.expected_scale() * p.sample(n) * p.position(n, d, at);
      x = keep;
      return (up - down) / (2 * h);
    });
  });
}

TEST("Hessian products, diagonal and columns agree") {
  for_problems([](auto& p, auto zero) {
    using T = decltype(zero);
    const std::int64_t all = p.spec.classes * p.spec.positions, reps = 2;
    Guarded<T> dz(reps * p.size, 6), dg(reps * p.size, 7), h(p.size, 8), columns(all * p.size, 9);
    const Guarded<T> dg0(dg), h0(h);
    p.hessian(dz.in(), dg.out(true), reps);
    p.seed(Out(), Out(), h.out(true), Out(), Out());
    p.columns(columns.out(), 0, 1);  // in two pieces
    if (all > 1) p.columns(Out(columns.data() + p.size), 1, all - 1);
    // sum over columns of sign * s <s, v>; samples do not mix, since s is taken one sample at a
    // time
    const std::int64_t row = all;
    const auto product = [&](std::int64_t i, const auto& v) {
      double sum = 0;
      for (std::int64_t c = 0; c < all; ++c) {
        double along = 0;
        for (std::int64_t k = i / row * row; k < i / row * row + row; ++k) {
          along += double(columns[c * p.size + k]) * v(k);
        }
        sum += math::column_sign(p.spec, c) * columns[c * p.size + i] * along;
      }
      return sum;
    };
    expect("columns", dg, dg0, true, 4 * kTolerance<T>, [&](std::int64_t i) {
      const std::int64_t r = i / p.size;
      return product(i % p.size, [&](std::int64_t k) { return double(dz[r * p.size + k]); });
    });
    expect("diagonal", h, h0, true, 4 * kTolerance<T>, [&](std::int64_t i) {
      return product(i, [&](std::int64_t k) { return k == i ? 1.0 : 0.0; });
    });
  });
}

TEST("Hessian products are differences of gradients") {
  for_problems([](auto& p, auto zero) {
    if constexpr (sizeof(zero) == 8) {
      const double step = 1e-5;
      Guarded<double> dz(p.size, 6), dg(p.size, 7), up(p.size, 8), down(p.size, 9);
      p.hessian(dz.in(), dg.out(), 1);
      const Guarded<double> z0(p.z);
      for (std::int64_t i = 0; i < p.size; ++i) p.z[i] = z0[i] + step * dz[i];
      p.seed(Out(), up.out(), Out(), Out(), Out());
      for (std::int64_t i = 0; i < p.size; ++i) p.z[i] = z0[i] - step * dz[i];
      p.seed(Out(), down.out(), Out(), Out(), Out());
      expect("product", dg, dg, false, 1e-8,
             [&](std::int64_t i) { return (up[i] - down[i]) / (2 * step); });
    }
  });
}

TEST("BL89's diagonal and the rows of the empirical Fisher") {
  for_problems([](auto& p, auto zero) {
    using T = decltype(zero);
    const std::int64_t C = p.spec.classes, D = p.spec.positions;
    Guarded<T> g(p.size, 5), h(p.size, 6), b(p.size, 7), f(p.size, 8);
    const Guarded<T> f0(f);
    p.seed(Out(), g.out(), h.out(), b.out(), f.out(true));
    expect("bl89", b, b, false, kTolerance<T>, [&](std::int64_t i) {
      if (p.spec.kind != LossKind::cross_entropy) return double(h[i]);
      const std::int64_t n = i / (C * D), c = i / D % C, d = i % D;
      const std::int64_t label = p.labels[static_cast<std::size_t>(n * D + d)];
      if (p.uses_labels() && p.spec.has_ignore && label == p.spec.ignore_index) return 0.0;
      double sum = 0;
      for (std::int64_t k = 0; k < C; ++k) sum += std::exp(double(p.z[(n * C + k) * D + d]));
      const double q = std::exp(double(p.z[i])) / sum, e = p.spec.label_smoothing;
      const double share = p.spec.soft ? double(p.values[i]) : label == c;
      const double w = p.spec.weights > 0 ? double(p.class_weight[c]) : 1.0;
      return p.scale * p.sample(n) * w * ((1 - e) * share + e / double(C)) * q * (1 - q);
    });
    expect("fisher", f, f0, true, kTolerance<T>, [&](std::int64_t i) {
      const double s = p.sample(i / (C * D));
      const double weight = p.spec.mean ? s * p.scale * double(D) : s;
      return weight == 0 ? 0.0 : double(g[i]) / std::sqrt(weight);
    });
  });
}

TEST("samples have the second moment of the Hessian") {
  for_problems([](auto& p, auto zero) {
    using T = decltype(zero);
    if (p.spec.positions == 19 || p.spec.kind == LossKind::gaussian_nll) return;
    const std::int64_t count = 2000, row = p.spec.classes * p.spec.positions;
    Guarded<T> u(count * p.size, 5), dz(p.size, 6), dg(p.size, 7);
    p.samples(u.out(), count, 42);
    p.hessian(dz.in(), dg.out(), 1);
    for (std::int64_t i = 0; i < p.size; ++i) {
      double sum = 0, square = 0;
      for (std::int64_t s = 0; s < count; ++s) {
        double along = 0;
        for (std::int64_t k = i / row * row; k < i / row * row + row; ++k) {
          along += double(u[s * p.size + k]) * dz[k];
        }
        const double one = u[s * p.size + i] * along;  // 1 / count is in u u' already
        sum += one, square += one * one;
      }
      const double error = std::sqrt(std::fmax(0, square - sum * sum / double(count)));
      CHECK(std::fabs(sum - dg[i]) < 5 * error + 1e-5);
    }
  });
}

TEST("extreme logits give finite losses and curvatures") {
  check::for_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    LossSpec spec{.kind = LossKind::cross_entropy, .samples = 4, .classes = 3};
    Problem<T> p(table, spec, false);
    const double logits[] = {1e4, 0, -1e4, -1e4, -1e4, -1e4, 1e4, 1e4, 1e4, -1e4, 1e4, 0};
    for (std::int64_t i = 0; i < 12; ++i) p.z[i] = T(logits[i]);
    for (std::size_t n = 0; n < 4; ++n) p.labels[n] = n == 3 ? 0 : 2;
    Guarded<T> g(12, 5), h(12, 6), b(12, 7);
    T loss = 0;
    p.seed(Out(&loss), g.out(), h.out(), b.out(), Out());
    CHECK_CLOSE(loss, (2e4 + 2 * std::log(3.0) + 2e4) / 4, 1e-6);
    CHECK(g[0] == T(0.25) && g[2] == T(-0.25) && h[0] == 0 && b[2] == 0);
    CHECK_CLOSE(h[3], 0.25 * 2 / 9, 1e-6);
  });
}

TEST("a label that is no class shows as NaN, an empty batch as zero") {
  check::for_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    LossSpec spec{.kind = LossKind::cross_entropy, .samples = 3, .classes = 4, .has_ignore = true};
    T loss = 0;
    Guarded<T> g(12, 5);
    {
      Problem<T> p(table, spec, false);
      p.labels = {0, 4, 1};
      p.seed(Out(&loss), g.out(), Out(), Out(), Out());
      CHECK(std::isnan(loss) && std::isnan(g[4]) && !std::isnan(g[0]) && !std::isnan(g[8]));
    }
    Problem<T> p(table, spec, false);
    p.labels = {-100, -100, -100};
    table.get<kernels::LossScale>(kDType<T>)(nullptr, {p.y(), In(), In(), Out(&p.scale), spec});
    p.seed(Out(&loss), g.out(), Out(), Out(), Out());
    CHECK(p.scale == 0 && loss == 0);
    for (std::int64_t i = 0; i < 12; ++i) CHECK(g[i] == 0);
  });
}
