// The checks of one geometry: the convolution kernels against plain float64 loops, nothing written
// outside the results, and the same bits for any number of threads.
#pragma once

#include <algorithm>
#include <cstring>

#include "conv_problems.hpp"
#include "cpu/parallel.hpp"
#include "epilogues.hpp"
#include "math/activations.hpp"

namespace conv_checks {

using namespace hesscore;
using namespace conv_problems;
using check::Array;
using check::Guarded;
using kernels::Convolve;
using kernels::ConvolveSquares;
using kernels::ConvolveTransposed;
using kernels::ConvolveWeights;

template <class T>
Guarded<T> normals(std::int64_t n) {
  std::normal_distribution<double> draw;
  Guarded<T> x(n, 0);
  for (std::int64_t i = 0; i < n; ++i) x[i] = static_cast<T>(draw(random_bits));
  return x;
}

// Calls `call(outputs)` for 1, 2 and 3 threads, or twice on a GPU, from the same start and compares
// the bits.
template <class T, class Call>
void run_threads(std::vector<Guarded<T>>& outputs, const Call& call) {
  const std::vector<Guarded<T>> start = outputs;
  const int runs = check::device().is_host() ? 3 : 2;
  for (int threads = runs; threads >= 1; --threads) {
    std::vector<Guarded<T>> mine = start;
    cpu::set_num_threads(threads);
    call(mine);
    for (std::size_t i = 0; i < mine.size(); ++i) {
      if (threads == runs) continue;
      CHECK(std::memcmp(mine[i].data(), outputs[i].data(),
                        static_cast<std::size_t>(mine[i].size()) * sizeof(T)) == 0);
    }
    outputs = mine;
  }
}

// Sums and, for the size of the rounding errors, sums of absolute terms.
struct Expected {
  Values sum, size;
  explicit Expected(std::int64_t n)
      : sum(static_cast<std::size_t>(n)), size(static_cast<std::size_t>(n)) {}
  void add(std::int64_t i, double term) {
    sum[static_cast<std::size_t>(i)] += term;
    size[static_cast<std::size_t>(i)] += std::abs(term);
  }
};

inline std::string describe(const ConvGeometry& g) {
  std::string text;
  for (const std::int64_t v :
       {g.n, g.h, g.w, g.c, g.oh, g.ow, g.o, g.kh, g.kw, g.stride_h, g.stride_w, g.pad_h, g.pad_w,
        g.dilation_h, g.dilation_w, g.groups}) {
    text += std::to_string(v) + " ";
  }
  return text;
}

// Whether rounding errors are as large as those of the largest number, as they are where sums share
// their terms' products.
inline bool shared_errors = false;

template <class T>
void compare(const char* what, const ConvGeometry& g, Guarded<T>& y, const Expected& e) {
  const double largest =
      shared_errors && y.size() > 0 ? *std::max_element(e.size.begin(), e.size.end()) : 0;
  for (std::int64_t i = 0; i < y.size(); ++i) {
    const auto at = static_cast<std::size_t>(i);
    const bool tf32 = check::precision_now == Precision::tf32;  // operands of 11 bits
    const double size = std::max(e.size[at], largest) + 1e-3;
    const double tolerance = (tf32 ? 2e-3 : 4 * check::kTolerance<T>)*size;
    if (std::abs(static_cast<double>(y[i]) - e.sum[at]) <= tolerance) continue;
    check::fail(what, static_cast<int>(i),
                std::to_string(static_cast<double>(y[i])) + " instead of " +
                    std::to_string(e.sum[at]) + ", geometry " + describe(g));
    return;
  }
}

// What was there before, where it is added to.
template <class T>
void start(Expected& e, const Guarded<T>& before, bool accumulate) {
  if (!accumulate) return;
  for (std::int64_t i = 0; i < before.size(); ++i) e.add(i, static_cast<double>(before[i]));
}

// Both directions of the same map: from x to y, or from y to x. `then` is tested in another test.
template <class Key, class T>
typename Key::Args arguments(const ConvGeometry& g, Guarded<T>& from, Guarded<T>& w,
                             Guarded<T>* bias, Guarded<T>& to, bool accumulate, bool square) {
  typename Key::Args a{};
  a.g = g;
  a.w = w.in();
  if (bias) a.bias = bias->in();
  a.square_w = square;
  if constexpr (std::is_same_v<Key, Convolve>) {
    a.x = from.in(), a.y = to.out(accumulate);
  } else {
    a.y = from.in(), a.x = to.out(accumulate);
  }
  return a;
}

template <class Key, class T>
void check_map(const KernelTable& table, const ConvGeometry& g, std::int64_t batch) {
  constexpr bool forward = std::is_same_v<Key, Convolve>;
  const std::int64_t from = g.n * (forward ? g.x_image() : g.y_image());
  const std::int64_t to = g.n * (forward ? g.y_image() : g.x_image());
  const std::int64_t channels = forward ? g.o : g.c;
  const bool many_x = coin(), many_w = coin(), many_bias = coin(), with_bias = coin();
  const bool accumulate = coin(), square = coin();
  Guarded<T> x = normals<T>(batch * from), w = normals<T>(batch * g.weights());
  Guarded<T> bias = normals<T>(batch * channels);
  std::vector<Guarded<T>> out(1, normals<T>(batch * to));
  Expected e(batch * to);
  start(e, out[0], accumulate);
  typename Key::Args a =
      arguments<Key, T>(g, x, w, with_bias ? &bias : nullptr, out[0], accumulate, square);
  a.batch = batch;
  a.stride_w = many_w ? g.weights() : 0;
  a.stride_bias = many_bias ? channels : 0;
  if constexpr (forward) {
    a.stride_x = many_x ? from : 0, a.stride_y = to;
  } else {
    a.stride_y = many_x ? from : 0, a.stride_x = to;
  }
  run_threads(out, [&](std::vector<Guarded<T>>& mine) {
    (forward ? static_cast<Operand&>(a.y) : static_cast<Operand&>(a.x)).ptr = mine[0].data();
    check::run<Key, T>(table, a);
  });
  for (std::int64_t b = 0; b < batch; ++b) {
    const std::int64_t read = many_x ? b * from : 0, weights = many_w ? b * g.weights() : 0;
    for (std::int64_t i = 0; with_bias && i < to; ++i) {
      e.add(b * to + i, bias[(many_bias ? b * channels : 0) + i % channels]);
    }
    each_term(g, [&](std::int64_t i, std::int64_t j, std::int64_t k) {
      const double term = power(w[weights + k], square);
      e.add(b * to + (forward ? i : j), term * static_cast<double>(x[read + (forward ? j : i)]));
    });
  }
  compare(forward ? "convolution" : "transposed convolution", g, out[0], e);
}

template <class Key, class T>
void check_dual(const KernelTable& table, const ConvGeometry& g) {
  constexpr bool forward = std::is_same_v<Key, Convolve>;
  const std::int64_t from = g.n * (forward ? g.x_image() : g.y_image());
  const std::int64_t to = g.n * (forward ? g.y_image() : g.x_image());
  const bool accumulate[] = {coin(), coin()};
  Guarded<T> x[] = {normals<T>(from), normals<T>(from)}, w = normals<T>(g.weights());
  std::vector<Guarded<T>> out{normals<T>(to), normals<T>(to)};
  Expected e[] = {Expected(to), Expected(to)};
  for (int p = 0; p < 2; ++p) start(e[p], out[p], accumulate[p]);
  run_threads(out, [&](std::vector<Guarded<T>>& mine) {
    typename Key::Args a = arguments<Key, T>(g, x[0], w, nullptr, mine[0], accumulate[0], false);
    if constexpr (forward) {
      a.x2 = x[1].in(), a.y2 = mine[1].out(accumulate[1]);
    } else {
      a.y2 = x[1].in(), a.x2 = mine[1].out(accumulate[1]);
    }
    check::run<Key, T>(table, a);
  });
  each_term(g, [&](std::int64_t i, std::int64_t j, std::int64_t k) {
    for (int p = 0; p < 2; ++p) {
      const double term = power(w[k], p == 1);
      e[p].add(forward ? i : j, term * static_cast<double>(x[p][forward ? j : i]));
    }
  });
  for (int p = 0; p < 2; ++p) compare("dual convolution", g, out[p], e[p]);
}

template <class T>
void check_weights(const KernelTable& table, const ConvGeometry& g, std::int64_t batch) {
  const std::int64_t x_size = g.n * g.x_image(), y_size = g.n * g.y_image(), n = g.weights();
  const bool many_x = coin(), many_y = coin(), with_sum = coin();
  const bool accumulate = coin(), add_sum = coin();
  Guarded<T> x = normals<T>(batch * x_size), y = normals<T>(batch * y_size);
  std::vector<Guarded<T>> out{normals<T>(batch * n), normals<T>(batch * g.o)};
  Expected e(batch * n), sum(batch * g.o);
  start(e, out[0], accumulate);
  start(sum, out[1], add_sum || !with_sum);
  ConvolveWeights::Args a{.y = y.in(), .x = x.in(), .g = g};
  a.square_x = coin();
  a.square_y = !with_sum && coin();
  a.batch = batch;
  a.stride_x = many_x ? x_size : 0, a.stride_y = many_y ? y_size : 0;
  a.stride_w = n, a.stride_sum = g.o;
  run_threads(out, [&](std::vector<Guarded<T>>& mine) {
    a.w = mine[0].out(accumulate);
    if (with_sum) a.sum = mine[1].out(add_sum);
    check::run<ConvolveWeights, T>(table, a);
  });
  for (std::int64_t b = 0; b < batch; ++b) {
    const std::int64_t xs = b * a.stride_x, ys = b * a.stride_y;
    each_term(g, [&](std::int64_t i, std::int64_t j, std::int64_t k) {
      e.add(b * n + k, power(y[ys + i], a.square_y) * power(x[xs + j], a.square_x));
    });
    for (std::int64_t i = 0; with_sum && i < y_size; ++i) sum.add(b * g.o + i % g.o, y[ys + i]);
  }
  compare("weights", g, out[0], e);
  compare("sums of weights", g, out[1], sum);
}

template <class T>
void check_dual_weights(const KernelTable& table, const ConvGeometry& g) {
  const std::int64_t x_size = g.n * g.x_image(), y_size = g.n * g.y_image(), n = g.weights();
  const bool accumulate[] = {coin(), coin()}, with_sum[] = {coin(), coin()};
  Guarded<T> x = normals<T>(x_size), y[] = {normals<T>(y_size), normals<T>(y_size)};
  std::vector<Guarded<T>> out{normals<T>(n), normals<T>(n), normals<T>(g.o), normals<T>(g.o)};
  Expected e[] = {Expected(n), Expected(n), Expected(g.o), Expected(g.o)};
  for (int p = 0; p < 2; ++p) {
    start(e[p], out[p], accumulate[p]);
    start(e[2 + p], out[2 + p], accumulate[p] || !with_sum[p]);
    for (std::int64_t i = 0; with_sum[p] && i < y_size; ++i) e[2 + p].add(i % g.o, y[p][i]);
  }
  run_threads(out, [&](std::vector<Guarded<T>>& mine) {
    ConvolveWeights::Args a{.y = y[0].in(), .x = x.in(), .y2 = y[1].in(), .g = g};
    a.w = mine[0].out(accumulate[0]), a.w2 = mine[1].out(accumulate[1]);
    if (with_sum[0]) a.sum = mine[2].out(accumulate[0]);
    if (with_sum[1]) a.sum2 = mine[3].out(accumulate[1]);
    check::run<ConvolveWeights, T>(table, a);
  });
  each_term(g, [&](std::int64_t i, std::int64_t j, std::int64_t k) {
    for (int p = 0; p < 2; ++p) e[p].add(k, static_cast<double>(y[p][i]) * power(x[j], p == 1));
  });
  for (int p = 0; p < 4; ++p) compare("dual weights", g, out[p], e[p]);
}

template <class T>
void check_squares(const KernelTable& table, const ConvGeometry& g, std::int64_t reps, bool reps_y,
                   bool reps_x) {
  const std::int64_t x_size = g.n * g.x_image(), y_size = g.n * g.y_image(), n = g.weights();
  const bool accumulate = coin();
  Guarded<T> x = normals<T>((reps_x ? reps : 1) * x_size);
  Guarded<T> y = normals<T>((reps_y ? reps : 1) * y_size);
  std::vector<Guarded<T>> out(1, normals<T>(n));
  Expected e(n);
  start(e, out[0], accumulate);
  ConvolveSquares::Args a{y.in(), x.in(), {}, g, reps, reps_y, reps_x, coin() ? 1 : 0.25};
  run_threads(out, [&](std::vector<Guarded<T>>& mine) {
    a.w = mine[0].out(accumulate);
    check::run<ConvolveSquares, T>(table, a);
  });
  ConvGeometry one = g;
  one.n = 1;
  for (std::int64_t r = 0; r < reps; ++r) {
    for (std::int64_t s = 0; s < g.n; ++s) {
      const std::int64_t xs = ((reps_x ? r : 0) * g.n + s) * g.x_image();
      const std::int64_t ys = ((reps_y ? r : 0) * g.n + s) * g.y_image();
      Expected gradient(n);
      each_term(one, [&](std::int64_t i, std::int64_t j, std::int64_t k) {
        gradient.add(k, static_cast<double>(y[ys + i]) * static_cast<double>(x[xs + j]));
      });
      for (std::int64_t k = 0; k < n; ++k) {
        const auto at = static_cast<std::size_t>(k);
        e.sum[at] += a.scale * gradient.sum[at] * gradient.sum[at];
        e.size[at] += a.scale * gradient.size[at] * gradient.size[at];
      }
    }
  }
  compare("squares", g, out[0], e);
}

template <class T>
void check_all(const KernelTable& table, const ConvGeometry& g) {
  check_map<Convolve, T>(table, g, coin() ? 1 : upto(3));
  check_map<ConvolveTransposed, T>(table, g, coin() ? 1 : upto(3));
  check_dual<Convolve, T>(table, g);
  check_dual<ConvolveTransposed, T>(table, g);
  check_weights<T>(table, g, coin() ? 1 : upto(3));
  check_dual_weights<T>(table, g);
  check_squares<T>(table, g, upto(3), coin(), coin());
}

// A convolution that ends with an activation against one followed by the map.
template <class Key, class T>
void check_epilogue(const KernelTable& table, const ConvGeometry& g, bool dual) {
  constexpr bool forward = std::is_same_v<Key, Convolve>;
  const std::int64_t from = g.n * (forward ? g.x_image() : g.y_image());
  const std::int64_t n = g.n * (forward ? g.y_image() : g.x_image());
  const kernels::Activation act{static_cast<std::int32_t>(math::Act::tanh), 1};
  Guarded<T> a(from, 1), a2(from, 2), w(g.weights(), 3), x(n, 4), bias(forward ? g.o : g.c, 5);
  auto kinds = check::single_epilogues<T>(table);
  if (dual) kinds = {kernels::Epilogue::diagonal, kernels::Epilogue::diagonal_gauss_newton};
  for (const auto kind : kinds) {
    Guarded<T> c(n, 6), c2(n, 7), y(n, 8), y2(n, 9), z(n, 10), z2(n, 11);
    typename Key::Args args = arguments<Key, T>(g, a, w, dual ? nullptr : &bias, c, coin(), false);
    if constexpr (forward) {
      if (dual) args.x2 = a2.in(), args.y2 = c2.out();
    } else {
      if (dual) args.y2 = a2.in(), args.x2 = c2.out();
    }
    Guarded<T> finished(c);
    if (!dual) {
      typename Key::Args plain = args;
      if constexpr (forward) {
        plain.y.ptr = finished.data();
      } else {
        plain.x.ptr = finished.data();
      }
      check::run<Key, T>(table, plain);
    }
    args.then = {kind, act, x.in(), y.out(), {}};
    if (dual) args.then.y2 = y2.out();
    check::run<Key, T>(table, args);
    if (!dual) {
      check::finish(table, kind, act, x, finished, z);
    } else {
      const bool gauss_newton = kind == kernels::Epilogue::diagonal_gauss_newton;
      check::run<kernels::MapDiagonal, T>(
          table, {x.in(), c.in(), c2.in(), z.out(), z2.out(), n, gauss_newton, act});
    }
    double worst = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      worst = std::max(worst, std::abs(double(y[i]) - double(z[i])) / (1 + std::abs(double(z[i]))));
      if (!dual) continue;
      const double error = std::abs(double(y2[i]) - double(z2[i]));
      worst = std::max(worst, error / (1 + std::abs(double(z2[i]))));
    }
    CHECK(worst < (sizeof(T) == 4 ? 1e-5 : 1e-14));
    if (kind != kernels::Epilogue::value_and_slope) continue;
    expect("slopes", c, c, false, sizeof(T) == 4 ? 1e-5 : 1e-14,
           [&](auto i) { return finished[i]; });
  }
}

}  // namespace conv_checks
