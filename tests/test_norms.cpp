// Kernels of normalisations against plain loops over numbers that carry two tangents, so that every
// derivative of the reference is exact.
#include <algorithm>

#include "kernel_tables.hpp"

using namespace hesscore;
using check::expect;
using check::Guarded;
using math::NormGeometry;

namespace {

// v + a e1 + b e2 + c e1 e2 with e1^2 = e2^2 = 0.
struct Hyper {
  double v = 0, a = 0, b = 0, c = 0;
  Hyper operator+(const Hyper& o) const { return {v + o.v, a + o.a, b + o.b, c + o.c}; }
  Hyper operator-(const Hyper& o) const { return {v - o.v, a - o.a, b - o.b, c - o.c}; }
  Hyper operator*(const Hyper& o) const {
    return {v * o.v, v * o.a + a * o.v, v * o.b + b * o.v, v * o.c + a * o.b + b * o.a + c * o.v};
  }
  // f, f' and f'' at v
  Hyper map(double f, double d, double dd) const { return {f, d * a, d * b, d * c + dd * a * b}; }
};
Hyper inverse_root(const Hyper& x) {
  const double f = 1 / std::sqrt(x.v);
  return x.map(f, -f / (2 * x.v), 3 * f / (4 * x.v * x.v));
}

using Numbers = std::vector<Hyper>;
constexpr double kEps = 1e-2;

std::int64_t index(const NormGeometry& g, std::int64_t s, std::int64_t p, std::int64_t group,
                   std::int64_t k) {
  return ((s * g.positions + p) * g.groups + group) * g.channels + k;
}

struct Problem {
  NormGeometry g;
  std::vector<double> mean, variance;  // of fixed statistics

  // f(group of statistics, the indices of its numbers)
  template <class F>
  void each(F f) const {
    std::vector<std::size_t> at;
    for (std::int64_t s = 0; s < g.samples; ++s) {
      for (std::int64_t k = 0; k < g.groups; ++k) {
        at.clear();
        for (std::int64_t p = 0; p < g.positions; ++p) {
          for (std::int64_t c = 0; c < g.channels; ++c) {
            at.push_back(static_cast<std::size_t>(index(g, s, p, k, c)));
          }
        }
        f(static_cast<std::size_t>(s * g.groups + k), at);
      }
    }
  }
  std::size_t weight(std::size_t i) const { return i % static_cast<std::size_t>(g.columns()); }

  Numbers operator()(const Numbers& x, const Numbers& w, const Numbers& b) const {
    Numbers y(x.size());
    each([&](std::size_t s, const std::vector<std::size_t>& at) {
      const Hyper part{1 / static_cast<double>(at.size())};
      Hyper m, square;
      for (const std::size_t i : at) m = m + (g.centred ? x[i] * part : Hyper{});
      if (g.fixed) m = {mean[s]};
      for (const std::size_t i : at) square = square + (x[i] - m) * (x[i] - m) * part;
      if (g.fixed) square = {variance[s]};
      const Hyper r = inverse_root(square + Hyper{kEps});
      for (const std::size_t i : at) y[i] = (x[i] - m) * r * w[weight(i)] + b[weight(i)];
    });
    return y;
  }
};

const NormGeometry kGeometries[] = {{5, 1, 1, 7},
                                    {1, 1, 1, 300},
                                    {40, 1, 1, 3},
                                    {3, 1, 1, 70, false},
                                    {2, 3, 2, 3},
                                    {2, 2, 2, 40},
                                    {2, 5, 3, 1},
                                    {1, 9, 5, 1},
                                    {1, 1, 290, 1},
                                    {3, 4, 1, 1},
                                    {2, 6, 1, 4, false},
                                    {3, 1, 4, 2},
                                    {1, 9001, 5, 1},
                                    {2, 60, 290, 2},
                                    {301, 1, 1, 130},
                                    {1, 300, 3, 40},
                                    {1, 700, 60, 1, true, true},
                                    {1, 6, 5, 1, true, true}};

Numbers plain(std::size_t n, double value = 0) { return Numbers(n, Hyper{value}); }

template <class T>
Numbers values(const Guarded<T>& x, std::int64_t begin = 0, std::int64_t n = -1) {
  Numbers v;
  for (std::int64_t i = 0; i < (n < 0 ? x.size() : n); ++i) v.push_back({double(x[begin + i])});
  return v;
}

// All coordinates of a small array, some of a large one.
std::vector<std::int64_t> chosen(std::int64_t n) {
  std::vector<std::int64_t> list;
  for (std::int64_t i = 0; i < n; i += n <= 100 ? 1 : n / 9) list.push_back(i);
  return list;
}

// The arrays of one problem, and the answers of its kernels at them.
template <class T>
struct Arrays {
  static constexpr std::int64_t kReps = 2;
  Problem problem;
  const NormGeometry& g = problem.g;
  std::int64_t n = g.size(), columns = g.columns(), stride = columns + 3;
  bool weights;
  Guarded<T> x{n, 1}, w{columns, 2}, b{columns, 3}, dx{kReps * n, 4}, dw{kReps * stride, 5},
      db{kReps * stride, 6}, gy{kReps * n, 7}, dgy{kReps * n, 8}, hy{n, 9};
  Guarded<T> statistics{3 * g.statistics(), 10};
  Guarded<double> batch{2 * g.statistics(), 11}, mean{g.statistics(), 12},
      variance{g.statistics(), 13};
  Numbers w_, b_;

  Arrays(const KernelTable& table, const NormGeometry& geometry, bool with_weights)
      : problem{geometry, {}, {}}, weights(with_weights) {
    for (std::int64_t i = 0; i < n; ++i) x[i] += T(0.01 * (i % 7));
    if (g.fixed) {
      for (std::int64_t i = 0; i < g.statistics(); ++i) {
        variance[i] = std::fabs(variance[i]) + 0.1;
        problem.mean.push_back(mean[i]);
        problem.variance.push_back(variance[i]);
      }
      check::run<kernels::NormFixed, T>(
          table, {mean.in(), variance.in(), statistics.out(), g.statistics(), kEps});
    } else {
      check::run<kernels::NormStatistics, T>(table,
                                             {x.in(), statistics.out(), batch.out(), g, kEps});
    }
    w_ = weights ? values(w) : plain(std::size_t(columns), 1);
    b_ = weights ? values(b) : plain(std::size_t(columns));
  }
  In when(const Guarded<T>& a) { return weights ? In(const_cast<Guarded<T>&>(a).data()) : In(); }
  Out out(Guarded<T>& a, bool acc) { return weights ? a.out(acc) : Out(); }

  Numbers rep(const Guarded<T>& a, std::int64_t r, std::int64_t size, std::int64_t step) const {
    return values(a, r * step, size);
  }
  // sum_i (g_i y_i) at numbers with tangents
  template <class F>
  double along(const Numbers& at_x, const Numbers& at_w, const Numbers& at_b, F term) const {
    const Numbers y = problem(at_x, at_w, at_b);
    double sum = 0;
    for (std::size_t i = 0; i < y.size(); ++i) sum += term(i, y[i]);
    return sum;
  }
};

template <class T>
constexpr double kLoose = sizeof(T) == 4 ? 1e-4 : 1e-11;

// y[i] is value(i), on top of what was there, at the chosen i.
template <class T, class F>
void compare(const char* what, const Guarded<T>& y, const Guarded<T>& before, bool accumulate,
             std::int64_t begin, std::int64_t n, double scale, F value) {
  for (const std::int64_t i : chosen(n)) {
    const double expected = value(i) + (accumulate ? double(before[begin + i]) : 0.0);
    const double got = y[begin + i];
    if (std::fabs(got - expected) <= kLoose<T> * std::max(scale, std::fabs(expected))) continue;
    return check::fail(what, static_cast<int>(i),
                       std::to_string(got) + " instead of " + std::to_string(expected));
  }
}

// body(arrays, accumulate) for all geometries
template <class F>
void for_problems(F body) {
  check::for_tables([&](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    for (const NormGeometry& g : kGeometries) {
      for (const bool weights : {true, false}) {
        Arrays<T> a(table, g, weights);
        const int before = check::failures;
        body(table, a, weights);
        if (check::failures == before) continue;
        std::printf("  (samples %d, positions %d, groups %d, channels %d)\n", int(g.samples),
                    int(g.positions), int(g.groups), int(g.channels));
      }
    }
  });
}

}  // namespace

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
