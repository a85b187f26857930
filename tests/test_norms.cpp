// Kernels of normalisations against plain loops over numbers that carry two tangents, so that every
// derivative of the reference is exact.
#include <algorithm>

#include "norm_problems.hpp"

using namespace norm_problems;

TEST("norm_statistics are means and variances") {
  for_problems([](const KernelTable&, auto& a, bool) {
    using T = std::decay_t<decltype(a.x[0])>;
    const std::int64_t n = a.g.statistics();
    a.problem.each([&](std::size_t s, const std::vector<std::size_t>& at) {
      const auto i = static_cast<std::int64_t>(s);
      double mean = 0, square = 0;
      for (const std::size_t k : at) mean += a.x[std::int64_t(k)] / double(at.size());
      if (!a.g.centred) mean = 0;
      for (const std::size_t k : at) square += std::pow(a.x[std::int64_t(k)] - mean, 2);
      const double count = double(at.size());
      if (!a.g.fixed && at.size() > 1) {
        CHECK_CLOSE(a.batch[i], mean, 1e-12);
        CHECK_CLOSE(a.batch[n + i], square / (count - 1), kLoose<T> * 1e-2);
      }
      if (a.g.fixed) mean = a.mean[i], square = a.variance[i] * count;
      CHECK_CLOSE(double(a.statistics[i]) + double(a.statistics[n + i]), mean, 1e-12);
      CHECK_CLOSE(a.statistics[2 * n + i], 1 / std::sqrt(square / count + kEps), kLoose<T> * 1e-2);
    });
  });
}

TEST("a mean far from zero costs no digits") {
  check::for_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    for (const NormGeometry& g :
         {NormGeometry{1, 5000, 3, 1}, NormGeometry{4, 1, 1, 700}, NormGeometry{2, 80, 2, 33}}) {
      Guarded<T> x(g.size(), 1), y(g.size(), 2), statistics(3 * g.statistics(), 3);
      for (std::int64_t i = 0; i < g.size(); ++i) x[i] += T(1e4);
      check::run<kernels::NormStatistics, T>(table, {x.in(), statistics.out(), {}, g, 1e-5});
      check::run<kernels::NormForward, T>(table, {x.in(), statistics.in(), {}, {}, y.out(), g});
      Problem problem{g, {}, {}};
      problem.each([&](std::size_t, const std::vector<std::size_t>& at) {
        long double mean = 0, square = 0;  // the reference, too, has digits to lose
        for (const std::size_t k : at)
          mean +=
              static_cast<long double>(x[std::int64_t(k)]) / static_cast<long double>(at.size());
        for (const std::size_t k : at) {
          square += std::pow(static_cast<long double>(x[std::int64_t(k)]) - mean, 2) /
                    static_cast<long double>(at.size());
        }
        for (const std::size_t k : at) {
          const long double xhat =
              (static_cast<long double>(x[std::int64_t(k)]) - mean) / std::sqrt(square + 1e-5);
          CHECK_CLOSE(y[std::int64_t(k)], double(xhat), sizeof(T) == 4 ? 1e-6 : 1e-11);
        }
      });
    }
  });
}

TEST("norm_forward and norm_tangent") {
  for_problems([](const KernelTable& table, auto& a, bool acc) {
    using T = std::decay_t<decltype(a.x[0])>;
    Guarded<T> y(a.n, 20), dy(a.kReps * a.n, 21);
    const Guarded<T> y0(y), dy0(dy);
    check::run<kernels::NormForward, T>(
        table, {a.x.in(), a.statistics.in(), a.when(a.w), a.when(a.b), y.out(acc), a.g});
    const Numbers plain_y = a.problem(values(a.x), a.w_, a.b_);
    compare("forward", y, y0, acc, 0, a.n, 1, [&](auto i) { return plain_y[std::size_t(i)].v; });

    check::run<kernels::NormTangent, T>(
        table, {a.x.in(), a.statistics.in(), a.when(a.w), a.dx.in(), a.when(a.dw), a.when(a.db),
                dy.out(acc), a.g, a.kReps, a.stride});
    for (std::int64_t r = 0; r < a.kReps; ++r) {
      Numbers x = values(a.x), w = a.w_, b = a.b_;
      for (std::size_t i = 0; i < x.size(); ++i) x[i].a = a.dx[r * a.n + std::int64_t(i)];
      for (std::size_t i = 0; a.weights && i < w.size(); ++i) {
        w[i].a = a.dw[r * a.stride + std::int64_t(i)];
        b[i].a = a.db[r * a.stride + std::int64_t(i)];
      }
      const Numbers tangent = a.problem(x, w, b);
      compare("tangent", dy, dy0, acc, r * a.n, a.n, 3,
              [&](auto i) { return tangent[std::size_t(i)].a; });
    }
  });
}

TEST("norm_adjoint is the transpose") {
  for_problems([](const KernelTable& table, auto& a, bool acc) {
    using T = std::decay_t<decltype(a.x[0])>;
    Guarded<T> gx(a.kReps * a.n, 20), gw(a.kReps * a.stride, 21), gb(a.kReps * a.stride, 22);
    const Guarded<T> gx0(gx), gw0(gw), gb0(gb);
    check::run<kernels::NormAdjoint, T>(
        table, {a.x.in(), a.statistics.in(), a.when(a.w), a.gy.in(), gx.out(acc), a.out(gw, acc),
                a.out(gb, acc), a.g, a.kReps, a.stride});
    for (std::int64_t r = 0; r < a.kReps; ++r) {
      const auto at = [&](Numbers x, Numbers w, Numbers b) {
        return a.along(x, w, b, [&](std::size_t i, const Hyper& y) {
          return double(a.gy[r * a.n + std::int64_t(i)]) * y.a;
        });
      };
      const auto moved = [](Numbers v, std::int64_t i) {
        v[std::size_t(i)].a = 1;
        return v;
      };
      const Numbers x = values(a.x);
      compare("gx", gx, gx0, acc, r * a.n, a.n, 3,
              [&](auto i) { return at(moved(x, i), a.w_, a.b_); });
      if (!a.weights) continue;
      const double scale = std::sqrt(double(a.n / a.columns)) * 4;
      compare("gw", gw, gw0, acc, r * a.stride, a.columns, scale,
              [&](auto i) { return at(x, moved(a.w_, i), a.b_); });
      compare("gb", gb, gb0, acc, r * a.stride, a.columns, scale,
              [&](auto i) { return at(x, a.w_, moved(a.b_, i)); });
    }
  });
}

TEST("norm_second is the tangent of the adjoint") {
  for_problems([](const KernelTable& table, auto& a, bool acc) {
    using T = std::decay_t<decltype(a.x[0])>;
    Guarded<T> dgx(a.kReps * a.n, 20), hw(a.kReps * a.stride, 21), hb(a.kReps * a.stride, 22);
    const Guarded<T> dgx0(dgx), hw0(hw), hb0(hb);
    check::run<kernels::NormSecond, T>(
        table,
        {a.x.in(), a.statistics.in(), a.when(a.w), a.gy.in(), a.dx.in(), a.dgy.in(), a.when(a.dw),
         dgx.out(acc), a.out(hw, acc), a.out(hb, acc), a.g, a.kReps, a.stride});
    for (std::int64_t r = 0; r < a.kReps; ++r) {
      Numbers x = values(a.x), w = a.w_;
      for (std::size_t i = 0; i < x.size(); ++i) x[i].b = a.dx[r * a.n + std::int64_t(i)];
      for (std::size_t i = 0; a.weights && i < w.size(); ++i) {
        w[i].b = a.dw[r * a.stride + std::int64_t(i)];
      }
      const auto at = [&](const Numbers& px, const Numbers& pw, const Numbers& pb) {
        return a.along(px, pw, pb, [&](std::size_t i, const Hyper& y) {
          const auto k = static_cast<std::int64_t>(i);
          return double(a.gy[k]) * y.c + double(a.dgy[r * a.n + k]) * y.a;
        });
      };
      const auto moved = [](Numbers v, std::int64_t i) {
        v[std::size_t(i)].a = 1;
        return v;
      };
      compare("dgx", dgx, dgx0, acc, r * a.n, a.n, 10,
              [&](auto i) { return at(moved(x, i), w, a.b_); });
      if (!a.weights) continue;
      const double scale = std::sqrt(double(a.n / a.columns)) * 10;
      compare("hw", hw, hw0, acc, r * a.stride, a.columns, scale,
              [&](auto i) { return at(x, moved(w, i), a.b_); });
      compare("hb", hb, hb0, acc, r * a.stride, a.columns, scale,
              [&](auto i) { return at(x, w, moved(a.b_, i)); });
    }
  });
}

TEST("norm_diagonal is the curvature's diagonal") {
  for_problems([](const KernelTable& table, auto& a, bool acc) {
    using T = std::decay_t<decltype(a.x[0])>;
    for (const bool gauss_newton : {false, true}) {
      Guarded<T> gx(a.n, 20), hx(a.n, 21), gw(a.columns, 22), gb(a.columns, 23), hw(a.columns, 24),
          hb(a.columns, 25);
      const Guarded<T> gx0(gx), hx0(hx), hw0(hw), hb0(hb), gw0(gw), gb0(gb);
      check::run<kernels::NormDiagonal, T>(
          table, {a.x.in(), a.statistics.in(), a.when(a.w), a.gy.in(), a.hy.in(), gx.out(acc),
                  hx.out(acc), a.out(gw, acc), a.out(gb, acc), a.out(hw, acc), a.out(hb, acc), a.g,
                  gauss_newton, false});
      const auto moved = [](Numbers v, std::int64_t i) {
        v[std::size_t(i)].a = v[std::size_t(i)].b = 1;
        return v;
      };
      const auto gradient = [&](std::size_t i, const Hyper& y) {
        return double(a.gy[std::int64_t(i)]) * y.a;
      };
      const auto diagonal = [&](std::size_t i, const Hyper& y) {
        const auto k = static_cast<std::int64_t>(i);
        return double(a.hy[k]) * y.a * y.a + (gauss_newton ? 0.0 : double(a.gy[k]) * y.c);
      };
      const Numbers x = values(a.x);
      compare("gx", gx, gx0, acc, 0, a.n, 3,
              [&](auto i) { return a.along(moved(x, i), a.w_, a.b_, gradient); });
      compare("hx", hx, hx0, acc, 0, a.n, 10,
              [&](auto i) { return a.along(moved(x, i), a.w_, a.b_, diagonal); });
      if (!a.weights) continue;
      const double scale = std::sqrt(double(a.n / a.columns)) * 10;
      compare("gw", gw, gw0, acc, 0, a.columns, scale,
              [&](auto i) { return a.along(x, moved(a.w_, i), a.b_, gradient); });
      compare("gb", gb, gb0, acc, 0, a.columns, scale,
              [&](auto i) { return a.along(x, a.w_, moved(a.b_, i), gradient); });
      compare("hw", hw, hw0, acc, 0, a.columns, scale,
              [&](auto i) { return a.along(x, moved(a.w_, i), a.b_, diagonal); });
      compare("hb", hb, hb0, acc, 0, a.columns, scale,
              [&](auto i) { return a.along(x, a.w_, moved(a.b_, i), diagonal); });
    }
  });
}

TEST("norm_diagonal takes shared statistics for constants, and needs no gradient") {
  check::for_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    Arrays<T> a(table, {1, 9, 5, 1}, true);
    Guarded<T> hx(a.n, 20), hw(a.columns, 21);
    const Guarded<T> hx0(hx);
    check::run<kernels::NormDiagonal, T>(table, {a.x.in(),
                                                 a.statistics.in(),
                                                 a.w.in(),
                                                 {},
                                                 a.hy.in(),
                                                 {},
                                                 hx.out(),
                                                 {},
                                                 {},
                                                 hw.out(),
                                                 {},
                                                 a.g,
                                                 true,
                                                 true});
    expect("hx", hx, hx0, false, kLoose<T>, [&](auto i) {
      const double slope = double(a.w[i % 5]) * a.statistics[2 * 5 + i % 5];
      return slope * slope * a.hy[i];
    });
  });
}

TEST("norm_track moves running statistics") {
  check::for_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    for (const double momentum : {0.1, -1.0}) {
      Guarded<double> batch(6, 1), mean(3, 2), variance(3, 3), count(1, 4);
      count[0] = 4;
      const Guarded<double> mean0(mean), variance0(variance);
      check::run<kernels::NormTrack, T>(
          table, {batch.in(), mean.out(), variance.out(), count.out(), 3, momentum});
      const double part = momentum < 0 ? 0.2 : momentum;
      CHECK(count[0] == 5);
      expect("mean", mean, mean0, false, 1e-15,
             [&](auto i) { return (1 - part) * mean0[i] + part * batch[i]; });
      expect("variance", variance, variance0, false, 1e-15,
             [&](auto i) { return (1 - part) * variance0[i] + part * batch[3 + i]; });
    }
  });
}
