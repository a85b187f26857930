// Random geometries of convolutions, and what the kernels should give, by plain loops in float64.
#pragma once

#include <random>
#include <vector>

#include "kernel_tables.hpp"
#include "math/conv_geometry.hpp"

namespace conv_problems {

using hesscore::math::ConvGeometry;
using Values = std::vector<double>;

inline std::mt19937 random_bits(11);

inline std::int64_t upto(std::int64_t n) {
  return 1 + static_cast<std::int64_t>(random_bits() % n);
}
inline bool coin() { return random_bits() & 1; }

// Output sizes as layers have them, some rows and columns left over.
inline void fit(ConvGeometry& g, std::int64_t pad_after_h, std::int64_t pad_after_w) {
  const std::int64_t reach_h = g.dilation_h * (g.kh - 1), reach_w = g.dilation_w * (g.kw - 1);
  g.h = std::max(g.h, reach_h + 1 - g.pad_h - pad_after_h);
  g.w = std::max(g.w, reach_w + 1 - g.pad_w - pad_after_w);
  g.oh = (g.h + g.pad_h + pad_after_h - reach_h - 1) / g.stride_h + 1;
  g.ow = (g.w + g.pad_w + pad_after_w - reach_w - 1) / g.stride_w + 1;
}

enum class Kind { plain, grouped, by_channel };

inline ConvGeometry draw(Kind kind, std::int64_t largest = 40) {
  ConvGeometry g;
  g.n = upto(5);
  g.h = upto(9), g.w = upto(17);
  g.kh = upto(4), g.kw = upto(5);
  g.stride_h = upto(3), g.stride_w = upto(3);
  g.dilation_h = coin() ? 1 : upto(3), g.dilation_w = coin() ? 1 : upto(3);
  g.pad_h = static_cast<std::int64_t>(random_bits() % 4);
  g.pad_w = static_cast<std::int64_t>(random_bits() % 4);
  if (coin()) g.stride_h = g.stride_w = 1;
  g.groups = kind == Kind::plain ? 1 : kind == Kind::grouped ? 1 + upto(3) : upto(largest);
  g.c = g.groups * (kind == Kind::by_channel ? 1 : upto(coin() ? 3 : largest));
  g.o = g.groups * (kind == Kind::by_channel ? 1 : upto(coin() ? 3 : largest));
  fit(g, static_cast<std::int64_t>(random_bits() % 4),
      static_cast<std::int64_t>(random_bits() % 4));
  return g;
}

// A larger image of few channels, without strides.
inline ConvGeometry draw_large() {
  ConvGeometry g;
  g.n = upto(7);
  g.h = upto(24), g.w = 8 + upto(30);
  g.kh = upto(5), g.kw = upto(5);
  g.dilation_h = coin() ? 1 : upto(3), g.dilation_w = coin() ? 1 : upto(3);
  g.pad_h = static_cast<std::int64_t>(random_bits() % 4);
  g.pad_w = static_cast<std::int64_t>(random_bits() % 4);
  g.groups = coin() ? 1 : upto(3);
  g.c = g.groups * upto(3);
  g.o = g.groups * upto(9);
  fit(g, static_cast<std::int64_t>(random_bits() % 4),
      static_cast<std::int64_t>(random_bits() % 4));
  return g;
}

inline ConvGeometry geometry(std::int64_t n, std::int64_t size, std::int64_t c, std::int64_t o,
                             std::int64_t kernel, std::int64_t pad = 0, std::int64_t stride = 1,
                             std::int64_t groups = 1) {
  ConvGeometry g{.n = n, .h = size, .w = size, .c = c, .o = o, .kh = kernel, .kw = kernel};
  g.stride_h = g.stride_w = stride;
  g.pad_h = g.pad_w = pad;
  g.groups = groups;
  fit(g, pad, pad);
  return g;
}

// body(y, x, w) for every product of the convolution: the indices of its three numbers.
template <class F>
void each_term(const ConvGeometry& g, F body) {
  const std::int64_t gc = g.group_c(), go = g.group_o();
  for (std::int64_t n = 0; n < g.n; ++n) {
    for (std::int64_t i = 0; i < g.oh; ++i) {
      for (std::int64_t j = 0; j < g.ow; ++j) {
        for (std::int64_t a = 0; a < g.kh; ++a) {
          const std::int64_t row = g.row(i, a);
          if (row < 0 || row >= g.h) continue;
          for (std::int64_t b = 0; b < g.kw; ++b) {
            const std::int64_t column = g.column(j, b);
            if (column < 0 || column >= g.w) continue;
            for (std::int64_t p = 0; p < g.o; ++p) {
              for (std::int64_t q = 0; q < gc; ++q) {
                body(((n * g.oh + i) * g.ow + j) * g.o + p,
                     ((n * g.h + row) * g.w + column) * g.c + p / go * gc + q,
                     ((p * gc + q) * g.kh + a) * g.kw + b);
              }
            }
          }
        }
      }
    }
  }
}

inline double power(double x, bool square) { return square ? x * x : x; }

}  // namespace conv_problems
