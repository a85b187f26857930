// The loss kernels against an independent value: gradients and Hessians by differences, columns and
// samples against Hessian products, for every loss and option.
#include "loss_problems.hpp"

using namespace loss_problems;
using check::expect;

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
    const std::int64_t all = math::column_count(p.spec), reps = 2;
    const std::int64_t row = p.spec.classes * p.spec.positions;
    Guarded<T> dz(reps * p.size, 6), dg(reps * p.size, 7), h(p.size, 8), columns(all * p.size, 9);
    const Guarded<T> dg0(dg), h0(h);
    p.hessian(dz.in(), dg.out(true), reps);
    p.seed(Out(), Out(), h.out(true), Out(), Out());
    if (all > 0) p.columns(columns.out(), 0, 1);  // in two pieces
    if (all > 1) p.columns(Out(columns.data() + p.size), 1, all - 1);
    // sum over columns of sign * s <s, v>; samples do not mix, since s is taken one sample at a
    // time
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
