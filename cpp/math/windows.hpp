// Windows over an image, for every pass of pooling, padding, slicing and nearest upsampling.
#pragma once

#include <cstdint>

#include "math/hd.hpp"

namespace hesscore::math {

enum class Windows : std::int32_t {
  strided,   // output o: `kernel` inputs from o stride - pad on, `dilation` apart
  adaptive,  // inputs floor(o in / out) .. ceil((o + 1) in / out) - 1
  nearest,   // the input floor(o in / out)
};

// What may divide the sum over a window.
enum class Divisor : std::int32_t {
  none,
  inside,   // its inputs inside the image
  padded,   // its inputs inside the padded image
  constant  // a given number
};

// One axis. Padding is symmetric where it counts, before the first input elsewhere; a negative one
// crops.
struct WindowAxis {
  std::int64_t in = 1, out = 1;
  std::int64_t kernel = 1, stride = 1, pad = 0, dilation = 1;
  Windows kind = Windows::strided;

  HC_HD std::int64_t step() const { return kind == Windows::strided ? dilation : 1; }

  // The inputs of output o: begin(o), begin(o) + step(), ... below end(o).
  HC_HD std::int64_t begin(std::int64_t o) const {
    if (kind != Windows::strided) return o * in / out;
    const std::int64_t at = o * stride - pad;
    return at >= 0 ? at : at + (dilation - 1 - at) / dilation * dilation;
  }
  HC_HD std::int64_t end(std::int64_t o) const {
    if (kind == Windows::nearest) return o * in / out + 1;
    if (kind == Windows::adaptive) return ((o + 1) * in + out - 1) / out;
    const std::int64_t at = o * stride - pad + (kernel - 1) * dilation + 1;
    return at < in ? at : in;
  }

  // The outputs whose windows reach over input i: first(i) .. last(i). A dilated window may step
  // over it.
  HC_HD std::int64_t first(std::int64_t i) const {
    if (kind == Windows::nearest) return (i * out + in - 1) / in;
    if (kind == Windows::adaptive) return i * out / in;
    const std::int64_t reach = i + pad - (kernel - 1) * dilation;
    return reach > 0 ? (reach + stride - 1) / stride : 0;
  }
  HC_HD std::int64_t last(std::int64_t i) const {
    if (kind != Windows::strided) return ((i + 1) * out + in - 1) / in - 1;
    if (i + pad < 0) return -1;
    const std::int64_t o = (i + pad) / stride;
    return o < out ? o : out - 1;
  }

  HC_HD std::int64_t count(std::int64_t o, Divisor d) const {
    if (d == Divisor::inside || kind != Windows::strided) {
      const std::int64_t n = end(o) - begin(o);
      return n > 0 ? n : 0;
    }
    const std::int64_t room = in + pad - (o * stride - pad);
    return room < kernel ? room : kernel;
  }
};

// Images x (n, h.in, w.in, c) and y (n, h.out, w.out, c), channels last.
struct WindowGeometry {
  std::int64_t n = 0, c = 1;
  WindowAxis h, w;
  Divisor divisor = Divisor::none;
  double constant = 1;  // 1 without a divisor

  // What multiplies the sum over the window of output (i, j), or its square.
  template <class T>
  HC_HD T coefficient(std::int64_t i, std::int64_t j, bool square) const {
    return fixed() ? power(T(1) / static_cast<T>(constant), square)
                   : coefficient_of<T>(count(i, j), square);
  }
  HC_HD bool fixed() const { return divisor == Divisor::none || divisor == Divisor::constant; }
  HC_HD std::int64_t count(std::int64_t i, std::int64_t j) const {
    return h.count(i, divisor) * w.count(j, divisor);
  }
  template <class T>
  HC_HD static T coefficient_of(std::int64_t count, bool square) {
    return count > 0 ? power(T(1) / static_cast<T>(count), square) : T(0);
  }
  template <class T>
  HC_HD static T power(T v, bool square) {
    return square ? v * v : v;
  }
  HC_HD std::int64_t x_image() const { return h.in * w.in * c; }
  HC_HD std::int64_t y_image() const { return h.out * w.out * c; }
};

}  // namespace hesscore::math
