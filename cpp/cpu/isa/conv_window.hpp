// A convolution, or one phase of a transposed one, as the same thing: every output pixel is a sum
// over taps, and each tap reads one pixel of an image.
#pragma once

#include "cpu/parallel.hpp"
#include "math/conv_geometry.hpp"

namespace hesscore::cpu::HC_ISA {

// Output pixel (u, v) reads pixel (u * step_h + row, v * step_w + column) with weights `index`.
struct Tap {
  std::int64_t row, column, index;
};

struct Window {
  std::int64_t n, h, w, c;     // images that are read
  std::int64_t rows, columns;  // output pixels of an image ...
  std::int64_t step_h, step_w;
  std::int64_t to_h, to_w, to_c;  // ... and the images that they are written to
  std::int64_t first_row = 0, first_column = 0, to_step_h = 1, to_step_w = 1;
  std::int64_t groups, depth, width;  // channels that a group reads and writes
  Tap* taps = nullptr;                // by rows, then columns
  std::int64_t tap_count = 0;
  std::int64_t* order = nullptr;  // which of them a tap of the kernel is, or -1
  std::int64_t kernel_taps = 0;
  bool transposed = false;

  bool by_channel() const { return depth == 1 && width == 1 && groups > 1; }
  bool inside_rows(std::int64_t row) const { return row >= 0 && row < h; }
  bool inside_columns(std::int64_t column) const { return column >= 0 && column < w; }
  std::int64_t image() const { return h * w * c; }
  std::int64_t to_image() const { return to_h * to_w * to_c; }
};

// Memory for the taps of a window.
inline Tap* tap_memory(const math::ConvGeometry& g) {
  constexpr std::int64_t kSize = sizeof(Tap) + sizeof(std::int64_t);
  return static_cast<Tap*>(scratch(6, g.taps() * kSize));
}

inline void list_order(Window& win) {
  win.order = reinterpret_cast<std::int64_t*>(win.taps + win.kernel_taps);
  for (std::int64_t t = 0; t < win.kernel_taps; ++t) win.order[t] = -1;
  for (std::int64_t t = 0; t < win.tap_count; ++t) win.order[win.taps[t].index] = t;
}

inline Window window_of(const math::ConvGeometry& g) {
  Tap* taps = tap_memory(g);
  Window win{g.n, g.h, g.w, g.c, g.oh, g.ow, g.stride_h, g.stride_w, g.oh, g.ow, g.o};
  win.groups = g.groups;
  win.depth = g.group_c();
  win.width = g.group_o();
  win.kernel_taps = win.tap_count = g.taps();
  win.taps = taps;
  for (std::int64_t a = 0; a < g.kh; ++a) {
    for (std::int64_t b = 0; b < g.kw; ++b) *taps++ = {g.row(0, a), g.column(0, b), a * g.kw + b};
  }
  list_order(win);
  return win;
}

// Over all output pixels, the taps that read a pixel and not a zero.
inline std::int64_t taps_inside(const Window& w) {
  std::int64_t inside = 0;
  for (std::int64_t t = 0; t < w.tap_count; ++t) {
    const Tap& tap = w.taps[t];
    std::int64_t rows = 0, columns = 0;
    for (std::int64_t u = 0; u < w.rows; ++u) rows += w.inside_rows(u * w.step_h + tap.row);
    for (std::int64_t v = 0; v < w.columns; ++v) {
      columns += w.inside_columns(v * w.step_w + tap.column);
    }
    inside += rows * columns;
  }
  return inside;
}

// Pixels (h, w) = (r + u stride_h, q + v stride_w) of x in the transpose: a tap (a, b) reads
// y[(h + pad_h - a dilation_h) / stride_h, ...] where that is a whole number.
inline Window transposed_window(const math::ConvGeometry& g, std::int64_t r, std::int64_t q) {
  const auto count = [](std::int64_t n, std::int64_t first, std::int64_t step) {
    return first < n ? (n - first - 1) / step + 1 : 0;
  };
  Window win{g.n, g.oh, g.ow, g.o, count(g.h, r, g.stride_h), count(g.w, q, g.stride_w), 1,
             1,   g.h,  g.w,  g.c};
  win.first_row = r;
  win.first_column = q;
  win.to_step_h = g.stride_h;
  win.to_step_w = g.stride_w;
  win.groups = g.groups;
  win.depth = g.group_o();
  win.width = g.group_c();
  win.kernel_taps = g.taps();
  win.transposed = true;
  Tap* taps = win.taps = tap_memory(g);
  for (std::int64_t a = g.kh - 1; a >= 0; --a) {
    const std::int64_t row = r + g.pad_h - a * g.dilation_h;
    if (row % g.stride_h != 0) continue;
    for (std::int64_t b = g.kw - 1; b >= 0; --b) {
      const std::int64_t column = q + g.pad_w - b * g.dilation_w;
      if (column % g.stride_w != 0) continue;
      taps[win.tap_count++] = {row / g.stride_h, column / g.stride_w, a * g.kw + b};
    }
  }
  list_order(win);
  return win;
}

// The pixels that the taps reach from (0, 0) on, relative to it, and those of all output pixels.
struct Reach {
  std::int64_t top = 0, bottom = 0, left = 0, right = 0;  // inclusive

  explicit Reach(const Window& win) {
    for (std::int64_t t = 0; t < win.tap_count; ++t) {
      const Tap& tap = win.taps[t];
      if (t == 0 || tap.row < top) top = tap.row;
      if (t == 0 || tap.row > bottom) bottom = tap.row;
      if (t == 0 || tap.column < left) left = tap.column;
      if (t == 0 || tap.column > right) right = tap.column;
    }
  }
  std::int64_t rows(std::int64_t u, std::int64_t step) const {
    return (u - 1) * step + bottom - top + 1;
  }
  std::int64_t columns(std::int64_t v, std::int64_t step) const {
    return (v - 1) * step + right - left + 1;
  }
  bool inside(const Window& win) const {
    return top >= 0 && left >= 0 && (win.rows - 1) * win.step_h + bottom < win.h &&
           (win.columns - 1) * win.step_w + right < win.w;
  }
};

}  // namespace hesscore::cpu::HC_ISA
