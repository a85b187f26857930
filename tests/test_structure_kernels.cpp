// Kernels that move activations - transposes - against naive loops: all instruction sets, both
// dtypes, odd sizes, accumulation.
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
