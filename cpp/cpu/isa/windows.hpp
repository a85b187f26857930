// What the kernels of pooling share: ranges of windows, coefficients, channels a vector at a time.
#pragma once

#include <type_traits>

#include "cpu/isa/elementwise.hpp"
#include "cpu/isa/simd.hpp"
#include "math/windows.hpp"

namespace hesscore::cpu::HC_ISA {

struct Range {
  std::int64_t begin, end;
};

inline Range inputs_of(const math::WindowAxis& a, std::int64_t o) { return {a.begin(o), a.end(o)}; }
inline Range outputs_of(const math::WindowAxis& a, std::int64_t i) {
  return {a.first(i), a.last(i) + 1};
}

// The ranges of all inputs or all outputs of an axis, in memory of the calling thread.
inline const Range* all_ranges(const math::WindowAxis& a, bool of_outputs) {
  const std::int64_t n = of_outputs ? a.out : a.in;
  auto* all = static_cast<Range*>(scratch(14, n * std::int64_t{sizeof(Range)}));
  for (std::int64_t i = 0; i < n; ++i) all[i] = of_outputs ? inputs_of(a, i) : outputs_of(a, i);
  return all;
}

// Coefficients of windows, which differ from their neighbours at the edges only.
template <class T>
class Coefficients {
 public:
  Coefficients(const math::WindowGeometry& g, bool square)
      : g_(g),
        square_(square),
        fixed_(g.fixed()),
        value_(fixed_ ? g.coefficient<T>(0, 0, square) : 0) {}
  T at(std::int64_t i, std::int64_t j) {
    if (fixed_) return value_;
    const std::int64_t count = g_.count(i, j);
    if (count == count_) return value_;
    count_ = count;
    return value_ = math::WindowGeometry::coefficient_of<T>(count, square_);
  }

 private:
  const math::WindowGeometry& g_;
  bool square_, fixed_;
  std::int64_t count_ = -1;
  T value_;
};

// Lanes of a vector in use: all of them, known when compiled, or the first few.
template <class T>
using AllLanes = std::integral_constant<int, kLanes<T>>;

template <class T>
HC_INLINE Vec<T> load_lanes(const T* p, AllLanes<T>) {
  return load(p);
}
template <class T>
HC_INLINE Vec<T> load_lanes(const T* p, int n) {
  return load_partial(p, n);
}

// p (+)= x
template <class T>
HC_INLINE void put(T* p, Vec<T> x, bool accumulate, AllLanes<T>) {
  store(p, accumulate ? load(p) + x : x);
}
template <class T>
HC_INLINE void put(T* p, Vec<T> x, bool accumulate, int n) {
  store_partial(p, accumulate ? load_partial(p, n) + x : x, n);
}

// body(c, lanes) for channels c .. c + lanes - 1
template <class T, class F>
HC_INLINE void for_channels(std::int64_t channels, F body) {
  std::int64_t c = 0;
  for (; c + kLanes<T> <= channels; c += kLanes<T>) body(c, AllLanes<T>());
  if (c < channels) body(c, static_cast<int>(channels - c));
}

// body(row) for rows of images, of `work` elements each, on the pool
template <class F>
inline void for_rows(std::int64_t rows, std::int64_t work, F body) {
  parallel_chunks(rows, 1 + kGrain / (work + 1), [&](std::int64_t row, std::int64_t end) {
    for (; row < end; ++row) body(row);
  });
}

}  // namespace hesscore::cpu::HC_ISA
