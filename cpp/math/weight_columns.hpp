// How the output of a layer moves along a single weight: columns of its Jacobian.
#pragma once

#include "math/conv_geometry.hpp"

namespace hesscore::math {

// A convolution, or its transpose, read as rows (n x positions) of units and of factors. A linear
// layer is one of single pixels, a normalisation's weight one with a group for each channel. Along
// one weight
//   da[row, unit] = x[source(row), factor],   zero elsewhere.
struct WeightColumns {
  ConvGeometry g;
  bool transposed = false;
  bool constant = false;  // a bias: 1 in place of x

  HC_HD std::int64_t rows() const { return g.n * (transposed ? g.h * g.w : g.oh * g.ow); }
  HC_HD std::int64_t units() const { return transposed ? g.c : g.o; }
  HC_HD std::int64_t factors() const { return transposed ? g.o : g.c; }
  HC_HD std::int64_t count() const { return g.weights(); }

  struct Column {
    std::int64_t unit, factor, a, b;
  };
  HC_HD Column column(std::int64_t weight) const {
    const std::int64_t line = weight / g.taps();
    const std::int64_t p = line / g.group_c();
    const std::int64_t q = p / g.group_o() * g.group_c() + line % g.group_c();
    return {transposed ? q : p, transposed ? p : q, weight / g.kw % g.kh, weight % g.kw};
  }
  // The row of the input that the column's tap takes to this row of the output, or -1.
  HC_HD std::int64_t source(std::int64_t row, const Column& at) const {
    if (!transposed) {
      const std::int64_t line = row / g.ow, n = line / g.oh;
      const std::int64_t i = g.row(line - n * g.oh, at.a), j = g.column(row - line * g.ow, at.b);
      const bool inside = i >= 0 && i < g.h && j >= 0 && j < g.w;
      return inside ? (n * g.h + i) * g.w + j : -1;
    }
    const std::int64_t line = row / g.w, n = line / g.h;
    const std::int64_t i = line - n * g.h + g.pad_h - at.a * g.dilation_h;
    const std::int64_t j = row - line * g.w + g.pad_w - at.b * g.dilation_w;
    if (i < 0 || j < 0 || i % g.stride_h != 0 || j % g.stride_w != 0) return -1;
    const bool inside = i / g.stride_h < g.oh && j / g.stride_w < g.ow;
    return inside ? (n * g.oh + i / g.stride_h) * g.ow + j / g.stride_w : -1;
  }
};

}  // namespace hesscore::math
