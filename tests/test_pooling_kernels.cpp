// Kernels of pooling and of windows of one element against plain loops in float64: all instruction
// sets, both dtypes, odd sizes, accumulation.
#include "kernel_tables.hpp"
#include "naive_windows.hpp"

using namespace hesscore;
using check::expect;
using check::Guarded;
using check::kTolerance;
using math::WindowAxis;
using math::WindowGeometry;

namespace {

struct Case {
  WindowGeometry g;
  std::vector<naive::Window> windows;  // one for each position of y
};

WindowAxis axis(const naive::Pooling& p, int a, std::int64_t in) {
  return {in, naive::outputs(p, a, in), p.kernel[a], p.stride[a], p.padding[a], p.dilation[a]};
}

Case pooling(std::int64_t n, std::int64_t c, std::int64_t h, std::int64_t w,
             const naive::Pooling& p) {
  WindowGeometry g{n, c, axis(p, 0, h), axis(p, 1, w)};
  g.divisor = p.divisor             ? math::Divisor::constant
              : p.count_include_pad ? math::Divisor::padded
                                    : math::Divisor::inside;
  if (p.divisor) g.constant = static_cast<double>(*p.divisor);
  return {g, naive::windows(p, h, w)};
}

Case adaptive(std::int64_t n, std::int64_t c, std::int64_t h, std::int64_t w, std::int64_t oh,
              std::int64_t ow) {
  WindowGeometry g{n, c, {h, oh}, {w, ow}, math::Divisor::inside};
  g.h.kind = g.w.kind = math::Windows::adaptive;
  return {g, naive::adaptive_windows(h, w, oh, ow)};
}

// Upsampling if nearest; else a crop or padding of `before`, in steps.
Case picks(std::int64_t n, std::int64_t c, WindowAxis h, WindowAxis w) {
  const bool nearest = h.kind == math::Windows::nearest;
  const auto from = [&](const WindowAxis& a, std::int64_t o) {
    if (!nearest) return o * a.stride - a.pad;
    std::int64_t i = 0;  // the last one with i out <= o in
    while ((i + 1) * a.out <= o * a.in) ++i;
    return i;
  };
  Case made{{n, c, h, w}, {}};
  for (std::int64_t i = 0; i < h.out; ++i) {
    for (std::int64_t j = 0; j < w.out; ++j) {
      const std::int64_t r = from(h, i), s = from(w, j);
      made.windows.emplace_back();
      if (r >= 0 && r < h.in && s >= 0 && s < w.in) made.windows.back().at = {r * w.in + s};
    }
  }
  return made;
}

std::vector<Case> pools() {
  return {
      pooling(3, 1, 6, 8, {{2, 2}, {2, 2}}),
      pooling(2, 19, 7, 8, {{3, 3}, {3, 3}}),
      pooling(2, 19, 7, 8, {{3, 3}, {3, 3}, {0, 0}, {1, 1}, true}),
      pooling(2, 5, 7, 9, {{3, 2}, {2, 1}, {1, 1}}),
      pooling(2, 16, 7, 5, {{3, 3}, {2, 2}, {1, 1}, {1, 1}, true, false}),
      pooling(1, 19, 1, 23, {{1, 4}, {1, 3}, {0, 2}, {1, 1}, true}),
      pooling(2, 8, 9, 9, {{3, 3}, {1, 1}, {1, 1}, {1, 1}, false, true, 5}),
      pooling(2, 3, 5, 4, {{2, 2}, {3, 3}, {0, 0}, {1, 1}, true, false}),
      pooling(5, 33, 30, 31, {{5, 4}, {2, 3}, {2, 2}, {1, 1}, true, false}),
      adaptive(2, 7, 7, 5, 3, 2),
      adaptive(3, 16, 4, 4, 1, 1),
      adaptive(1, 4, 3, 2, 5, 7),
      adaptive(0, 4, 3, 2, 1, 1),
  };
}

std::vector<Case> all_picks() {
  WindowAxis up{3, 6}, odd{5, 8}, down{7, 4}, same{4, 4};
  up.kind = odd.kind = down.kind = same.kind = math::Windows::nearest;
  const auto shift = [](std::int64_t in, std::int64_t out, std::int64_t before,
                        std::int64_t stride = 1) { return WindowAxis{in, out, 1, stride, before}; };
  return {
      picks(2, 5, up, odd),
      picks(2, 17, down, up),
      picks(1, 4, same, same),
      picks(2, 3, shift(4, 7, 2), shift(5, 6, 0)),
      picks(2, 20, shift(6, 3, -2), shift(5, 9, 4)),
      picks(7, 1, shift(1, 1, 0), shift(11, 4, -1, 3)),
      picks(3, 40, shift(1, 1, 0), shift(9, 3, 0, 4)),
  };
}

// Elements (n, position, channel) of x or y.
template <class T>
double element(const Guarded<T>& a, std::int64_t n, std::int64_t positions, std::int64_t p,
               std::int64_t channels, std::int64_t c) {
  return static_cast<double>(a[(n * positions + p) * channels + c]);
}

struct Index {
  std::int64_t n, position, c;
};
Index index_of(std::int64_t e, std::int64_t positions, std::int64_t channels) {
  return {e / channels / positions, e / channels % positions, e % channels};
}

template <class T>
void check_sums(const KernelTable& table, const Case& made, bool acc, T) {
  const WindowGeometry& g = made.g;
  const std::int64_t px = g.h.in * g.w.in, py = g.h.out * g.w.out;
  CHECK(py == static_cast<std::int64_t>(made.windows.size()));
  Guarded<T> x(g.n * px * g.c, 1), y(g.n * py * g.c, 2), gx(x.size(), 3), hx(x.size(), 4);
  const Guarded<T> y0(y), gx0(gx), hx0(hx);
  const auto divisor = [&](const naive::Window& w) {
    return g.divisor == math::Divisor::none ? 1.0 : w.divisor;
  };
  check::run<kernels::WindowSpread, T>(table, {y.in(), gx.out(acc), g});
  check::run<kernels::WindowSpread, T>(table, {y.in(), hx.out(acc), g, true});
  check::run<kernels::WindowSum, T>(table, {x.in(), y.out(acc), g});
  expect("window_sum", y, y0, acc, 2 * kTolerance<T>, [&](auto e) {
    const Index to = index_of(e, py, g.c);
    const naive::Window& w = made.windows[static_cast<std::size_t>(to.position)];
    double sum = 0;
    for (const std::int64_t at : w.at) sum += element(x, to.n, px, at, g.c, to.c);
    return sum / divisor(w);
  });
  const auto spread = [&](std::int64_t e, bool square) {
    const Index to = index_of(e, px, g.c);
    double sum = 0;
    for (std::size_t o = 0; o < made.windows.size(); ++o) {
      const double d = divisor(made.windows[o]);
      for (const std::int64_t at : made.windows[o].at) {
        if (at != to.position) continue;
        sum +=
            element(y0, to.n, py, static_cast<std::int64_t>(o), g.c, to.c) / (square ? d * d : d);
      }
    }
    return sum;
  };
  const double tol = 4 * kTolerance<T>;
  expect("window_spread", gx, gx0, acc, tol, [&](auto e) { return spread(e, false); });
  expect("squared window_spread", hx, hx0, acc, tol, [&](auto e) { return spread(e, true); });
}

template <class T>
void check_maxima(const KernelTable& table, const Case& made, bool acc, T) {
  const WindowGeometry& g = made.g;
  const std::int64_t px = g.h.in * g.w.in, py = g.h.out * g.w.out, reps = 2;
  Guarded<T> x(g.n * px * g.c, 1), y(g.n * py * g.c, 2), dx(reps * x.size(), 3);
  Guarded<T> dy(reps * y.size(), 4), gx(dx.size(), 5);
  Guarded<std::int32_t> index(y.size(), 6);
  for (std::int64_t i = 0; i < x.size(); i += 3) x[i] = T(i % 2);  // many equals
  const Guarded<T> y0(y), dy0(dy), gx0(gx);
  const auto chosen = [&](std::int64_t e) {
    const Index to = index_of(e % y.size(), py, g.c);
    return naive::winner(made.windows[static_cast<std::size_t>(to.position)],
                         [&](auto at) { return element(x, to.n, px, at, g.c, to.c); });
  };
  check::run<kernels::MaxPool, T>(table, {x.in(), y.out(acc), Out(index.data()), g});
  expect("max_pool", y, y0, acc, kTolerance<T>, [&](auto e) {
    const Index to = index_of(e, py, g.c);
    return element(x, to.n, px, chosen(e), g.c, to.c);
  });
  for (std::int64_t e = 0; e < y.size(); ++e) CHECK(index[e] == chosen(e));
  check::run<kernels::MaxPoolAdjoint, T>(table, {dy.in(), In(index.data()), gx.out(acc), g, reps});
  check::run<kernels::MaxPoolTangent, T>(table, {dx.in(), In(index.data()), dy.out(acc), g, reps});
  expect("max_pool_tangent", dy, dy0, acc, kTolerance<T>, [&](auto e) {
    const Index to = index_of(e, py, g.c);
    return element(dx, to.n, px, chosen(e), g.c, to.c);
  });
  std::vector<double> sums(static_cast<std::size_t>(gx.size()), 0);
  for (std::int64_t e = 0; e < dy.size(); ++e) {
    const Index to = index_of(e, py, g.c);
    sums[static_cast<std::size_t>((to.n * px + chosen(e)) * g.c + to.c)] +=
        static_cast<double>(dy0[e]);
  }
  expect("max_pool_adjoint", gx, gx0, acc, 2 * kTolerance<T>,
         [&](auto e) { return sums[static_cast<std::size_t>(e)]; });
}

}  // namespace

TEST("sums and means over windows, and their transposes") {
  check::for_tables([](const KernelTable& table, auto zero) {
    for (const Case& made : pools()) {
      for (const bool acc : {false, true}) check_sums(table, made, acc, zero);
    }
  });
}

TEST("padding, cropping, steps and upsampling, and their transposes") {
  check::for_tables([](const KernelTable& table, auto zero) {
    for (const Case& made : all_picks()) {
      for (const bool acc : {false, true}) check_sums(table, made, acc, zero);
    }
  });
}

TEST("maxima over windows follow their first position") {
  std::vector<Case> cases = pools();
  cases.push_back(pooling(2, 6, 9, 8, {{3, 2}, {1, 2}, {2, 1}, {2, 3}}));
  cases.push_back(pooling(1, 18, 11, 12, {{2, 3}, {2, 2}, {1, 2}, {3, 2}, true}));
  check::for_tables([&](const KernelTable& table, auto zero) {
    for (const Case& made : cases) {
      for (const bool acc : {false, true}) check_maxima(table, made, acc, zero);
    }
  });
}

TEST("maximum pooling: NaN wins, -infinity can, an empty window chooses nothing") {
  check::for_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    // taps -2 and 2 of the first window miss an image of width 2
    const WindowGeometry empty{1, 3, {}, {2, 1, 2, 1, 2, 4}};
    const WindowGeometry g{1, 3, {}, {4, 2, 2, 2}};
    Guarded<T> x(12, 1), y(6, 2), back(6, 3);
    Guarded<std::int32_t> index(6, 4);
    const T nan = std::numeric_limits<T>::quiet_NaN(), least = -std::numeric_limits<T>::infinity();
    const T values[] = {nan, least, 1, 5, least, nan, 1, 2, least, 2, 2, nan};
    for (int i = 0; i < 12; ++i) x[i] = values[i];
    check::run<kernels::MaxPool, T>(table, {x.in(), y.out(), Out(index.data()), g});
    const std::int32_t expected[] = {0, 0, 1, 3, 2, 3};
    for (int i = 0; i < 6; ++i) CHECK(index[i] == expected[i]);
    CHECK(std::isnan(y[0]) && y[1] == least && std::isnan(y[2]));
    CHECK(y[3] == T(2) && y[4] == T(2) && std::isnan(y[5]));
    check::run<kernels::MaxPool, T>(table, {x.in(), y.out(), Out(index.data()), empty});
    check::run<kernels::MaxPoolTangent, T>(table, {x.in(), In(index.data()), y.out(), empty});
    check::run<kernels::MaxPoolAdjoint, T>(table, {x.in(), In(index.data()), back.out(), empty});
    for (int i = 0; i < 3; ++i) CHECK(index[i] == -1 && y[i] == T(0));
    for (int i = 0; i < 6; ++i) CHECK(back[i] == T(0));
  });
}
