// Patches as rows, and symmetric matrices made whole.
#include <algorithm>
#include <cstring>

#include "cpu/isa/mirror.hpp"

namespace hesscore::cpu::HC_ISA {
namespace {

// One row of patches: pixel (i, j) of the image that the layer writes.
template <class T>
void unfold_pixel(const math::ConvGeometry& g, const T* x, bool transposed, std::int64_t i,
                  std::int64_t j, T* y, bool accumulate) {
  const std::int64_t width = transposed ? g.group_o() : g.group_c();
  const std::int64_t pixel = transposed ? g.o : g.c, columns = transposed ? g.ow : g.w;
  for (std::int64_t a = 0; a < g.kh; ++a) {
    const std::int64_t r = transposed ? g.row_reading(i, a) : g.row(i, a);
    for (std::int64_t b = 0; b < g.kw; ++b, y += width) {
      const std::int64_t c = transposed ? g.column_reading(j, b) : g.column(j, b);
      const bool inside = r >= 0 && r < (transposed ? g.oh : g.h) && c >= 0 && c < columns;
      const T* from = inside ? x + (r * columns + c) * pixel : nullptr;
      if (accumulate) {
        for (std::int64_t q = 0; inside && q < width; ++q) y[q] += from[q];
      } else if (inside) {
        std::memcpy(y, from, static_cast<std::size_t>(width) * sizeof(T));
      } else {
        std::memset(y, 0, static_cast<std::size_t>(width) * sizeof(T));
      }
    }
  }
}

// The same where a row of taps lies in the image as it does in the patch, but for what is beside
// it.
template <class T>
void unfold_runs(const math::ConvGeometry& g, const T* x, std::int64_t i, std::int64_t j, T* y) {
  const std::int64_t c = g.column(j, 0), first = std::clamp<std::int64_t>(-c, 0, g.kw);
  const std::int64_t last = std::clamp(g.w - c, first, g.kw);
  const auto bytes = [&](std::int64_t taps) {
    return static_cast<std::size_t>(taps * g.c) * sizeof(T);
  };
  for (std::int64_t a = 0; a < g.kh; ++a, y += g.kw * g.c) {
    const std::int64_t r = g.row(i, a);
    if (r < 0 || r >= g.h || first == last) {
      std::memset(y, 0, bytes(g.kw));
      continue;
    }
    if (first > 0) std::memset(y, 0, bytes(first));
    std::memcpy(y + first * g.c, x + (r * g.w + c + first) * g.c, bytes(last - first));
    if (last < g.kw) std::memset(y + last * g.c, 0, bytes(g.kw - last));
  }
}

template <class T>
void unfold(void*, const kernels::Unfold::Args& a) {
  const math::ConvGeometry& g = a.g;
  const std::int64_t rows = a.transposed ? g.h : g.oh, columns = a.transposed ? g.w : g.ow;
  const std::int64_t width = a.transposed ? g.group_o() : g.group_c();
  const std::int64_t image = a.transposed ? g.y_image() : g.x_image();
  const std::int64_t line = columns * g.taps() * width;
  if (line == 0) return;
  const bool runs = !a.transposed && !a.y.accumulate && g.groups == 1 && g.dilation_w == 1;
  parallel_chunks(g.n * rows, (kGrain + line - 1) / line,
                  [&](std::int64_t begin, std::int64_t end) {
                    for (std::int64_t r = begin; r < end; ++r) {
                      const T* x = a.x.as<T>() + r / rows * image + a.group * width;
                      T* y = a.y.as<T>() + r * line;
                      for (std::int64_t j = 0; j < columns; ++j, y += g.taps() * width) {
                        runs ? unfold_runs(g, x, r % rows, j, y)
                             : unfold_pixel(g, x, a.transposed, r % rows, j, y, a.y.accumulate);
                      }
                    }
                  });
}

template <class T>
void mirror(void*, const kernels::Mirror::Args& a) {
  const MirrorBlocks<T> blocks(a);
  blocks.run();
  if (!a.sum) return;
  T* y = a.y.as<T>();
  const T* sum = a.sum.as<T>();
  const auto put = [&](std::int64_t i, double value) {
    y[i] = static_cast<T>(value) + (a.y.accumulate ? y[i] : T(0));
  };
  for (std::int64_t i = 0; i < a.n; ++i) {
    const std::int64_t to = blocks.place(i);
    const double value = a.scale * static_cast<double>(sum[i]);
    put(to * (a.n + 1) + a.n, value);
    put(a.n * (a.n + 1) + to, value);
  }
  put((a.n + 1) * (a.n + 1) - 1, a.corner);
}

}  // namespace

void register_kronecker(KernelTable& table) {
  HC_ADD(table, Unfold, unfold);
  HC_ADD(table, Mirror, mirror);
}

}  // namespace hesscore::cpu::HC_ISA
