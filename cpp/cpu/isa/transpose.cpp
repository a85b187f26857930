// Transposes of stacks of matrices, in squares of one vector's width.
#include "cpu/isa/elementwise.hpp"
#include "cpu/isa/simd.hpp"

namespace hesscore::cpu::HC_ISA {
namespace {

// y[j, i] (+)= x[i, j] for i < rows, j < columns, both at most kLanes; neighbouring rows are
// `step_x` and `step_y` elements apart.
template <class T>
void square(const T* x, std::int64_t step_x, T* y, std::int64_t step_y, int rows, int columns,
            bool accumulate) {
  constexpr int kWidth = kLanes<T>;
  Vec<T> r[kWidth];
  if (rows == kWidth && columns == kWidth) {
    HC_UNROLL for (int i = 0; i < kWidth; ++i) r[i] = load(x + i * step_x);
    transpose(r);
    HC_UNROLL for (int j = 0; j < kWidth; ++j) {
      T* to = y + j * step_y;
      store(to, accumulate ? load(to) + r[j] : r[j]);
    }
    return;
  }
  for (int i = 0; i < kWidth; ++i) {
    r[i] = i < rows ? load_partial(x + i * step_x, columns) : Vec<T>{};
  }
  transpose(r);
  for (int j = 0; j < columns; ++j) {
    T* to = y + j * step_y;
    store_partial(to, accumulate ? load_partial(to, rows) + r[j] : r[j], rows);
  }
}

std::int64_t parts(std::int64_t n, std::int64_t size) { return (n + size - 1) / size; }

// Blocks of up to 128 x 128, or longer ones of the same area; small matrices several at a time.
template <class T>
void transposes(void*, const kernels::Transpose::Args& a) {
  constexpr std::int64_t kSide = 128, kWidth = kLanes<T>;
  if (a.batch == 0 || a.rows == 0 || a.columns == 0) return;
  const auto side = [](std::int64_t n, std::int64_t other) {
    const std::int64_t most = other < kSide ? kGrain / other / kSide * kSide : kSide;
    return n < most ? n : most;
  };
  const std::int64_t high = side(a.rows, a.columns), wide = side(a.columns, a.rows);
  const std::int64_t down = parts(a.rows, high), across = parts(a.columns, wide);
  const auto block = [&](std::int64_t b, std::int64_t i0, std::int64_t j0) {
    const T* x = a.x.as<T>() + b * a.rows * a.columns;
    T* y = a.y.as<T>() + b * a.rows * a.columns;
    const std::int64_t i1 = i0 + high < a.rows ? i0 + high : a.rows;
    const std::int64_t j1 = j0 + wide < a.columns ? j0 + wide : a.columns;
    for (std::int64_t j = j0; j < j1; j += kWidth) {
      const auto columns = static_cast<int>(j1 - j < kWidth ? j1 - j : kWidth);
      for (std::int64_t i = i0; i < i1; i += kWidth) {
        const auto rows = static_cast<int>(i1 - i < kWidth ? i1 - i : kWidth);
        square(x + i * a.columns + j, a.columns, y + j * a.rows + i, a.rows, rows, columns,
               a.y.accumulate);
      }
    }
  };
  parallel_chunks(a.batch * down * across, parts(kGrain, high * wide),
                  [&](std::int64_t k, std::int64_t end) {
                    for (; k < end; ++k) {
                      const std::int64_t at = k % (down * across);
                      block(k / (down * across), at % down * high, at / down * wide);
                    }
                  });
}

}  // namespace

void register_transposes(KernelTable& table) { HC_ADD(table, Transpose, transposes); }

}  // namespace hesscore::cpu::HC_ISA
