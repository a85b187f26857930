// Packs: a few neighbouring numbers that one thread reads or writes at once, 16 bytes where the
// addresses allow it, and the element-wise kernels made of them.
#pragma once

#include <algorithm>

#include "launch.cuh"

namespace hesscore::cuda {

template <class T>
constexpr int kPack = 16 / sizeof(T);

template <class T, int kWidth>
struct alignas(16) Pack {
  T at[kWidth];
};

// May packs start at p, and at multiples of `step` elements from there?
template <class T>
bool aligned(const T* p, std::int64_t step = 0) {
  return (reinterpret_cast<std::uintptr_t>(p) | static_cast<std::uintptr_t>(step) * sizeof(T)) %
             16 ==
         0;
}

// How much of a pack exists: its first `count` numbers; `wide`: all, and they may move at once.
struct Extent {
  int count;
  bool wide;
};
template <int kWidth>
__device__ __forceinline__ Extent extent(std::int64_t i, std::int64_t n, bool aligned) {
  return {i + kWidth <= n ? kWidth : static_cast<int>(n - i), aligned && i + kWidth <= n};
}

// x = p[0], p[1], ...; zeros beyond the extent, and where p is absent.
template <class T, int kWidth>
__device__ __forceinline__ void load(T (&x)[kWidth], const T* p, Extent e) {
  if (p != nullptr && e.wide) {
    const auto pack = *reinterpret_cast<const Pack<T, kWidth>*>(p);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) x[k] = pack.at[k];
  } else {
#pragma unroll
    for (int k = 0; k < kWidth; ++k) x[k] = p != nullptr && k < e.count ? p[k] : T(0);
  }
}

// p[0], p[1], ... = x
template <class T, int kWidth>
__device__ __forceinline__ void store(T* p, const T (&x)[kWidth], Extent e) {
  if (e.wide) {
    Pack<T, kWidth> pack;
#pragma unroll
    for (int k = 0; k < kWidth; ++k) pack.at[k] = x[k];
    *reinterpret_cast<Pack<T, kWidth>*>(p) = pack;
  } else {
#pragma unroll
    for (int k = 0; k < kWidth; ++k) {
      if (k < e.count) p[k] = x[k];
    }
  }
}

// y[i], y[i + 1], ... (+)= x, which becomes what y has.
template <class T, int kWidth>
__device__ __forceinline__ void put(const Sink<T>& y, std::int64_t i, T (&x)[kWidth], Extent e) {
  if (y.accumulate) {
    T before[kWidth];
    load(before, y.data + i, e);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) x[k] += before[k];
  }
  store(y.data + i, x, e);
  if (y.alarm == nullptr) return;
#pragma unroll
  for (int k = 0; k < kWidth; ++k) {
    if (k < e.count) y.look_at(x[k]);
  }
}

// How blocks of kThreads share rows of packs: 2^shift threads beside each other, the others on
// further rows. Block b works at tile b % tiles of the rows of slice b / tiles.
struct Sheet {
  static constexpr unsigned kThreads = 256;
  int shift = 0;
  unsigned tiles = 1, slices = 1;
  std::int64_t rows = 0;  // of a slice

  std::int64_t width() const { return std::int64_t{1} << shift; }
  std::int64_t lanes() const { return kThreads >> shift; }
};

// A thread's column of packs and its rows: first, first + step, ... below `end`.
struct Part {
  std::int64_t column, first, end;
  unsigned step;
};
__device__ __forceinline__ Part part_of(const Sheet& s, std::int64_t rows) {
  const unsigned width = 1u << s.shift;
  const std::int64_t first = blockIdx.x / s.tiles * s.rows, end = first + s.rows;
  const std::int64_t tile = blockIdx.x % s.tiles;
  return {(tile << s.shift) + (threadIdx.x & (width - 1)), first + (threadIdx.x >> s.shift),
          end < rows ? end : rows, Sheet::kThreads >> s.shift};
}

inline std::int64_t parts(std::int64_t n, std::int64_t size) { return (n + size - 1) / size; }

// For independent packs: blocks enough to fill the device, if there are; else threads keep a
// column.
inline Sheet share(const Context& ctx, std::int64_t packs, std::int64_t rows) {
  Sheet s;
  while (s.width() < packs && s.width() < Sheet::kThreads) ++s.shift;
  s.tiles = static_cast<unsigned>(parts(packs, s.width()));
  const std::int64_t wanted = parts(16 * ctx.multiprocessors, s.tiles);
  s.slices = static_cast<unsigned>(std::min(wanted, parts(rows, s.lanes())));
  s.rows = parts(parts(rows, s.slices), s.lanes()) * s.lanes();
  return s;
}

// For r < reps and i < n:  out_k[r out_step + i] (+)= y_k,  where (y_0, y_1, ...) = op(x_0, x_1,
// ...) of x_k = in_k[r in_step_k + i]. The first kShared inputs are those of r = 0 for all r.
template <class T, int kShared, int kIn, int kOut>
struct Arrays {
  std::int64_t n, reps;
  const T* in[kIn];
  std::int64_t in_step[kIn];
  Sink<T> out[kOut];
  std::int64_t out_step;
  bool wide = false;
};

template <class T, int kShared, int kIn, int kOut, class Op>
__global__ void __launch_bounds__(Sheet::kThreads)
    map_kernel(Arrays<T, kShared, kIn, kOut> a, Sheet sheet, Op op) {
  constexpr int kWidth = kPack<T>;
  const Part part = part_of(sheet, a.reps);
  const std::int64_t i = part.column * kWidth;
  const Extent e = extent<kWidth>(i, a.n, a.wide);
  std::int64_t r = part.first;
  if (i >= a.n || r >= part.end) return;
  T x[kIn][kWidth], y[kOut][kWidth];
  const auto fetch = [&](int first) {
#pragma unroll
    for (int q = 0; q < kIn; ++q) {
      const std::int64_t from = (q < kShared ? 0 : r * a.in_step[q]) + i;
      if (q >= first) load(x[q], a.in[q] == nullptr ? nullptr : a.in[q] + from, e);
    }
  };
  fetch(0);
#pragma unroll 1
  while (true) {
#pragma unroll
    for (int k = 0; k < kWidth; ++k) {
      T at[kIn], to[kOut];
#pragma unroll
      for (int q = 0; q < kIn; ++q) at[q] = x[q][k];
      op(at, to);
#pragma unroll
      for (int q = 0; q < kOut; ++q) y[q][k] = to[q];
    }
#pragma unroll
    for (int q = 0; q < kOut; ++q) {
      if (a.out[q]) put(a.out[q], r * a.out_step + i, y[q], e);
    }
    if ((r += part.step) >= part.end) return;
    fetch(kShared);
  }
}

// Op: a struct with  __device__ void operator()(const T (&x)[kIn], T (&y)[kOut]) const.
template <class Op, class T, int kShared, int kIn, int kOut>
void map(const Context& ctx, Arrays<T, kShared, kIn, kOut> a, const Op& op) {
  if (a.n <= 0 || a.reps <= 0) return;
  const bool rows = a.reps > 1;
  a.wide = true;
  for (int q = 0; q < kIn; ++q) a.wide &= aligned(a.in[q], rows && q >= kShared ? a.in_step[q] : 0);
  for (int q = 0; q < kOut; ++q) a.wide &= aligned(a.out[q].data, rows ? a.out_step : 0);
  const Sheet sheet = share(ctx, parts(a.n, kPack<T>), a.reps);
  launch(ctx, &map_kernel<T, kShared, kIn, kOut, Op>, sheet.tiles * sheet.slices, Sheet::kThreads,
         0, a, sheet, op);
}

}  // namespace hesscore::cuda
