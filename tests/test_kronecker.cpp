// The kernels of Kronecker factors against plain loops, and the public class.
#include <algorithm>

#include "hesscore/hesscore.hpp"
#include "kernel_tables.hpp"

namespace {

using namespace hesscore;
using check::expect;
using check::Guarded;
using check::kTolerance;

struct Image {
  math::ConvGeometry g;
  std::int64_t group;
};

std::vector<Image> images() {
  std::vector<Image> list;
  for (const std::int64_t groups : {1, 2}) {
    for (const auto& [stride, dilation] :
         {std::pair<int, int>{1, 2}, {2, 2}, {3, 2}, {1, 1}, {3, 1}}) {
      math::ConvGeometry g;
      g.n = 3;
      g.h = 7, g.w = 6, g.c = 6, g.o = 4;
      g.kh = 3, g.kw = 2;
      g.stride_h = stride, g.stride_w = 1;
      g.pad_h = 1, g.pad_w = stride - 1;
      g.dilation_w = dilation;
      g.oh = (g.h + 2 * g.pad_h - g.kh) / stride + 1;
      g.ow = g.w + 2 * g.pad_w - dilation;
      g.groups = groups;
      list.push_back({g, groups - 1});
    }
  }
  return list;
}

// By going over all pixels that a tap may read.
template <class T>
double patch(const math::ConvGeometry& g, const Guarded<T>& x, std::int64_t group, bool transposed,
             std::int64_t e) {
  const std::int64_t width = (transposed ? g.o : g.c) / g.groups, q = e % width;
  const std::int64_t b = e / width % g.kw, a = e / (width * g.kw) % g.kh;
  const std::int64_t pixel = e / (width * g.taps());
  const std::int64_t rows = transposed ? g.h : g.oh, columns = transposed ? g.w : g.ow;
  const std::int64_t j = pixel % columns, i = pixel / columns % rows, n = pixel / columns / rows;
  double sum = 0;
  for (std::int64_t r = 0; r < (transposed ? g.oh : g.h); ++r) {
    for (std::int64_t c = 0; c < (transposed ? g.ow : g.w); ++c) {
      const std::int64_t to_row = transposed ? i : r, from_row = transposed ? r : i;
      const std::int64_t to_column = transposed ? j : c, from_column = transposed ? c : j;
      if (from_row * g.stride_h - g.pad_h + a * g.dilation_h != to_row) continue;
      if (from_column * g.stride_w - g.pad_w + b * g.dilation_w != to_column) continue;
      const std::int64_t h = transposed ? g.oh : g.h, w = transposed ? g.ow : g.w;
      const std::int64_t channels = transposed ? g.o : g.c;
      static_cast<void>(h);
      sum += static_cast<double>(x[((n * h + r) * w + c) * channels + group * width + q]);
    }
  }
  return sum;
}

}  // namespace

TEST("unfold lays out patches") {
  check::for_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    for (const Image& image : images()) {
      const math::ConvGeometry& g = image.g;
      for (const bool transposed : {false, true}) {
        for (const bool acc : {false, true}) {
          const std::int64_t width = (transposed ? g.o : g.c) / g.groups;
          const std::int64_t pixels = g.n * (transposed ? g.h * g.w : g.oh * g.ow);
          Guarded<T> x(g.n * (transposed ? g.y_image() : g.x_image()), 1);
          Guarded<T> y(pixels * g.taps() * width, 2);
          const Guarded<T> before(y);
          check::run<kernels::Unfold, T>(table, {x.in(), y.out(acc), g, image.group, transposed});
          expect("unfold", y, before, acc, kTolerance<T>,
                 [&](auto e) { return patch(g, x, image.group, transposed, e); });
        }
      }
    }
  });
}

TEST("mirror makes symmetric matrices whole") {
  check::for_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    for (const auto& [n, taps] : {std::pair<int, int>{1, 1}, {7, 1}, {150, 1}, {24, 6}, {90, 9}}) {
      for (const bool sums : {false, true}) {
        for (const bool acc : {false, true}) {
          const std::int64_t size = n, m = n + (sums ? 1 : 0);
          Guarded<T> x(size * size, 1), sum(size, 2), y(m * m, 3);
          const Guarded<T> before(y);
          kernels::Mirror::Args a{x.in(), {}, y.out(acc), size, taps, 0.5, 3};
          if (sums) a.sum = sum.in();
          check::run<kernels::Mirror, T>(table, a);
          const auto source = [&](std::int64_t i) { return i % taps * (size / taps) + i / taps; };
          expect("mirror", y, before, acc, kTolerance<T>, [&](auto e) {
            const std::int64_t i = e / m, j = e % m;
            if (i == size && j == size) return 3.0;
            if (i == size || j == size) return 0.5 * double(sum[source(std::min(i, j))]);
            const std::int64_t p = std::max(source(i), source(j));
            const std::int64_t q = std::min(source(i), source(j));
            return 0.5 * double(x[p * size + q]);
          });
        }
      }
    }
  });
}

TEST("products may leave out what lies above the diagonal") {
  check::for_product_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    for (const std::int64_t n : {1, 5, 33, 200, 517}) {
      for (const bool acc : {false, true}) {
        const std::int64_t k = 75;
        Guarded<T> x(k * n, 1), c(n * n, 2);
        const Guarded<T> before(c);
        kernels::Product::Args a{x.in(), x.in(), {}, c.out(acc), n, n, k};
        a.trans_a = a.lower = true;
        check::run<kernels::Product, T>(table, a);
        Guarded<T> known(c), old(before);
        for (std::int64_t i = 0; i < n; ++i) {
          for (std::int64_t j = i + 1; j < n; ++j) known[i * n + j] = old[i * n + j] = T(0);
        }
        const double tolerance = check::precision_now == Precision::tf32 ? 0.1 : 75 * kTolerance<T>;
        expect("lower", known, old, acc, tolerance, [&](auto e) {
          double sum = 0;
          for (std::int64_t t = 0; e % n <= e / n && t < k; ++t) {
            sum += double(x[t * n + e / n]) * double(x[t * n + e % n]);
          }
          return sum;
        });
      }
    }
  });
}

namespace {

std::vector<double> numbers(std::int64_t n, double seed) {
  std::vector<double> v;
  for (std::int64_t i = 0; i < n; ++i) v.push_back(std::sin(1.7 * double(i) + seed));
  return v;
}

// A Linear layer's factors by plain loops; N = 4, 3 inputs, 2 outputs, squared error summed.
struct Problem {
  Problem() : f(graph(), device("cpu"), DType::f64) {}
  static Graph graph() {
    GraphBuilder b;
    return b.finish(b.linear(b.input({3}), 2), MSELoss{Reduction::sum});
  }
  KroneckerFactors factors(const KroneckerOptions& options) const {
    return {f, View(w.data(), DType::f64, {8}),
            Batch{View(x.data(), DType::f64, {4, 3}), View(y.data(), DType::f64, {4, 2})}, options};
  }

  Objective f;
  std::vector<double> w = numbers(8, 1), x = numbers(12, 2), y = numbers(8, 3);
};

}  // namespace

TEST("factors of a linear layer, their inverse and their diagonal") {
  const Problem p;
  const KroneckerFactors k = p.factors({.kind = Factors::exact});
  CHECK(k.blocks().size() == 1 && k.blocks()[0].rows == 2 && k.blocks()[0].columns == 4);
  const auto* all = static_cast<const double*>(k.factors().data);
  const double *a = all + k.blocks()[0].a, *g = all + k.blocks()[0].g;
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t j = 0; j < 4; ++j) {
      double sum = 0;
      for (std::size_t n = 0; n < 4; ++n) {
        sum += (i < 3 ? p.x[n * 3 + i] : 1) * (j < 3 ? p.x[n * 3 + j] : 1) / 4;
      }
      CHECK_CLOSE(a[i * 4 + j], sum, 1e-13);
    }
  }
  for (std::size_t i = 0; i < 4; ++i) CHECK_CLOSE(g[i], i % 3 == 0 ? 8.0 : 0.0, 1e-13);
  Vector diagonal = p.f.zeros();
  k.diagonal(&diagonal);
  CHECK_CLOSE(diagonal.to_host()[4], 8 * a[5], 1e-13);
  CHECK_CLOSE(diagonal.to_host()[7], 8.0, 1e-13);
  CHECK_CLOSE(k.trace(), 16 * (a[0] + a[5] + a[10] + 1), 1e-12);
  const auto matrix = k.matrix();
  for (const bool split : {false, true}) {
    const auto inverse = k.inverse(0.5, split);
    std::vector<double> v = numbers(8, 4), u(8), back(8);
    inverse->apply(v.data(), u.data());
    matrix->apply(u.data(), back.data());
    for (std::size_t i = 0; i < 8 && !split; ++i) CHECK_CLOSE(back[i] + 0.5 * u[i], v[i], 1e-12);
  }
}

TEST("bad options of factors throw") {
  const Problem p;
  CHECK_THROWS(OptionError, p.factors({.samples = 0}));
  KroneckerFactors k = p.factors({.kind = Factors::exact});
  CHECK_THROWS(OptionError, k.inverse(-1));
  CHECK_THROWS(OptionError, k.update(k, 2));
  Vector small(device("cpu"), DType::f64, 7);
  CHECK_THROWS(OutputError, k.diagonal(&small));
  const KroneckerOptions corrected{.kind = Factors::exact, .corrected = true};
  CHECK_THROWS(UnsupportedError, k.update(p.factors(corrected), 0.5));
}
