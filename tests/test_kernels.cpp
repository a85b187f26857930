// Element-wise, summing, random and vector kernels against naive loops: all instruction sets, both
// dtypes, odd sizes, accumulation, in place.
#include "kernel_tables.hpp"
#include "math/activations.hpp"
#include "math/rng.hpp"
#include "math/updates.hpp"

using namespace hesscore;
using check::Array;
using check::expect;
using check::Guarded;
using check::kTolerance;

namespace {

const std::int64_t kSizes[] = {1, 7, 513, 1000, 33001};

// body(n, reps, accumulate)
template <class F>
void for_sizes(F body) {
  for (const std::int64_t n : kSizes) {
    for (const std::int64_t reps : {1, 3}) {
      for (const bool accumulate : {false, true}) body(n, reps, accumulate);
    }
  }
}

template <class Key, class T>
void run(const KernelTable& table, T, const typename Key::Args& args) {
  check::run<Key, T>(table, args);
}

}  // namespace

TEST("map kernels apply f, f' and f''") {
  check::for_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    for (std::int32_t id = 0; id < math::kActivationCount; ++id) {
      const kernels::Activation act{id, math::kActivations[id].alpha};
      math::dispatch(id, [&](auto a) {
        using A = decltype(a);
        const auto jet = [&](T x) { return A::at(static_cast<double>(x), act.alpha); };
        for (const bool acc : {false, true}) {
          const std::int64_t n = 1037, reps = 2;
          Guarded<T> x(n, 1), dx(reps * n, 2), gy(n, 3), dgy(reps * n, 4), hy(n, 5);
          Guarded<T> y(n, 6), dy(reps * n, 7), dgx(reps * n, 8), gx(n, 9), hx(n, 10), nx(n, 11);
          const Guarded<T> y0(y), dy0(dy), dgx0(dgx), gx0(gx), hx0(hx), nx0(nx);
          const double tol = 2 * kTolerance<T>;
          run<kernels::MapForward>(table, zero, {x.in(), y.out(acc), n, act});
          expect("forward", y, y0, acc, tol, [&](auto i) { return jet(x[i]).f; });
          run<kernels::MapTangent>(table, zero, {x.in(), dx.in(), dy.out(acc), n, reps, act});
          expect("tangent", dy, dy0, acc, tol, [&](auto i) { return jet(x[i % n]).d * dx[i]; });
          run<kernels::MapSecond>(table, zero,
                                  {x.in(), dx.in(), gy.in(), dgy.in(), dgx.out(acc), n, reps, act});
          expect("second", dgx, dgx0, acc, tol, [&](auto i) {
            const auto j = jet(x[i % n]);
            return j.d * dgy[i] + j.dd * dx[i] * gy[i % n];
          });
          run<kernels::MapDiagonal>(
              table, zero, {x.in(), gy.in(), hy.in(), gx.out(acc), hx.out(acc), n, false, act});
          expect("gradient", gx, gx0, acc, tol, [&](auto i) { return jet(x[i]).d * gy[i]; });
          expect("diagonal", hx, hx0, acc, tol, [&](auto i) {
            const auto j = jet(x[i]);
            return j.d * j.d * hy[i] + j.dd * gy[i];
          });
          run<kernels::MapDiagonal>(table, zero,
                                    {x.in(), gy.in(), hy.in(), Out(), nx.out(acc), n, true, act});
          expect("Gauss-Newton", nx, nx0, acc, tol, [&](auto i) {
            const auto j = jet(x[i]);
            return j.d * j.d * hy[i];
          });
        }
      });
    }
  });
}

TEST("map kernels work in place") {
  check::for_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    const std::int64_t n = 20001;
    const kernels::Activation act{static_cast<std::int32_t>(math::Act::tanh)};
    Guarded<T> x(n, 1), g(n, 2), h(n, 3);
    const Guarded<T> x0(x), g0(g), h0(h);
    const auto jet = [&](std::int64_t i) { return math::Tanh::at(double(x0[i]), 0.0); };
    run<kernels::MapDiagonal>(table, zero,
                              {x.in(), g.in(), h.in(), g.out(), h.out(), n, false, act});
    run<kernels::MapForward>(table, zero, {x.in(), x.out(), n, act});
    const double tol = kTolerance<T>;
    expect("g", g, g0, false, tol, [&](auto i) { return jet(i).d * g0[i]; });
    expect("h", h, h0, false, tol,
           [&](auto i) { return jet(i).d * jet(i).d * h0[i] + jet(i).dd * g0[i]; });
    expect("x", x, x0, false, tol, [&](auto i) { return jet(i).f; });
  });
}

TEST("fill, copy and multiply") {
  check::for_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    for_sizes([&](std::int64_t n, std::int64_t reps, bool acc) {
      Guarded<T> a(reps * n, 1), b(reps * n, 2), y(reps * n, 3), wide(reps * (n + 5), 4);
      const Guarded<T> y0(y), wide0(wide);
      run<kernels::Copy>(table, zero, {a.in(), wide.out(acc), reps, n, n, n + 5, -1.5});
      expect("copy", wide, wide0, false, kTolerance<T>, [&](auto i) {
        const std::int64_t o = i / (n + 5), k = i % (n + 5);
        return k < n ? T(-1.5) * a[o * n + k] + (acc ? wide0[i] : T(0)) : wide0[i];
      });
      run<kernels::Multiply>(table, zero, {a.in(), b.in(), y.out(acc), n, reps, true, false, true});
      expect("multiply", y, y0, acc, 2 * kTolerance<T>,
             [&](auto i) { return double(a[i]) * b[i % n] * b[i % n]; });
      Guarded<T> z(reps * n, 5), filled(n, 6);
      const Guarded<T> z0(z), filled0(filled);
      run<kernels::Multiply>(table, zero, {a.in(), b.in(), z.out(acc), n, reps, false, true});
      expect("multiply", z, z0, acc, kTolerance<T>,
             [&](auto i) { return double(a[i % n]) * b[i]; });
      run<kernels::Fill>(table, zero, {filled.out(acc), n, 0.25});
      expect("fill", filled, filled0, acc, kTolerance<T>, [&](auto) { return 0.25; });
    });
  });
}

TEST("square_sum and multiply_sum") {
  check::for_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    for_sizes([&](std::int64_t n, std::int64_t reps, bool acc) {
      Guarded<T> a(reps * n, 1), b(reps * n, 2), y(n, 3), z(n, 4);
      const Guarded<T> y0(y), z0(z);
      run<kernels::SquareSum>(table, zero, {a.in(), y.out(acc), n, reps, 0.5});
      run<kernels::MultiplySum>(table, zero, {a.in(), b.in(), z.out(acc), n, reps, 0.5});
      const auto sum = [&](const Guarded<T>& q, std::int64_t i) {
        double s = 0;
        for (std::int64_t r = 0; r < reps; ++r) s += double(a[r * n + i]) * q[r * n + i];
        return 0.5 * s;
      };
      expect("square_sum", y, y0, acc, 2 * kTolerance<T>, [&](auto i) { return sum(a, i); });
      expect("multiply_sum", z, z0, acc, 2 * kTolerance<T>, [&](auto i) { return sum(b, i); });
    });
  });
}

TEST("moments: mean, variance and norms") {
  check::for_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    for_sizes([&](std::int64_t n, std::int64_t, bool acc) {
      Guarded<T> sum(n, 1), square(n, 2), mean(n, 3), variance(n, 4), root(n, 5), x(n, 6);
      for (std::int64_t i = 0; i < n; ++i) x[i] *= x[i];
      const Guarded<T> mean0(mean), variance0(variance), root0(root), sum0(sum);
      const auto mean_of = [&](auto i) { return 0.25 * double(sum0[i]); };
      const auto variance_of = [&](auto i) {
        return std::fmax(double(square[i]) - mean_of(i) * mean_of(i), 0);
      };
      run<kernels::Moments>(table, zero,
                            {sum.in(), square.in(), mean.out(acc), variance.out(acc), n, 0.25});
      expect("mean", mean, mean0, acc, kTolerance<T>, mean_of);
      expect("variance", variance, variance0, acc, 2 * kTolerance<T>, variance_of);
      run<kernels::SquareRoot>(table, zero, {x.in(), root.out(acc), n});
      expect("square_root", root, root0, acc, kTolerance<T>,
             [&](auto i) { return std::sqrt(double(x[i])); });
      run<kernels::Moments>(table, zero, {sum.in(), square.in(), sum.out(), {}, n, 0.25});
      expect("mean in place", sum, sum0, false, kTolerance<T>, mean_of);
    });
    Guarded<T> bad(1, 1), one(1, 2), mean(1, 3), variance(1, 4);
    bad[0] = static_cast<T>(NAN);
    run<kernels::Moments>(table, zero, {one.in(), bad.in(), mean.out(), variance.out(), 1});
    CHECK(std::isnan(variance[0]));
  });
}

TEST("column_sum contracts positions before squaring") {
  check::for_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    const std::int64_t shapes[][4] = {// batch, groups, positions, columns
                                      {1, 5, 1, 3},     {3, 7, 4, 10},   {1, 20000, 1, 17},
                                      {2, 3000, 5, 11}, {1, 3, 2, 1300}, {2, 0, 1, 4}};
    for (const auto& [batch, groups, positions, columns] : shapes) {
      for (const bool square : {false, true}) {
        for (const bool acc : {false, true}) {
          const std::int64_t step = groups * positions * columns + 3;
          Guarded<T> x(batch * step, 1), y(batch * (columns + 2), 2);
          const Guarded<T> y0(y);
          run<kernels::ColumnSum>(table, zero,
                                  {x.in(), y.out(acc), groups, positions, columns, square, 0.1,
                                   batch, step, columns + 2});
          expect("column_sum", y, y0, false, 100 * kTolerance<T>, [&](auto i) -> double {
            const std::int64_t b = i / (columns + 2), j = i % (columns + 2);
            if (j >= columns) return y0[i];
            double sum = 0;
            for (std::int64_t g = 0; g < groups; ++g) {
              double row = 0;
              for (std::int64_t t = 0; t < positions; ++t) {
                row += x[b * step + (g * positions + t) * columns + j];
              }
              sum += square ? row * row : row;
            }
            return 0.1 * sum + (acc ? double(y0[i]) : 0);
          });
        }
      }
    }
  });
}

TEST("dropout draws from its counters and keeps the mean") {
  check::for_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    Guarded<std::int64_t> clock(2, 1);
    clock[0] = 11, clock[1] = 5;
    for_sizes([&](std::int64_t n, std::int64_t reps, bool acc) {
      Guarded<T> x(reps * n, 1), y(reps * n, 2);
      const Guarded<T> y0(y);
      run<kernels::Dropout>(table, zero, {x.in(), clock.in(), y.out(acc), n, reps, 0.3, 4, true});
      expect("dropout", y, y0, acc, 2 * kTolerance<T>, [&](auto i) {
        const math::Random r = math::dropout_words(11, 5, 4, i % n / 4);
        const std::uint32_t words[] = {r.a, r.b, r.c, r.d};
        return words[i % n % 4] / 4294967296.0 >= 0.3 ? double(x[i]) / 0.49 : 0.0;
      });
    });
    const std::int64_t n = 40000;
    Guarded<T> x(n, 1), y(n, 2), other(n, 3);
    for (std::int64_t i = 0; i < n; ++i) x[i] = 1;
    run<kernels::Dropout>(table, zero, {x.in(), clock.in(), y.out(), n, 1, 0.3, 0});
    clock[1] = 6;
    run<kernels::Dropout>(table, zero, {x.in(), clock.in(), other.out(), n, 1, 0.3, 0});
    double sum = 0, agreement = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      sum += y[i];
      agreement += (y[i] == 0) == (other[i] == 0);
    }
    CHECK(std::fabs(sum / n - 1) < 5 * std::sqrt(0.3 / 0.7 / n));
    CHECK(std::fabs(agreement / n - 0.58) < 5 * std::sqrt(0.58 * 0.42 / n));
  });
}

TEST("rademacher signs are balanced, independent, and the same in both dtypes") {
  check::for_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    Guarded<std::int64_t> seed(1, 1);
    seed[0] = 3;
    const std::int64_t n = 40001;
    Guarded<T> y(n, 1), part(700, 2), other(n, 3);
    run<kernels::Rademacher>(table, zero, {seed.in(), y.out(), n, 1});
    run<kernels::Rademacher>(table, zero, {seed.in(), part.out(), 700, 1});
    run<kernels::Rademacher>(table, zero, {seed.in(), other.out(), n, 2});
    double sum = 0, lag = 0, cross = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      CHECK(y[i] == 1 || y[i] == -1);
      sum += y[i], cross += y[i] * other[i];
      lag += i > 0 ? y[i] * y[i - 1] : 0;
    }
    const double bound = 5 * std::sqrt(static_cast<double>(n));
    CHECK(std::fabs(sum) < bound && std::fabs(lag) < bound && std::fabs(cross) < bound);
    for (std::int64_t i = 0; i < 700; ++i) {
      CHECK(part[i] == y[i]);
      const math::Random r =
          math::draw(math::Purpose::probe, 3, static_cast<std::uint64_t>(i / 128), 1);
      const std::uint32_t words[] = {r.a, r.b, r.c, r.d};
      CHECK(y[i] == math::random_sign<T>(words[i / 32 % 4], static_cast<int>(i % 32)));
    }
  });
}

TEST("row_project applies sums of outer products") {
  check::for_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    for (const std::int64_t m : {1, 10, 77}) {
      for (const std::int64_t rows : {3, 600}) {
        for (const bool acc : {false, true}) {
          const std::int64_t samples = 3, reps = 2, size = rows * m;
          Guarded<T> u(samples * size, 1), dz(reps * size, 2), out(reps * size, 3);
          const Guarded<T> out0(out);
          run<kernels::RowProject>(table, zero,
                                   {u.in(), dz.in(), out.out(acc), samples, rows, m, reps});
          expect("row_project", out, out0, acc, 100 * kTolerance<T>, [&](auto i) {
            const std::int64_t r = i / size, k = i % size, row = k / m * m;
            double sum = 0;
            for (std::int64_t s = 0; s < samples; ++s) {
              double along = 0;
              for (std::int64_t j = 0; j < m; ++j) {
                along += double(u[s * size + row + j]) * dz[r * size + row + j];
              }
              sum += u[s * size + k] * along;
            }
            return sum;
          });
        }
      }
    }
  });
}

TEST("axpby, power, dot and all_finite") {
  check::for_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    for_sizes([&](std::int64_t n, std::int64_t, bool acc) {
      Guarded<T> x(n, 1), y(n, 2), z(n, 3), p(n, 4);
      const Guarded<T> y0(y), p0(p);
      run<kernels::Axpby>(table, zero, {x.in(), y.out(), n, 0.5, -2});
      expect("axpby", y, y0, false, 2 * kTolerance<T>,
             [&](auto i) { return 0.5 * x[i] - 2.0 * y0[i]; });
      for (std::int64_t i = 0; i < n; ++i) z[i] = T(NAN);
      run<kernels::Axpby>(table, zero, {x.in(), z.out(), n, 0.5, 0});
      expect("axpby", z, y0, false, kTolerance<T>, [&](auto i) { return 0.5 * x[i]; });
      run<kernels::Power>(table, zero, {x.in(), p.out(acc), n, 0.1, 0.75});
      expect("power", p, p0, acc, 2 * kTolerance<T>,
             [&](auto i) { return std::pow(std::fabs(double(x[i])) + 0.1, 0.75); });
      double result = 0, expected = 0, size = 0;
      run<kernels::Dot>(table, zero, {x.in(), y.in(), n, &result});
      for (std::int64_t i = 0; i < n; ++i) {
        expected += double(x[i]) * y[i];
        size += std::fabs(double(x[i]) * y[i]);
      }
      CHECK_CLOSE(result / size, expected / size, 1e-14);
      int finite = 0;
      run<kernels::AllFinite>(table, zero, {x.in(), n, &finite});
      CHECK(finite == 1);
      for (const double bad : {HUGE_VAL, -HUGE_VAL, double(NAN)}) {
        Guarded<T> w(n, 5);
        w[n / 2] = T(bad);
        run<kernels::AllFinite>(table, zero, {w.in(), n, &finite});
        CHECK(finite == 0);
      }
    });
  });
}

TEST("the curvature along a step of Adam") {
  check::for_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    for (const std::int64_t n : kSizes) {
      for (const bool absolute : {false, true}) {
        for (const double power : {1.0, 0.5, 2.0}) {
          const math::UpdateSpec spec{
              .power = power, .correction1 = 0.2, .correction2 = 0.3, .abs_moment = absolute};
          Guarded<T> m(n, 2), u(n, 3);
          double found = 0, expected = 0;
          for (std::int64_t i = 0; i < n; ++i) {
            u[i] = std::fabs(u[i]) + T(0.1);
            const double h = absolute ? u[i] : std::sqrt(u[i]);
            const double root = std::pow(u[i] / 0.3, absolute ? power : power / 2);
            const double step = m[i] / 0.2 / (root + spec.eps);
            expected += h * step * step;
          }
          run<kernels::StepCurvature>(table, zero, {m.in(), u.in(), n, spec, &found});
          CHECK(std::fabs(found - expected) <= 8 * kTolerance<T> * expected);
        }
      }
    }
  });
}

TEST("update applies the rules of math/updates.hpp") {
  check::for_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    for (const std::int64_t n : kSizes) {
      using math::UpdateKind;
      for (const UpdateKind kind : {UpdateKind::sgd, UpdateKind::adam, UpdateKind::sophia}) {
        for (const double power : {1.0, 0.5, 2.0}) {
          math::UpdateSpec spec{.kind = kind, .gamma = power};
          spec.lr = 0.1, spec.momentum = 0.9, spec.decay = 0.01, spec.power = power;
          spec.correction1 = 0.2, spec.correction2 = 0.3, spec.decoupled = power == 2;
          if (power == 0.5) spec.clip_norm = 2, spec.ema = 0.75;
          if (power == 2) spec.clip_value = 0.3;
          spec.first = power == 2;
          Array<double> square(1);
          square[0] = 9;
          Guarded<T> w(n, 1), m(n, 2), u(n, 3), g(n, 4), d(n, 5), mean(n, 6);
          for (std::int64_t i = 0; i < n; ++i) u[i] = std::fabs(u[i]) + T(0.1);
          const Guarded<T> w0(w), m0(m), u0(u), mean0(mean);
          run<kernels::Update>(table, zero,
                               {w.out(), m.out(), u.out(), g.in(), d.in(), n, spec, In(), Out(),
                                In(square.data()), spec.ema > 0 ? mean.out() : Out()});
          const auto step = [&](std::int64_t i) {
            double a = w0[i], b = m0[i], c = u0[i];
            const double diagonal = d[i];
            double slope = g[i];
            if (spec.clip_norm > 0) slope *= 2.0 / 3;
            if (spec.clip_value > 0) slope = std::clamp(slope, -0.3, 0.3);
            if (kind == UpdateKind::sgd) {
              math::Sgd<double>(spec).step(a, b, slope);
            } else if (kind == UpdateKind::sophia) {
              math::Sophia<double>(spec).step(a, b, c, slope, &diagonal);
            } else {
              math::Adam<double, math::Root::general>(spec).step(a, b, c, slope, &diagonal);
            }
            return std::vector<double>{a, b, c};
          };
          const double tol = 4 * kTolerance<T>;
          expect("w", w, w0, false, tol, [&](auto i) { return step(i)[0]; });
          expect("m", m, m0, false, tol, [&](auto i) { return step(i)[1]; });
          expect("u", u, u0, false, tol, [&](auto i) { return step(i)[2]; });
          expect("mean", mean, mean0, false, tol, [&](auto i) {
            return spec.ema > 0 ? 0.75 * mean0[i] + 0.25 * step(i)[0] : mean0[i];
          });
        }
      }
    }
  });
}
