// Packing: panels of V and tiles of S copied into the order the micro-kernels read them, padded
// with zeros, squared on the way where squares are wanted.
#pragma once

#include "cpu/isa/tile.hpp"

namespace hesscore::cpu::HC_ISA {

template <bool squares, class T>
HC_INLINE void put(T* out, Vec<T> x) {
  store(out, squares ? x * x : x);
}

// A panel (k, vectors * kLanes) of a matrix whose columns are contiguous.
template <bool squares, class T>
void pack_columns(const T* v, std::int64_t stride, std::int64_t k, std::int64_t columns,
                  int vectors, T* out) {
  const int full = static_cast<int>(columns / kLanes<T>);
  const int rest = static_cast<int>(columns % kLanes<T>);
  for (std::int64_t p = 0; p < k; ++p, v += stride, out += vectors * kLanes<T>) {
    for (int j = 0; j < full; ++j) {
      put<squares>(out + j * kLanes<T>, load(v + j * kLanes<T>));
    }
    if (rest > 0) {
      put<squares>(out + full * kLanes<T>, load_partial(v + full * kLanes<T>, rest));
    }
  }
}

// Registers <- `rows` rows of n numbers, `stride` apart, transposed.
template <int Rows, class T>
HC_INLINE void load_transposed(const T* x, std::int64_t stride, int rows, std::int64_t n,
                               Vec<T> (&r)[Rows]) {
  if (rows == Rows && n >= kLanes<T>) {
    HC_UNROLL for (int i = 0; i < Rows; ++i) r[i] = load(x + i * stride);
  } else {
    const int length = static_cast<int>(n < kLanes<T> ? n : kLanes<T>);
    HC_UNROLL for (int i = 0; i < Rows; ++i) {
      r[i] = i < rows ? load_partial(x + i * stride, length) : Vec<T>{};
    }
  }
  transpose(r);
}

// The same panel of a matrix whose columns lie `stride` apart and are contiguous along k.
template <bool squares, class T>
void pack_transposed(const T* v, std::int64_t stride, std::int64_t k, std::int64_t columns,
                     int vectors, T* out) {
  for (int j = 0; j < vectors; ++j, columns -= kLanes<T>) {
    const int present = static_cast<int>(columns < kLanes<T> ? columns : kLanes<T>);
    for (std::int64_t p = 0; p < k; p += kLanes<T>) {
      Vec<T> r[kLanes<T>];
      load_transposed(v + j * kLanes<T> * stride + p, stride, present, k - p, r);
      T* to = out + (p * vectors + j) * kLanes<T>;
      const std::int64_t count = k - p;
      HC_UNROLL for (int i = 0; i < kLanes<T>; ++i) {
        if (i < count) put<squares>(to + i * vectors * kLanes<T>, r[i]);
      }
    }
  }
}

// A tile (k, kTileRows) of S; k is rounded up to whole vectors.
template <bool squares, class T>
void pack_rows(const T* s, std::int64_t stride, std::int64_t k, int rows, T* out) {
  for (std::int64_t p = 0; p < k; p += kLanes<T>) {
    Vec<T> r[kTileRows];
    load_transposed(s + p, stride, rows, k - p, r);
    HC_UNROLL for (int i = 0; i < kTileRows; ++i) {
      put<squares>(out + p * kTileRows + i * kLanes<T>, r[i]);
    }
  }
}

// out[0 .. kTileRows) = scale * the sum over `reps` of x or x^2, the first `rows` of it.
template <bool squares, class T>
HC_INLINE void fold_row(const T* x, int rows, std::int64_t reps, std::int64_t s_rep, T scale,
                        T* out) {
  T sum[kTileRows] = {};
  for (std::int64_t r = 0; r < reps; ++r, x += s_rep) {
    for (int i = 0; i < rows; ++i) sum[i] += squares ? x[i] * x[i] : x[i];
  }
  for (int i = 0; i < kTileRows; ++i) out[i] = scale * sum[i];
}

// A tile of an S contiguous along its rows: scale * the sum over `reps` stacked S or S^2.
template <bool squares, class T>
void pack_rows_folded(const T* s, std::int64_t stride, std::int64_t k, int rows, std::int64_t reps,
                      std::int64_t s_rep, T scale, T* out) {
  for (std::int64_t p = 0; p < k; ++p, s += stride, out += kTileRows) {
    if (rows == kTileRows) {
      fold_row<squares>(s, kTileRows, reps, s_rep, scale, out);
    } else {
      fold_row<squares>(s, rows, reps, s_rep, scale, out);
    }
  }
}

}  // namespace hesscore::cpu::HC_ISA
