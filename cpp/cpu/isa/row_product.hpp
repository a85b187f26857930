// One row times a matrix, as for a batch of one: every number of the matrix is used once, so it
// streams through in the order it lies in memory while the results stay in the first-level cache.
#pragma once

#include "cpu/isa/blocks.hpp"

namespace hesscore::cpu::HC_ISA {

// c (n) (+)= s (k) V (k, n) + bias and, if s2 is given, c2 (n) (+)= s2 (k) (V o V). With square_v c
// takes the squares of V.
template <class T>
struct RowProduct {
  const T *s, *s2, *v, *bias;
  T *c, *c2;
  std::int64_t n, k;
  bool add, add2, square_v;
  Finish<T> finish;

  void run() const {
    const std::int64_t vectors = (n + kLanes<T> - 1) / kLanes<T>;
    const std::int64_t work = vectors * ((s2 ? 2 : 1) * k + kFinishWork);
    const bool serial = work < kSerialWork;
    const std::int64_t pieces = serial ? 1 : work / kTaskWork;
    const Cut cut(vectors, at_least(at_most(vectors / pieces, kVectors), 1));
    for_each_task(cut.parts, serial, [&](std::int64_t i) {
      const std::int64_t first = cut.begin(i) * kLanes<T>;
      const std::int64_t count = at_most(cut.length(i) * kLanes<T>, n - first);
      s2         ? block<true, false>(first, count)
      : square_v ? block<false, true>(first, count)
                 : block<false, false>(first, count);
      if (finish.kind != kernels::Epilogue::none) finish(first, count);
    });
  }

 private:
  static constexpr std::int64_t kVectors = 32;  // of results at a time: 8 KiB of two kinds
  static constexpr int kRows = 4;               // of V at a time

  struct Sums {
    Vec<T> of[kVectors] = {}, of_squares[kVectors] = {};
  };

  template <bool dual, bool square>
  void block(std::int64_t first, std::int64_t count) const {
    Sums sums;
    std::int64_t p = 0;
    for (; p + kRows <= k; p += kRows) add_rows<kRows, dual, square>(p, first, count, sums);
    for (; p < k; ++p) add_rows<1, dual, square>(p, first, count, sums);
    put(sums.of, bias ? bias + first : nullptr, c + first, count, add);
    if constexpr (dual) put(sums.of_squares, nullptr, c2 + first, count, add2);
  }

  template <int Rows, bool dual, bool square>
  void add_rows(std::int64_t p, std::int64_t first, std::int64_t count, Sums& sums) const {
    const T* row = v + p * n + first;
    Vec<T> x[Rows], x2[Rows];
    HC_UNROLL for (int i = 0; i < Rows; ++i) {
      x[i] = splat(s[p + i]);
      x2[i] = dual ? splat(s2[p + i]) : Vec<T>{};
    }
    const auto step = [&](std::int64_t j, auto read) {
      Vec<T> sum = sums.of[j], sum2 = sums.of_squares[j];
      HC_UNROLL for (int i = 0; i < Rows; ++i) {
        const Vec<T> y = read(row + i * n + j * kLanes<T>);
        sum = fma(x[i], square ? y * y : y, sum);
        if constexpr (dual) sum2 = fma(x2[i], y * y, sum2);
      }
      sums.of[j] = sum;
      if constexpr (dual) sums.of_squares[j] = sum2;
    };
    const std::int64_t full = count / kLanes<T>;
    for (std::int64_t j = 0; j < full; ++j) step(j, [](const T* y) { return load(y); });
    if (const int rest = static_cast<int>(count % kLanes<T>); rest > 0) {
      step(full, [rest](const T* y) { return load_partial(y, rest); });
    }
  }

  static void put(const Vec<T>* sums, const T* bias, T* to, std::int64_t count, bool add) {
    for (std::int64_t i = 0; i < count; i += kLanes<T>, ++sums) {
      const int some = static_cast<int>(at_most(count - i, kLanes<T>));
      const Vec<T> x = *sums + (bias ? load_partial(bias + i, some) : Vec<T>{});
      store_partial(to + i, add ? load_partial(to + i, some) + x : x, some);
    }
  }
};

}  // namespace hesscore::cpu::HC_ISA
