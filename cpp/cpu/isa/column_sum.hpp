// Sums over groups and positions of the columns of an array.
#pragma once

#include "backend/kernels.hpp"
#include "cpu/isa/reduce.hpp"

namespace hesscore::cpu::HC_ISA {

// sum[j] = sum_g (sum_t x[g, t, j])^(1 or 2) for `columns` <= kBlock columns of rows `stride` apart
template <class T>
inline void sum_groups(const T* x, std::int64_t groups, std::int64_t positions,
                       std::int64_t columns, std::int64_t stride, bool square, T* sum) {
  store(sum, columns, false, [](std::int64_t) { return T(0); });
  alignas(64) T row[kBlock];
  for (std::int64_t g = 0; g < groups; ++g, x += positions * stride) {
    if (!square) {
      for (std::int64_t t = 0; t < positions; ++t) {
        store(sum, columns, true, [&](std::int64_t j) { return x[t * stride + j]; });
      }
    } else if (positions == 1) {
      store(sum, columns, true, [&](std::int64_t j) { return x[j] * x[j]; });
    } else {
      store(row, columns, false, [&](std::int64_t j) { return x[j]; });
      for (std::int64_t t = 1; t < positions; ++t) {
        store(row, columns, true, [&](std::int64_t j) { return x[t * stride + j]; });
      }
      store(sum, columns, true, [&](std::int64_t j) { return row[j] * row[j]; });
    }
  }
}

// The same where there are few columns: kSide rows beside each other make a wide one.
inline constexpr std::int64_t kSide = 16, kFewColumns = kBlock / kSide;

template <class T>
inline void sum_few(const T* x, std::int64_t rows, std::int64_t columns, bool square, T* sum) {
  alignas(64) T wide[kBlock], rest[kBlock];
  const std::int64_t together = rows / kSide * kSide;
  sum_groups(x, rows / kSide, 1, kSide * columns, kSide * columns, square, wide);
  sum_groups(x + together * columns, rows - together, 1, columns, columns, square, rest);
  for (std::int64_t r = 0; r < kSide; ++r) {
    store(rest, columns, true, [&](std::int64_t j) { return wide[r * columns + j]; });
  }
  store(sum, columns, false, [&](std::int64_t j) { return rest[j]; });
}

// Partial sums over `slices` of the groups, then their sum: a tall array is shared among threads. A
// wide one is shared by its stripes.
template <class T>
inline void column_sum(void*, const kernels::ColumnSum::Args& a) {
  constexpr std::int64_t kManyStripes = 64;
  const std::int64_t row = a.positions * a.columns;
  const std::int64_t stripes = (a.columns + kBlock - 1) / kBlock, sums = a.batch * a.columns;
  const std::int64_t some = 4 * kGrain / (row < 1 ? 1 : row) + 1;
  const std::int64_t tall = stripes < kManyStripes || a.groups < 1 ? some : a.groups;
  const std::int64_t slices = (a.groups + tall - 1) / tall;
  const std::int64_t bytes = slices * sums * std::int64_t{sizeof(T)};
  if (Workspace* needed = rehearsal()) return needed->add(needed->own[9], bytes);
  T* partial = static_cast<T*>(scratch(9, bytes));
  const std::int64_t work = row * (a.groups < tall ? a.groups : tall) / (stripes < 1 ? 1 : stripes);
  const auto one = [&](std::int64_t task) {
    const std::int64_t b = task / (slices * stripes), slice = task / stripes % slices;
    const std::int64_t column = task % stripes * kBlock, first = slice * tall;
    const std::int64_t columns = a.columns - column < kBlock ? a.columns - column : kBlock;
    const std::int64_t groups = a.groups - first < tall ? a.groups - first : tall;
    const T* x = a.x.as<T>() + b * a.stride_x + first * row + column;
    T* sum = partial + slice * sums + b * a.columns + column;
    if (a.columns <= kFewColumns && (!a.square || a.positions == 1)) {
      sum_few(x, groups * a.positions, columns, a.square, sum);
    } else {
      sum_groups(x, groups, a.positions, columns, a.columns, a.square, sum);
    }
  };
  parallel_chunks(a.batch * slices * stripes, kGrain / (work < 1 ? 1 : work) + 1,
                  [&](std::int64_t begin, std::int64_t end) {
                    for (std::int64_t task = begin; task < end; ++task) one(task);
                  });
  for (std::int64_t s = 1; s < slices; ++s) {
    store(partial, sums, true, [&](std::int64_t k) { return partial[s * sums + k]; });
  }
  for (std::int64_t b = 0; b < a.batch; ++b) {
    const T* sum = partial + b * a.columns;
    const T scale = static_cast<T>(a.scale), none = 0;
    store(a.y.as<T>() + b * a.stride_y, a.columns, a.y.accumulate,
          [&](std::int64_t k) { return slices > 0 ? scale * sum[k] : none; });
  }
}

}  // namespace hesscore::cpu::HC_ISA
