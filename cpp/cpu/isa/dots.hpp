// C = A B' with few columns: vectors run along k, where both matrices are contiguous, so that
// nothing is packed or padded; each accumulator is summed up at the end.
#pragma once

#include "cpu/isa/blocks.hpp"

namespace hesscore::cpu::HC_ISA {

inline constexpr int kDotRows = 4;
inline constexpr int kDotColumns = kVectorRegisters == 32 ? 5 : 2;

template <class T>
struct Dots {
  const T* a;  // (rows, k)
  const T* b;  // (columns, k)
  const T* bias;
  T* c;  // (rows, columns)
  std::int64_t columns, k;
  bool add;
};

// By turns the sums of two lanes of a and of b.
template <class V>
HC_INLINE V fold(V a, V b) {
  return interleave_low(a, b) + interleave_high(a, b);
}

// sums[i] = the sum of the lanes of r[i].
template <class T>
HC_INLINE void sum_lanes(Vec<T> (&r)[kDotRows], T (&sums)[kDotRows]) {
  constexpr int lanes = kLanes<T>;
  if constexpr (lanes < kDotRows) {
    HC_UNROLL for (int i = 0; i < kDotRows; ++i) sums[i] = r[i][0] + r[i][1];
  } else {
    Vec<T> x = fold(fold(r[0], r[2]), fold(r[1], r[3]));
    HC_UNROLL for (int left = lanes / kDotRows; left > 1; left /= 2) x = fold(x, x);
    HC_UNROLL for (int i = 0; i < kDotRows; ++i) sums[i] = x[i * (lanes / kDotRows)];
  }
}

template <int Rows, int Columns, class T>
void dot_tile(const Dots<T>& d, std::int64_t row, std::int64_t column) {
  const std::int64_t k = d.k, full = k / kLanes<T> * kLanes<T>;
  const T *a = d.a + row * k, *b = d.b + column * k;
  Vec<T> acc[Rows][Columns] = {};
  for (std::int64_t p = 0; p < full; p += kLanes<T>) {
    Vec<T> y[Columns];
    HC_UNROLL for (int j = 0; j < Columns; ++j) y[j] = load(b + j * k + p);
    HC_UNROLL for (int i = 0; i < Rows; ++i) {
      const Vec<T> x = load(a + i * k + p);
      HC_UNROLL for (int j = 0; j < Columns; ++j) acc[i][j] = fma(x, y[j], acc[i][j]);
    }
  }
  if (const int rest = static_cast<int>(k - full); rest > 0) {
    HC_UNROLL for (int i = 0; i < Rows; ++i) {
      const Vec<T> x = load_partial(a + i * k + full, rest);
      HC_UNROLL for (int j = 0; j < Columns; ++j) {
        acc[i][j] = fma(x, load_partial(b + j * k + full, rest), acc[i][j]);
      }
    }
  }
  HC_UNROLL for (int j = 0; j < Columns; ++j) {
    Vec<T> r[kDotRows] = {};
    HC_UNROLL for (int i = 0; i < Rows; ++i) r[i] = acc[i][j];
    T sums[kDotRows];
    sum_lanes<T>(r, sums);
    const T bias = d.bias ? d.bias[column + j] : T(0);
    HC_UNROLL for (int i = 0; i < Rows; ++i) {
      T& c = d.c[(row + i) * d.columns + column + j];
      c = (d.add ? c : T(0)) + (sums[i] + bias);
    }
  }
}

template <class T, int... RC>
constexpr auto dot_tiles(std::integer_sequence<int, RC...>) {
  struct Table {
    void (*at[sizeof...(RC)])(const Dots<T>&, std::int64_t, std::int64_t);
  };
  return Table{{&dot_tile<RC / kDotColumns + 1, RC % kDotColumns + 1, T>...}};
}

template <class T>
void dots_of_rows(const Dots<T>& d, std::int64_t first, std::int64_t last) {
  static constexpr auto tiles =
      dot_tiles<T>(std::make_integer_sequence<int, kDotRows * kDotColumns>{});
  const Cut columns(d.columns, kDotColumns);
  for (std::int64_t row = first; row < last; row += kDotRows) {
    const int rows = static_cast<int>(at_most(last - row, kDotRows));
    for (std::int64_t j = 0; j < columns.parts; ++j) {
      tiles.at[(rows - 1) * kDotColumns + columns.length(j) - 1](d, row, columns.begin(j));
    }
  }
}

}  // namespace hesscore::cpu::HC_ISA
