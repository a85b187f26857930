// What the tests of normalisation share: numbers that carry two tangents, geometries, plain loops.
#pragma once

#include <algorithm>
#include <vector>

#include "kernel_tables.hpp"

namespace norm_problems {

using namespace hesscore;
using check::expect;
using check::Guarded;
using math::NormGeometry;

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

}  // namespace norm_problems
