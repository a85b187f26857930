// The loss kernels at their edges: extreme logits, bad labels, padding, the alarm; and
// cross-entropy in every shape of rows.
#include "loss_problems.hpp"

using namespace loss_problems;

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

TEST("columns of saturated logits are those of the exact Hessian") {
  check::for_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    LossSpec spec{.kind = LossKind::cross_entropy, .samples = 6, .classes = 3, .mean = false};
    Problem<T> p(table, spec, false);
    const double logits[] = {1e4, 0,   -1e4, -1e4, 1e4, 0,  0,    -1e4, 1e4,
                             1e4, 1e4, -1e4, 30,   0,   10, -1e4, 1e4,  1e4};
    for (std::int64_t i = 0; i < 18; ++i) p.z[i] = T(logits[i]);
    Guarded<T> columns(2 * 18, 5);
    p.columns(columns.out(), 0, 2);
    for (std::int64_t n = 0; n < 6; ++n) {
      const double top = std::max({logits[3 * n], logits[3 * n + 1], logits[3 * n + 2]});
      double e[3], sum = 0;
      for (int c = 0; c < 3; ++c) sum += e[c] = std::exp(logits[3 * n + c] - top);
      for (int c = 0; c < 3; ++c) {
        for (int k = 0; k <= c; ++k) {
          const double rest = (sum - e[c] > 0.5 ? sum - e[c] : e[(c + 1) % 3] + e[(c + 2) % 3]);
          const double exact = c == k ? e[c] * rest / sum / sum : -e[c] * e[k] / sum / sum;
          double found = 0;
          for (int j = 0; j < 2; ++j) {
            const T* column = &columns.data()[j * 18 + 3 * n];
            found += double(column[c]) * double(column[k]);
          }
          const double size = std::sqrt(e[c] * e[k]) / sum;
          CHECK(std::isfinite(found) &&
                std::fabs(found - exact) <= 8 * check::kTolerance<T> * size);
        }
      }
    }
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
        const std::int64_t columns = math::column_count(spec);
        if (columns > 0) problem.columns(out[6].out(), (columns - 1) / 2, columns > 1 ? reps : 1);
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
