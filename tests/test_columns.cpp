// Columns of Jacobians against plain loops: all instruction sets, both dtypes, chunks that go
// beyond the last column, accumulation.
#include "kernel_tables.hpp"

using namespace hesscore;
using check::Guarded;
using math::ConvGeometry;
using math::WeightColumns;

namespace {

std::vector<WeightColumns> cases() {
  std::vector<WeightColumns> all;
  for (const bool transposed : {false, true}) {
    all.push_back({{5, 1, 1, 7, 1, 1, 3}, transposed});                             // linear
    all.push_back({{4, 1, 1, 6, 1, 1, 6, 1, 1, 1, 1, 0, 0, 1, 1, 6}, transposed});  // norm
    all.push_back({{2, 5, 6, 2, 3, 4, 3, 3, 3}, transposed});
    all.push_back({{2, 7, 6, 4, 4, 3, 6, 3, 2, 2, 2, 1, 1, 1, 2, 2}, transposed});
    all.push_back({{1, 4, 9, 3, 4, 9, 3, 1, 5, 1, 1, 0, 2, 1, 1, 3}, transposed});
    all.push_back({{70, 6, 1, 1, 6, 1, 1, 3, 1, 1, 1, 1, 0}, transposed});
  }
  all.push_back({{9, 1, 1, 1, 1, 1, 5}, false, true});  // bias
  all.push_back({{900, 1, 1, 1, 1, 1, 30}, false, true});
  return all;
}

// f(weight, element of y in one rep, element of x) for every product in the layer
template <class F>
void each_product(const WeightColumns& c, F f) {
  const ConvGeometry& g = c.g;
  std::int64_t weight = 0;
  for (std::int64_t p = 0; p < g.o; ++p) {
    for (std::int64_t q = p / g.group_o() * g.group_c(), end = q + g.group_c(); q < end; ++q) {
      for (std::int64_t a = 0; a < g.kh; ++a) {
        for (std::int64_t b = 0; b < g.kw; ++b, ++weight) {
          for (std::int64_t n = 0; n < g.n; ++n) {
            for (std::int64_t i = 0; i < g.oh; ++i) {
              for (std::int64_t j = 0; j < g.ow; ++j) {
                const std::int64_t h = i * g.stride_h - g.pad_h + a * g.dilation_h;
                const std::int64_t w = j * g.stride_w - g.pad_w + b * g.dilation_w;
                if (h < 0 || h >= g.h || w < 0 || w >= g.w) continue;
                const std::int64_t image = ((n * g.h + h) * g.w + w) * g.c + q;
                const std::int64_t result = ((n * g.oh + i) * g.ow + j) * g.o + p;
                c.transposed ? f(weight, image, result) : f(weight, result, image);
              }
            }
          }
        }
      }
    }
  }
}

struct Counter {
  check::Array<std::int64_t> at;
  explicit Counter(std::int64_t first) : at(1, first) {}
  In in() { return In(at.data()); }
};

}  // namespace

TEST("counters") {
  check::for_tables([](const KernelTable& table, auto zero) {
    Counter counter(77);
    check::run<kernels::AdvanceCounter, decltype(zero)>(table, {Out(counter.at.data()), 5, true});
    CHECK(counter.at[0] == 0);
    check::run<kernels::AdvanceCounter, decltype(zero)>(table, {Out(counter.at.data()), 5});
    check::run<kernels::AdvanceCounter, decltype(zero)>(table, {Out(counter.at.data()), 5});
    CHECK(counter.at[0] == 10);
  });
}

TEST("tangents along single weights, and what is read off along them") {
  check::for_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    for (const WeightColumns& c : cases()) {
      const std::int64_t size = c.rows() * c.units(), reps = 4;
      for (const std::int64_t first : {std::int64_t{0}, c.count() - 3}) {
        for (const bool acc : {false, true}) {
          const std::int64_t image = c.g.x_image(), result = c.g.y_image();
          Guarded<T> x(c.g.n * (c.transposed ? result : image), 1);
          Guarded<T> y(reps * size, 2), adjoint(reps * size, 3), w(c.count(), 4);
          const Guarded<T> y0(y), w0(w);
          std::vector<double> expected(static_cast<std::size_t>(reps * size), 0.0);
          std::vector<double> read(static_cast<std::size_t>(c.count()), 0.0);
          each_product(c, [&](std::int64_t k, std::int64_t to, std::int64_t from) {
            if (k < first || k >= first + reps) return;
            const double value = c.constant ? 1.0 : double(x[from]);
            expected[static_cast<std::size_t>((k - first) * size + to)] += value;
            read[static_cast<std::size_t>(k)] += value * double(adjoint[(k - first) * size + to]);
          });
          Counter counter(first);
          const In source = c.constant ? In() : x.in();
          check::run<kernels::WeightTangents, T>(table,
                                                 {counter.in(), source, y.out(acc), c, reps});
          check::expect("tangents", y, y0, acc, check::kTolerance<T>,
                        [&](std::int64_t i) { return expected[static_cast<std::size_t>(i)]; });
          check::run<kernels::WeightAdjoints, T>(
              table, {counter.in(), source, adjoint.in(), w.out(acc), c, reps});
          check::expect("adjoints", w, w0, true, 8 * check::kTolerance<T>, [&](std::int64_t k) {
            const bool touched = k >= first && k < first + reps;
            const double own = touched && !acc ? -double(w0[k]) : 0.0;
            return own + read[static_cast<std::size_t>(k)];
          });
        }
      }
    }
  });
}

TEST("rows spread over samples, and picked up again") {
  struct Case {
    std::int64_t count, width, rows, reps, first;
    bool unit;
  };
  const Case cases[] = {{1, 1, 1, 1, 0, false},      {5, 7, 3, 2, 2, false},
                        {6, 40, 9, 4, 4, false},     {5, 5, 3, 2, 3, true},
                        {300, 70, 130, 3, 0, false}, {33, 33, 1, 5, 30, true},
                        {2, 20000, 2, 2, 0, false}};
  check::for_tables([&](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    for (const Case& c : cases) {
      for (const bool acc : {false, true}) {
        Guarded<T> m(c.count * c.width, 1), y(c.reps * c.rows * c.width, 2), d(c.rows * c.count, 3);
        Guarded<T> z(c.reps * c.rows * c.width, 4);
        const Guarded<T> y0(y), d0(d);
        Counter counter(c.first);
        const auto entry = [&](std::int64_t k, std::int64_t j) {
          if (k >= c.count) return 0.0;
          return c.unit ? double(j == k) : double(m[k * c.width + j]);
        };
        const In source = c.unit ? In() : m.in();
        check::run<kernels::SpreadRows, T>(
            table, {counter.in(), source, y.out(acc), c.count, c.width, c.rows, c.reps});
        check::expect("spread", y, y0, acc, check::kTolerance<T>, [&](std::int64_t i) {
          return entry(c.first + i / (c.rows * c.width), i % c.width);
        });
        check::run<kernels::PickRows, T>(
            table, {counter.in(), source, z.in(), d.out(acc), c.count, c.width, c.rows, c.reps});
        check::expect("pick", d, d0, true, 20 * check::kTolerance<T>, [&](std::int64_t i) {
          const std::int64_t k = i % c.count, r = k - c.first, n = i / c.count;
          if (r < 0 || r >= c.reps) return 0.0;
          double sum = acc ? 0.0 : -double(d0[i]);
          for (std::int64_t j = 0; j < c.width; ++j) {
            sum += entry(k, j) * double(z[(r * c.rows + n) * c.width + j]);
          }
          return sum;
        });
      }
    }
  });
}
