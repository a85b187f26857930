// A symmetric matrix made whole from its lower triangle: square blocks are read once and written
// twice, as they are and transposed in registers.
#pragma once

#include "cpu/isa/elementwise.hpp"
#include "cpu/isa/simd.hpp"

namespace hesscore::cpu::HC_ISA {

template <class T>
class MirrorBlocks {
 public:
  explicit MirrorBlocks(const kernels::Mirror::Args& a)
      : x_(a.x.as<T>()),
        y_(a.y.as<T>()),
        n_(a.n),
        taps_(a.taps),
        stride_(a.sum ? a.n + 1 : a.n),
        scale_(static_cast<T>(a.scale)),
        add_(a.y.accumulate) {}

  // Squares of several blocks: what is transposed is written in longer runs.
  void run() const {
    const std::int64_t squares = (n_ + kSquare - 1) / kSquare;
    parallel_chunks(squares * (squares + 1) / 2, kGrain / (kSquare * kSquare) + 1,
                    [&](std::int64_t begin, std::int64_t end) {
                      std::int64_t row = 0;
                      while ((row + 1) * (row + 2) / 2 <= begin) ++row;
                      for (std::int64_t at = begin - row * (row + 1) / 2; begin < end; ++begin) {
                        square(row * kSquare, at * kSquare);
                        if (at++ == row) ++row, at = 0;
                      }
                    });
  }

  // Where row or column i = (tap, channel) of x goes: to (channel, tap).
  std::int64_t place(std::int64_t i) const {
    const std::int64_t channels = n_ / taps_;
    return i % channels * taps_ + i / channels;
  }

 private:
  static constexpr std::int64_t kSquare = 4 * kLanes<T>;

  void square(std::int64_t first_row, std::int64_t first_column) const {
    const std::int64_t row_end = end(first_row), column_end = end(first_column);
    for (std::int64_t j = first_column; j < column_end; j += kLanes<T>) {
      for (std::int64_t i = first_row; i < row_end; i += kLanes<T>) {
        if (j < i) below(i, j);
        if (j == i) on_diagonal(i);
      }
    }
  }
  std::int64_t end(std::int64_t first) const { return first + kSquare < n_ ? first + kSquare : n_; }
  int length(std::int64_t i) const {
    return static_cast<int>(n_ - i < kLanes<T> ? n_ - i : kLanes<T>);
  }

  void below(std::int64_t i, std::int64_t j) const {
    const int rows = length(i);
    Vec<T> r[kLanes<T>];
    HC_UNROLL for (int k = 0; k < kLanes<T>; ++k) {
      r[k] = k < rows ? load(x_ + (i + k) * n_ + j) * scale_ : Vec<T>{};
    }
    put(r, i, j);
    transpose(r);
    put(r, j, i);
  }

  void on_diagonal(std::int64_t i) const {
    const int rows = length(i);
    Vec<T> r[kLanes<T>] = {};
    for (int k = 0; k < rows; ++k) {
      for (int l = 0; l < rows; ++l) {
        r[k][l] = scale_ * (l <= k ? x_[(i + k) * n_ + i + l] : x_[(i + l) * n_ + i + k]);
      }
    }
    put(r, i, i);
  }

  void put(const Vec<T> (&r)[kLanes<T>], std::int64_t i, std::int64_t j) const {
    const int rows = length(i), columns = length(j);
    if (taps_ > 1) return scatter(r, i, j);
    HC_UNROLL for (int k = 0; k < kLanes<T>; ++k) {
      if (k >= rows) break;
      T* y = y_ + (i + k) * stride_ + j;
      store_partial(y, add_ ? load_partial(y, columns) + r[k] : r[k], columns);
    }
  }

  void scatter(const Vec<T> (&r)[kLanes<T>], std::int64_t i, std::int64_t j) const {
    const int rows = length(i), columns = length(j);
    std::int64_t to[kLanes<T>];
    for (int l = 0; l < columns; ++l) to[l] = place(j + l);
    for (int k = 0; k < rows; ++k) {
      alignas(kVectorBytes) T row[kLanes<T>];
      store(row, r[k]);
      T* y = y_ + place(i + k) * stride_;
      for (int l = 0; l < columns; ++l) y[to[l]] = add_ ? y[to[l]] + row[l] : row[l];
    }
  }

  const T* x_;
  T* y_;
  const std::int64_t n_, taps_, stride_;
  const T scale_;
  const bool add_;
};

}  // namespace hesscore::cpu::HC_ISA
