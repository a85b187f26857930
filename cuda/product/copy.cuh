// The way of a block's operands into shared memory, and its walk along k.
#pragma once

#include "product/layout.hpp"
#include "product/problem.hpp"
#include "ptx.cuh"

namespace hesscore::cuda {

// A walk over the chunks of k.
struct Walk {
  int offset;  // in the segment
  int a, b;    // the segment's first step in op(a) and in op(b)

  template <class T>
  __device__ Walk(const Problem<T>& p, int depth, int chunk) {
    const int per_segment = (p.length + depth - 1) / depth, segment = chunk / per_segment;
    offset = chunk % per_segment * depth;
    a = segment * p.length;
    b = a % p.steps_b;
  }
  // Steps of the segment from here on.
  template <class T>
  __device__ __forceinline__ int left(const Problem<T>& p) const {
    return min(p.length, p.steps - a) - offset;
  }
  template <class T>
  __device__ __forceinline__ bool ends_segment(const Problem<T>& p, int depth) const {
    return offset + depth >= p.length;
  }
  template <class T>
  __device__ __forceinline__ void next(const Problem<T>& p, int depth) {
    offset += depth;
    if (offset < p.length) return;
    offset = 0;
    a += p.length;
    b += p.length;
    if (b == p.steps_b) b = 0;
  }
};

// The block's place in c.
struct BlockPlace {
  int item, row, column;

  template <class T>
  __device__ BlockPlace(const Problem<T>& p, int tile_m, int tile_n) {
    const int across = (p.n + tile_n - 1) / tile_n, down = (p.m + tile_m - 1) / tile_m;
    const auto tiles = static_cast<unsigned>(across) * static_cast<unsigned>(down);
    const int t = static_cast<int>(blockIdx.x % tiles);
    item = static_cast<int>(blockIdx.x / tiles);
    row = t / across * tile_m;
    column = t % across * tile_n;
  }
};

// A SharedTile from a matrix whose rows are `lead` apart; what is not among its `outer` x `inner`
// becomes zero.
template <class Tile, int kVector, int kThreads, class T>
__device__ __forceinline__ void copy_tile(T* to, const T* from, std::int64_t lead, int outer,
                                          int inner) {
  constexpr int kAcross = Tile::kInner / kVector, kRows = kThreads / kAcross;
  static_assert(kThreads % kAcross == 0 && Tile::kOuter % kRows == 0);
  const int row = static_cast<int>(threadIdx.x) / kAcross;
  const int column = static_cast<int>(threadIdx.x) % kAcross * kVector;
  const bool inside = column < inner;
  from += row * lead + column;
  to += row * Tile::kStride + column;
#pragma unroll
  for (int r = 0; r < Tile::kOuter; r += kRows) {
    copy_async<kVector * sizeof(T)>(to + r * Tile::kStride, from + r * lead,
                                    inside && r + row < outer);
  }
}

// The same from (i, k) of an operand on, of which there are `left_i` and `left_k`.
template <class Tile, int kThreads, class T>
__device__ __forceinline__ void copy_operand(bool wide, T* to, const T* from, std::int64_t lead,
                                             int i, int left_i, int k, int left_k) {
  from += Tile::kIsAlongK ? i * lead + k : k * lead + i;
  const int outer = Tile::kIsAlongK ? left_i : left_k, inner = Tile::kIsAlongK ? left_k : left_i;
  if (wide) {
    copy_tile<Tile, Tile::kVector, kThreads>(to, from, lead, outer, inner);
  } else {
    copy_tile<Tile, 1, kThreads>(to, from, lead, outer, inner);
  }
}

}  // namespace hesscore::cuda
