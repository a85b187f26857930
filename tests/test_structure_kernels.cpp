// Transposes and broadcast products against naive loops: all instruction sets, both dtypes, odd
// sizes, accumulation.
#include "kernel_tables.hpp"

using namespace hesscore;
using check::expect;
using check::Guarded;

TEST("transposes of stacks of matrices") {
  const std::int64_t sizes[][3] = {{1, 1, 1},   {5, 3, 49},    {4, 49, 3},   {2, 16, 32},
                                   {3, 17, 15}, {1, 130, 259}, {2, 2, 9001}, {1, 8200, 9}};
  check::for_tables([&](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    for (const auto& [batch, rows, columns] : sizes) {
      for (const bool acc : {false, true}) {
        Guarded<T> x(batch * rows * columns, 1), y(x.size(), 2);
        const Guarded<T> y0(y);
        check::run<kernels::Transpose, T>(table, {x.in(), y.out(acc), batch, rows, columns});
        expect("transpose", y, y0, acc, 1e-6, [&](auto e) {
          const std::int64_t b = e / (rows * columns), at = e % (rows * columns);
          return x[b * rows * columns + at % rows * columns + at / rows];
        });
      }
    }
  });
}

namespace {

// Axes of sizes and strides of p, q, y; summed where y has a stride of 0.
struct Axes {
  std::vector<std::int64_t> size, p, q;
  int kept;
};

std::int64_t reach(const std::vector<std::int64_t>& size, const std::vector<std::int64_t>& stride) {
  std::int64_t n = 1;
  for (std::size_t k = 0; k < size.size(); ++k) n += (size[k] - 1) * stride[k];
  return n;
}

template <class T>
void check_product(const KernelTable& table, const Axes& given, bool acc, bool square, T) {
  math::BroadcastAxes axes;
  axes.kept = given.kept;
  axes.summed = static_cast<int>(given.size.size()) - given.kept;
  std::int64_t results = 1, all = 1;
  for (std::size_t k = 0; k < given.size.size(); ++k) {
    axes.size[k] = given.size[k], axes.p[k] = given.p[k], axes.q[k] = given.q[k];
    all *= given.size[k];
    if (static_cast<int>(k) < given.kept) results *= given.size[k];
  }
  Guarded<T> p(reach(given.size, given.p), 1), q(reach(given.size, given.q), 2), y(results, 3);
  const Guarded<T> y0(y);
  check::run<kernels::BroadcastProduct, T>(table, {p.in(), q.in(), y.out(acc), axes, square});
  std::vector<double> sums(static_cast<std::size_t>(results), 0);
  for (std::int64_t e = 0; e < all; ++e) {
    std::int64_t rest = e, at_p = 0, at_q = 0;
    for (std::size_t k = given.size.size(); k-- > 0; rest /= given.size[k]) {
      at_p += rest % given.size[k] * given.p[k];
      at_q += rest % given.size[k] * given.q[k];
    }
    const double v = static_cast<double>(q[at_q]);
    sums[static_cast<std::size_t>(e / (all / results))] +=
        static_cast<double>(p[at_p]) * (square ? v * v : v);
  }
  expect("broadcast_product", y, y0, acc, 20 * check::kTolerance<T>,
         [&](auto i) { return sums[static_cast<std::size_t>(i)]; });
}

}  // namespace

TEST("broadcast products and their sums") {
  const Axes cases[] = {
      {{}, {}, {}, 0},                                   // one number
      {{1100}, {1}, {0}, 1},                             // a vector times a number
      {{1100}, {0}, {1}, 1},                             // a number times a vector
      {{3, 49, 17}, {833, 17, 1}, {17, 0, 1}, 3},        // a gate, channels last
      {{6, 50}, {50, 1}, {1, 0}, 2},                     // a gate, channels first
      {{3, 17, 49}, {833, 1, 17}, {833, 1, 17}, 2},      // its adjoint, channels last
      {{6, 523}, {523, 1}, {523, 1}, 1},                 // its adjoint, channels first
      {{5, 3, 7}, {7, 0, 1}, {21, 7, 1}, 2},             // inner products
      {{5, 7, 3}, {3, 0, 1}, {21, 1, 7}, 2},             // their adjoint
      {{4, 3, 5, 2}, {30, 5, 1, 15}, {0, 5, 1, 15}, 2},  // sums over two axes
      {{2, 3, 70, 2, 5}, {2100, 10, 30, 5, 1}, {0, 0, 10, 5, 1}, 3},
      {{20000}, {1}, {1}, 0},  // everything summed
      {{9, 40}, {0, 40}, {1, 0}, 1},
  };
  check::for_tables([&](const KernelTable& table, auto zero) {
    for (const Axes& axes : cases) {
      for (const bool acc : {false, true}) {
        for (const bool square : {false, true}) check_product(table, axes, acc, square, zero);
      }
    }
  });
}
