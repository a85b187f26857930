// The loss kernels against an independent value: gradients and Hessians by differences, columns and
// samples against Hessian products, for every loss and option.
#include <vector>

#include "kernel_tables.hpp"

using namespace hesscore;
using check::expect;
using check::Guarded;
using math::LossKind;
using math::LossSpec;

namespace {

// A loss on a small batch.
template <class T>
struct Problem {
  const KernelTable& table;
  LossSpec spec;
  std::int64_t size;  // of z
  Guarded<T> z, values, sample_weight, class_weight, scale;
  Guarded<std::int64_t> labels;
  bool weighted;

  Problem(const KernelTable& t, const LossSpec& s, bool with_weights)
      : table(t),
        spec(s),
        size(s.samples * s.classes * s.positions),
        z(size, 1),
        values(size, 2),
        sample_weight(s.samples, 3),
        class_weight(s.weights, 4),
        scale(1, 5),
        labels(s.samples * s.positions, 6),
        weighted(with_weights) {
    for (std::int64_t i = 0; i < s.samples; ++i) sample_weight[i] = T((i * 5) % 4) / 2;  // one is 0
    for (std::int64_t i = 0; i < s.weights; ++i)
      class_weight[i] = std::fabs(class_weight[i]) + T(0.2);
    for (std::int64_t i = 0; i < labels.size(); ++i) {
      labels[i] = s.has_ignore && i % 5 == 1 ? s.ignore_index : (i * 7) % s.classes;
    }
    const bool probability = s.kind == LossKind::bce_with_logits || s.soft;
    for (std::int64_t i = 0; i < size; ++i) {
      if (probability || s.kind == LossKind::poisson_nll) values[i] = std::fabs(values[i]) / 2;
    }
    find_scale();
  }

  template <class Key>
  void call(const typename Key::Args& args) {
    check::run<Key, T>(table, args);
  }
  void find_scale() { call<kernels::LossScale>({y(), sw(), cw(), scale.out(), spec}); }

  bool uses_labels() const { return spec.kind == LossKind::cross_entropy && !spec.soft; }
  In y() { return uses_labels() ? labels.in() : values.in(); }
  In sw() { return weighted ? sample_weight.in() : In(); }
  In cw() { return spec.weights > 0 ? class_weight.in() : In(); }

  // s_n, times w_y and [not ignored] for labels: the weight of a position in the mean
  double sample(std::int64_t n) const { return weighted ? double(sample_weight[n]) : 1.0; }
  double in_mean(std::int64_t n, std::int64_t d) const {
    if (!uses_labels()) return sample(n);
    const std::int64_t c = labels[n * spec.positions + d];
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
      const double share = spec.soft ? double(values[(n * C + c) * D + d]) : labels[q] == c;
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
    call<kernels::LossSeed>({z.in(), y(), sw(), cw(), scale.in(), loss, g, h, b, f, spec});
  }
  void hessian(In dz, Out dg, std::int64_t reps) {
    call<kernels::LossHessian>({z.in(), y(), sw(), cw(), scale.in(), dz, dg, reps, spec});
  }
  void columns(Out out, std::int64_t first, std::int64_t count) {
    call<kernels::LossColumns>({z.in(), y(), sw(), cw(), scale.in(), out, first, count, spec});
  }
  void samples(Out out, std::int64_t count, std::int64_t seed) {
    Guarded<std::int64_t> clock(1, 0);
    clock[0] = seed;
    call<kernels::LossSample>({z.in(), y(), sw(), cw(), scale.in(), clock.in(), out, count, spec});
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

// Cross-entropy in shapes that a device may share out in different ways.
std::vector<LossSpec> softmax_shapes() {
  std::vector<LossSpec> specs;
  for (const std::int64_t classes : {1, 2, 10, 31, 32, 33, 100, 257, 1000, 1025}) {
    for (const std::int64_t positions : {1, 3, 37}) {
      LossSpec s{.kind = LossKind::cross_entropy, .classes = classes, .positions = positions};
      s.samples = classes * positions > 3000 ? 1 : (positions == 1 ? 70 : 5);
      const std::size_t option = specs.size() % 5;
      s.mean = option == 2;
      s.label_smoothing = option == 1 || option == 4 ? 0.1 : 0;
      s.weights = option >= 2 ? classes : 0;
      s.has_ignore = option == 2;
      s.soft = option == 4;
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

// As far apart as rounding explains, in units of the largest value.
template <class T, class R>
void expect_near(const char* what, const Guarded<T>& y, const Guarded<R>& reference,
                 double tolerance) {
  double largest = 0;
  for (std::int64_t i = 0; i < y.size(); ++i) {
    largest = std::fmax(largest, std::fabs(double(reference[i])));
  }
  for (std::int64_t i = 0; i < y.size(); ++i) {
    if (std::fabs(double(y[i]) - double(reference[i])) <= tolerance * largest) continue;
    check::fail(what, static_cast<int>(i),
                std::to_string(double(y[i])) + " instead of " + std::to_string(reference[i]));
    return;
  }
}

template <class T>
inline constexpr double kTolerance = sizeof(T) == 4 ? 3e-6 : 1e-8;

}  // namespace

TEST("value and gradient") {
  for_problems([](auto& p, auto zero) {
    using T = decltype(zero);
    CHECK_CLOSE(p.scale[0], p.expected_scale(), 1e-6);
    Guarded<T> loss(1, 5), g(p.size, 6);
    loss[0] = 1;
    const Guarded<T> g0(g);
    p.seed(loss.out(true), g.out(true), Out(), Out(), Out());
    std::vector<double> at = p.logits();
    CHECK_CLOSE(loss[0], 1 + p.value(at), kTolerance<T>);
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
      const std::int64_t label = p.labels[n * D + d];
      if (p.uses_labels() && p.spec.has_ignore && label == p.spec.ignore_index) return 0.0;
      double sum = 0;
      for (std::int64_t k = 0; k < C; ++k) sum += std::exp(double(p.z[(n * C + k) * D + d]));
      const double q = std::exp(double(p.z[i])) / sum, e = p.spec.label_smoothing;
      const double share = p.spec.soft ? double(p.values[i]) : label == c;
      const double w = p.spec.weights > 0 ? double(p.class_weight[c]) : 1.0;
      return p.scale[0] * p.sample(n) * w * ((1 - e) * share + e / double(C)) * q * (1 - q);
    });
    expect("fisher", f, f0, true, kTolerance<T>, [&](std::int64_t i) {
      const double s = p.sample(i / (C * D));
      const double weight = p.spec.mean ? s * p.scale[0] * double(D) : s;
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
    for (std::int64_t n = 0; n < 4; ++n) p.labels[n] = n == 3 ? 0 : 2;
    Guarded<T> loss(1, 4), g(12, 5), h(12, 6), b(12, 7);
    p.seed(loss.out(), g.out(), h.out(), b.out(), Out());
    CHECK_CLOSE(loss[0], (2e4 + 2 * std::log(3.0) + 2e4) / 4, 1e-6);
    CHECK(g[0] == T(0.25) && g[2] == T(-0.25) && h[0] == 0 && b[2] == 0);
    CHECK_CLOSE(h[3], 0.25 * 2 / 9, 1e-6);
  });
}

TEST("a label that is no class shows as NaN, an empty batch as zero") {
  check::for_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    LossSpec spec{.kind = LossKind::cross_entropy, .samples = 3, .classes = 4, .has_ignore = true};
    Guarded<T> loss(1, 4), g(12, 5);
    Problem<T> p(table, spec, false);
    p.labels[0] = 0, p.labels[1] = 4, p.labels[2] = 1;
    p.seed(loss.out(), g.out(), Out(), Out(), Out());
    CHECK(std::isnan(loss[0]) && std::isnan(g[4]) && !std::isnan(g[0]) && !std::isnan(g[8]));

    for (std::int64_t n = 0; n < 3; ++n) p.labels[n] = -100;
    p.find_scale();
    p.seed(loss.out(), g.out(), Out(), Out(), Out());
    CHECK(p.scale[0] == 0 && loss[0] == 0);
    for (std::int64_t i = 0; i < 12; ++i) CHECK(g[i] == 0);
  });
}

TEST("every shape of rows agrees with the plain kernels in float64") {
  const KernelTable plain = cpu::make_kernel_table(cpu::supported_isas().front());
  check::for_tables([&](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    for (const LossSpec& spec : softmax_shapes()) {
      const int before = check::failures;
      const std::int64_t reps = 2;
      Problem<T> p(table, spec, spec.weights > 0);
      Problem<double> q(plain, spec, spec.weights > 0);
      for (std::int64_t i = 0; i < p.size; ++i) q.z[i] = p.z[i], q.values[i] = p.values[i];
      const auto run = [&](auto& problem) {
        using R = std::remove_reference_t<decltype(problem.z[0])>;
        const std::int64_t n = problem.size;
        std::vector<Guarded<R>> out;
        for (const std::int64_t size : {std::int64_t{1}, n, n, n, n, reps * n, reps * n}) {
          out.emplace_back(size, 6);
        }
        Guarded<R> dz(reps * n, 7);
        problem.seed(out[0].out(), out[1].out(), out[2].out(), out[3].out(), out[4].out());
        problem.hessian(dz.in(), out[5].out(true), reps);
        const std::int64_t columns = spec.classes * spec.positions;
        problem.columns(out[6].out(), (columns - 1) / 2, columns > 1 ? reps : 1);
        return out;
      };
      const auto found = run(p);
      const auto expected = run(q);
      const char* names[] = {"loss",   "gradient", "diagonal", "bl89",
                             "fisher", "product",  "columns"};
      for (std::size_t i = 0; i < found.size(); ++i) {
        expect_near(names[i], found[i], expected[i], 5 * check::kTolerance<T>);
      }
      if (check::failures == before) continue;
      std::printf("  (C = %d, D = %d)\n", int(spec.classes), int(spec.positions));
    }
  });
}

TEST("every table draws the same samples") {
  const KernelTable plain = cpu::make_kernel_table(cpu::supported_isas().front());
  check::for_tables([&](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    std::vector<LossSpec> specs = all_losses();
    for (const LossSpec& spec : softmax_shapes()) specs.push_back(spec);
    for (const LossSpec& spec : specs) {
      Problem<T> p(table, spec, true), q(plain, spec, true);
      const std::int64_t samples = 7, depth = spec.positions, row = spec.classes * depth;
      Guarded<T> found(samples * p.size, 5), expected(samples * p.size, 6);
      p.samples(found.out(), samples, 42);
      q.samples(expected.out(), samples, 42);
      // rounding may move a draw of float32 across the border of two classes
      std::int64_t different = 0;
      for (std::int64_t at = 0; at < found.size();
           at += at % depth + 1 < depth ? 1 : row - depth + 1) {
        bool same = true;
        for (std::int64_t i = at; i < at + row; i += depth) {
          same = same && check::close(found[i], expected[i], 2 * check::kTolerance<T>);
        }
        different += !same;
      }
      CHECK(different <= (sizeof(T) == 4 ? 1 : 0));
    }
  });
}

TEST("samples of weight zero may hold anything, logits may be -infinity") {
  check::for_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    for (const LossSpec& spec : all_losses()) {
      Problem<T> p(table, spec, true);  // sample 0 has weight 0
      const std::int64_t row = spec.classes * spec.positions;
      for (std::int64_t i = 0; i < row; ++i) p.z[i] = T(i % 2 == 0 ? HUGE_VAL : NAN);
      if (spec.kind == LossKind::cross_entropy && !spec.soft && spec.label_smoothing == 0) {
        for (std::int64_t n = 1; n < spec.samples; ++n) {
          for (std::int64_t d = 0; d < spec.positions; ++d) {
            const std::int64_t other = (p.labels[n * spec.positions + d] + 1) % spec.classes;
            p.z[(n * spec.classes + other) * spec.positions + d] = T(-HUGE_VAL);
          }
        }
      }
      Guarded<T> loss(1, 4), g(p.size, 5), h(p.size, 6), b(p.size, 7), f(p.size, 8), dz(p.size, 9);
      Guarded<T> product(p.size, 5), columns(p.size, 6), samples(p.size, 7);
      p.seed(loss.out(), g.out(), h.out(), b.out(), f.out());
      p.hessian(dz.in(), product.out(), 1);
      p.columns(columns.out(), 0, 1);
      p.samples(samples.out(), 1, 3);
      CHECK(std::isfinite(loss[0]));
      for (const Guarded<T>* y : {&g, &h, &b, &f, &product, &columns, &samples}) {
        for (std::int64_t i = 0; i < p.size; ++i) {
          CHECK(i < row ? (*y)[i] == 0 : std::isfinite((*y)[i]));
        }
      }
    }
  });
}

TEST("a loss that is watched raises the alarm unless it is moderate") {
  check::for_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    if (check::device_now == nullptr) return;
    for (const LossKind kind : {LossKind::cross_entropy, LossKind::gaussian_nll, LossKind::mse}) {
      const bool pairs = kind == LossKind::gaussian_nll;
      Problem<T> p(table, {.kind = kind, .samples = 600, .classes = pairs ? 2 : 1}, false);
      Guarded<T> loss(1, 4);
      for (const bool bad : {false, true}) {
        for (const bool watch : {false, true}) {
          p.z[p.size - 2] = bad ? T(NAN) : T(1);
          check::device_now->clear_alarm();
          Out out = loss.out();
          out.watch = watch;
          p.seed(out, Out(), Out(), Out(), Out());
          CHECK(check::device_now->alarm() == (bad && watch));
        }
      }
      check::device_now->clear_alarm();
    }
  });
}
