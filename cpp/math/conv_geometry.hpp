// Geometry of a convolution, for every pass over it.
#pragma once

#include <cstdint>

#include "math/hd.hpp"

namespace hesscore::math {

// Images x (n, h, w, c) and y (n, oh, ow, o), channels last; weights (o, c / groups, kh, kw):
//   y[n, i, j, p] = sum over a, b, q of weight[p, q, a, b] x[n, row(i, a), column(j, b), q]
// where q runs over the channels of p's group and x is zero outside the image. A transposed
// convolution is the same map read from y to x.
struct ConvGeometry {
  std::int64_t n = 0;
  std::int64_t h = 0, w = 0, c = 0;
  std::int64_t oh = 0, ow = 0, o = 0;
  std::int64_t kh = 1, kw = 1;
  std::int64_t stride_h = 1, stride_w = 1;
  std::int64_t pad_h = 0, pad_w = 0;  // before the first row and column
  std::int64_t dilation_h = 1, dilation_w = 1;
  std::int64_t groups = 1;

  HC_HD std::int64_t row(std::int64_t i, std::int64_t a) const {
    return i * stride_h - pad_h + a * dilation_h;
  }
  HC_HD std::int64_t column(std::int64_t j, std::int64_t b) const {
    return j * stride_w - pad_w + b * dilation_w;
  }
  // The row and column of y that reads row r and column s of x at tap a or b; -1: none.
  HC_HD std::int64_t row_reading(std::int64_t r, std::int64_t a) const {
    const std::int64_t i = r + pad_h - a * dilation_h;
    return i < 0 || i % stride_h != 0 ? -1 : i / stride_h;
  }
  HC_HD std::int64_t column_reading(std::int64_t s, std::int64_t b) const {
    const std::int64_t j = s + pad_w - b * dilation_w;
    return j < 0 || j % stride_w != 0 ? -1 : j / stride_w;
  }
  HC_HD std::int64_t group_c() const { return c / groups; }
  HC_HD std::int64_t group_o() const { return o / groups; }
  HC_HD std::int64_t x_image() const { return h * w * c; }
  HC_HD std::int64_t y_image() const { return oh * ow * o; }
  HC_HD std::int64_t taps() const { return kh * kw; }
  HC_HD std::int64_t weights() const { return o * group_c() * taps(); }
};

}  // namespace hesscore::math
