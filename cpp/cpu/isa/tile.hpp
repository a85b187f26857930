// The micro-kernels: a tile of C stays in registers over a block of k. Each step of k broadcasts
// `Rows` numbers of S and multiplies them with `Vectors` vectors of V.
#pragma once

#include "cpu/isa/simd.hpp"

namespace hesscore::cpu::HC_ISA {

// rows x vectors accumulators, the vectors of V and one broadcast fill the register file.
inline constexpr int kTileRows = kVectorBytes == 64 ? 8 : 4;
inline constexpr int kTileVectors = kVectorBytes == 16 ? 2 : 3;

enum class Layout { along_k, along_rows };  // which index of S is contiguous

template <class T>
struct Tile {
  const T* s;
  std::int64_t s_stride;  // along_k: from row to row; along_rows: from k to k
  const T* v;
  std::int64_t v_stride;  // from k to k
  T* c;
  std::int64_t c_stride;  // from row to row; transposed: from column to column
  const T* bias;          // per column (transposed: per row), or null
  std::int64_t k;
  int columns;  // of the Vectors * kLanes, those that exist
  bool add, transposed;
  T scale;
  // grouped_tile only: k is cut into groups of `positions`, and read `reps` times, S moving on.
  std::int64_t positions, reps, s_rep;
};

template <class T>
using TileKernel = void (*)(const Tile<T>&);

// Keeps the compiler from deriving `x` anew from what it was computed from, at the price of a
// register for each place.
template <class X>
HC_INLINE X hidden(X x) {
  asm("" : "+r"(x));
  return x;
}

template <int Rows, int Vectors, Layout layout, bool prefetch, class T>
HC_INLINE void multiply_steps(const T* s, std::int64_t s_stride, const T* v, std::int64_t v_stride,
                              std::int64_t k, Vec<T> (&acc)[Rows][Vectors]) {
  constexpr int kAhead = 8;
  const T* s4 = hidden(s + 4 * s_stride);
  const std::int64_t s_stride3 = hidden(3 * s_stride);
  const T* next_v = hidden(v + kAhead * v_stride);
  const T* next_s = hidden(s + kAhead * s_stride);
  const std::int64_t s_step = layout == Layout::along_k ? 1 : s_stride;
  for (std::int64_t p = 0; p < k; ++p) {
    Vec<T> x[Vectors];
    HC_UNROLL for (int j = 0; j < Vectors; ++j) {
      x[j] = load(v + j * kLanes<T>);
      if constexpr (prefetch) __builtin_prefetch(next_v + j * kLanes<T>);
    }
    if constexpr (prefetch && layout == Layout::along_rows) __builtin_prefetch(next_s);
    HC_UNROLL for (int i = 0; i < Rows; ++i) {
      const T* from = layout == Layout::along_rows
                          ? s + i
                          : (i < 4 ? s : s4) + (i % 4 == 3 ? s_stride3 : i % 4 * s_stride);
      HC_UNROLL for (int j = 0; j < Vectors; ++j) {
        acc[i][j] = fma(splat(*from), x[j], acc[i][j]);
      }
    }
    s += s_step;
    s4 += s_step;
    next_s += s_step;
    v += v_stride;
    next_v += v_stride;
  }
}

// acc += S V over k steps. Short runs have nothing to fetch ahead.
template <int Rows, int Vectors, Layout layout, class T>
HC_INLINE void multiply(const T* s, std::int64_t s_stride, const T* v, std::int64_t v_stride,
                        std::int64_t k, Vec<T> (&acc)[Rows][Vectors]) {
  if (k < 16) {
    multiply_steps<Rows, Vectors, layout, false>(s, s_stride, v, v_stride, k, acc);
  } else {
    multiply_steps<Rows, Vectors, layout, true>(s, s_stride, v, v_stride, k, acc);
  }
}

template <int Rows, int Vectors, class T>
HC_INLINE void prefetch_tile(const Tile<T>& t) {
  HC_UNROLL for (int i = 0; i < Rows; ++i) {
    HC_UNROLL for (int j = 0; j < Vectors; ++j) {
      __builtin_prefetch(t.c + i * t.c_stride + j * kLanes<T>, 1);
    }
  }
}

// c (+)= acc + bias
template <int Rows, int Vectors, class T>
HC_INLINE void store_tile(const Tile<T>& t, Vec<T> (&acc)[Rows][Vectors]) {
  const std::int64_t stride = t.c_stride;
  const bool add = t.add;
  HC_UNROLL for (int j = 0; j < Vectors; ++j) {
    const int n = t.columns - j * kLanes<T>;
    T* c = t.c + j * kLanes<T>;
    if (n >= kLanes<T>) {
      const Vec<T> bias = t.bias ? load(t.bias + j * kLanes<T>) : Vec<T>{};
      HC_UNROLL for (int i = 0; i < Rows; ++i, c += stride) {
        const Vec<T> x = acc[i][j] + bias;
        store(c, add ? load(c) + x : x);
      }
    } else {
      const Vec<T> bias = t.bias ? load_partial(t.bias + j * kLanes<T>, n) : Vec<T>{};
      HC_UNROLL for (int i = 0; i < Rows; ++i, c += stride) {
        const Vec<T> x = acc[i][j] + bias;
        store_partial(c, add ? load_partial(c, n) + x : x, n);
      }
    }
  }
}

template <int Rows, int Vectors, class T>
HC_INLINE void store_transposed(const Tile<T>& t, Vec<T> (&acc)[Rows][Vectors]) {
  alignas(kVectorBytes) T turned[kLanes<T>][kTileRows];
  HC_UNROLL for (int j = 0; j < Vectors; ++j) {
    Vec<T> r[kTileRows] = {};
    HC_UNROLL for (int i = 0; i < Rows; ++i) r[i] = t.bias ? acc[i][j] + t.bias[i] : acc[i][j];
    transpose(r);
    HC_UNROLL for (int i = 0; i < kTileRows; ++i) store(turned[0] + i * kLanes<T>, r[i]);
    const int left = t.columns - j * kLanes<T>;
    T* c = t.c + j * kLanes<T> * t.c_stride;
    for (int x = 0; x < left && x < kLanes<T>; ++x, c += t.c_stride) {
      if (t.add) {
        for (int i = 0; i < Rows; ++i) c[i] += turned[x][i];
      } else {
        for (int i = 0; i < Rows; ++i) c[i] = turned[x][i];
      }
    }
  }
}

// C (+)= S V + bias
template <int Rows, int Vectors, Layout layout, class T>
void product_tile(const Tile<T>& t) {
  if (!t.transposed && t.k >= 32) prefetch_tile<Rows, Vectors>(t);
  Vec<T> acc[Rows][Vectors] = {};
  multiply<Rows, Vectors, layout>(t.s, t.s_stride, t.v, t.v_stride, t.k, acc);
  if (t.transposed) {
    store_transposed(t, acc);
  } else {
    store_tile(t, acc);
  }
}

// C (+)= scale * sum over groups of (S V over the group's positions)^2
template <int Rows, int Vectors, Layout layout, class T>
void grouped_tile(const Tile<T>& t) {
  Vec<T> sum[Rows][Vectors] = {};
  for (std::int64_t r = 0; r < t.reps; ++r) {
    const T* s = t.s + r * t.s_rep;
    const T* v = t.v;
    for (std::int64_t p = 0; p < t.k; p += t.positions) {
      Vec<T> acc[Rows][Vectors] = {};
      multiply<Rows, Vectors, layout>(s, t.s_stride, v, t.v_stride, t.positions, acc);
      HC_UNROLL for (int i = 0; i < Rows; ++i) {
        HC_UNROLL for (int j = 0; j < Vectors; ++j) {
          sum[i][j] = fma(acc[i][j], acc[i][j], sum[i][j]);
        }
      }
      s += t.positions * t.s_stride;
      v += t.positions * t.v_stride;
    }
  }
  HC_UNROLL for (int i = 0; i < Rows; ++i) {
    HC_UNROLL for (int j = 0; j < Vectors; ++j) sum[i][j] *= t.scale;
  }
  store_tile(t, sum);
}

}  // namespace hesscore::cpu::HC_ISA
