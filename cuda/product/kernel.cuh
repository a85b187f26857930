// The product kernel: tiles of op(a) and op(b) stream through shared memory while warps multiply
// what has arrived; c's tile stays in registers. One kernel for products, dual products and grouped
// squares.
#pragma once

#include "product/epilogue.cuh"
#include "product/tile.cuh"

namespace hesscore::cuda {

// Thread i adds up row i of op(a), in the blocks of the first columns of c.
template <class Tr, class T>
__device__ __forceinline__ void add_rows(const T* stage, T (&sums)[Tr::kOutputs]) {
  if (threadIdx.x >= Tr::tile.m) return;
#pragma unroll
  for (int part = 0; part < Tr::kOutputs; ++part) {
    const T* row = stage + part * Tr::A::kSize + Tr::A::at(static_cast<int>(threadIdx.x), 0);
#pragma unroll 8
    for (int k = 0; k < Tr::tile.k; ++k) sums[part] += row[Tr::A::at(0, k)];
  }
}

// The segment that has been multiplied, squared, joins the sum.
template <class Tr>
__device__ __forceinline__ void add_square(typename Tr::Accumulators& acc) {
#pragma unroll
  for (int i = 0; i < Tr::kI; ++i) {
#pragma unroll
    for (int j = 0; j < Tr::kJ; ++j) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        auto& x = acc.at[0][i][j][e];
        acc.at[1][i][j][e] += x * x;
        x = 0;
      }
    }
  }
}

// What a block multiplies: chunks of op(a) and op(b), along a walk over k.
template <class Tr>
struct Matrices {
  using T = typename Tr::T;
  const Problem<T>& p;
  const BlockPlace& place;

  __device__ __forceinline__ void copy(const Walk& walk, T* stage) const {
    copy_stage<Tr>(p, place, walk, stage);
  }
};

// The block's share of k: `count` chunks from `source`. `add`: the sums of op(a)'s rows, too.
template <class Tr, class Args, class Source, class Walk, class T>
__device__ __forceinline__ void accumulate(const Args& p, const Source& source, Walk ahead,
                                           int count, bool add, T* shared,
                                           typename Tr::Accumulators& acc,
                                           T (&sums)[Tr::kOutputs]) {
  constexpr int kDepth = Tr::tile.k, kAhead = Tr::kStages - 1;
  const WarpPlace<Tr> warp;
  Walk here = ahead;
  for (int s = 0; s < kAhead; ++s) {
    if (s < count) source.copy(ahead, shared + s * Tr::kStage);
    copy_commit();
    ahead.next(p, kDepth);
  }
  for (int chunk = 0, slot = 0; chunk < count; ++chunk) {
    copy_wait<kAhead - 1>();
    __syncthreads();
    if (chunk + kAhead < count) {
      const int free = slot == 0 ? kAhead : slot - 1;
      source.copy(ahead, shared + free * Tr::kStage);
      ahead.next(p, kDepth);
    }
    copy_commit();
    const T* stage = shared + slot * Tr::kStage;
    multiply_chunk<Tr>(p, warp, stage, min(here.left(p), kDepth), acc);
    if (Tr::kSums && add) add_rows<Tr>(stage, sums);
    if constexpr (Tr::form == Form::grouped) {
      if (here.ends_segment(p, kDepth)) add_square<Tr>(acc);
      here.next(p, kDepth);
    }
    slot = slot == kAhead ? 0 : slot + 1;
  }
  copy_wait<0>();
  __syncthreads();
}

// The first of the block's chunks of k, and how many there are.
struct Share {
  int first, count;

  template <class T>
  __device__ Share(const Problem<T>& p, int chunks)
      : first(static_cast<int>(blockIdx.y) * p.chunks_per_split),
        count(min(p.chunks_per_split, chunks - first)) {}
};

// With splits: every block leaves its share, and the last to come adds them up in order. False in
// the others.
template <class Tr, class T>
__device__ __forceinline__ bool combine(const Problem<T>& p, typename Tr::Accumulators& acc,
                                        T (&sums)[Tr::kOutputs]) {
  constexpr int kNumbers = Tr::tile.m * Tr::tile.n, kPartial = Tr::kPartial;
  const int thread = static_cast<int>(threadIdx.x), splits = static_cast<int>(gridDim.y);
  T* partials = p.partials + std::int64_t{blockIdx.x} * splits * kPartial + thread;
  T* mine = partials + static_cast<int>(blockIdx.y) * kPartial;
#pragma unroll
  for (int part = 0; part < Tr::kOutputs; ++part) {
    each_number<Tr>(acc, Tr::kFirstOutput + part, [&](T& x, int index) {
      mine[part * kNumbers + index * Tr::kThreads] = x;
      x = 0;
    });
    if (thread < Tr::tile.m) mine[Tr::kOutputs * kNumbers + part * Tr::tile.m] = sums[part];
    sums[part] = 0;
  }
  if (!last_block(p.tickets + blockIdx.x, gridDim.y)) return false;
  for (int s = 0; s < splits; ++s, partials += kPartial) {
#pragma unroll
    for (int part = 0; part < Tr::kOutputs; ++part) {
      each_number<Tr>(acc, Tr::kFirstOutput + part, [&](T& x, int index) {
        x += partials[part * kNumbers + index * Tr::kThreads];
      });
      if (thread < Tr::tile.m) {
        sums[part] += partials[Tr::kOutputs * kNumbers + part * Tr::tile.m];
      }
    }
  }
  return true;
}

// `start`: where the item's sums begin.
template <class Tr, class T>
__device__ __forceinline__ void put_sums(const Problem<T>& p, const BlockPlace& place,
                                         std::int64_t start, const T (&sums)[Tr::kOutputs]) {
  const int row = place.row + static_cast<int>(threadIdx.x);
  if (place.column != 0 || threadIdx.x >= Tr::tile.m || row >= p.m) return;
  if (p.sum) p.sum.put(start + row, sums[0]);
  if constexpr (Tr::form == Form::dual) {
    if (p.sum2) p.sum2.put(start + row, sums[1]);
  }
}

// From the registers to shared memory, row by row.
template <class Tr, class T>
__device__ __forceinline__ void stage_results(typename Tr::Accumulators& acc, T* shared) {
  const WarpPlace<Tr> warp;
  const Place lane = accumulated(warp.lane, 0);
  T* to = shared + (warp.row + lane.i) * Tr::kResultStride + warp.column + lane.k;
#pragma unroll
  for (int part = 0; part < Tr::kOutputs; ++part) {
    each_number<Tr>(acc, Tr::kFirstOutput + part, [&](T& x, int index) {
      const Place at = accumulated(0, index % 4);
      const int row = index / 4 / Tr::kJ * 16 + at.i, column = index / 4 % Tr::kJ * 8 + at.k;
      to[part * Tr::kResult + row * Tr::kResultStride + column] = x;
    });
  }
  __syncthreads();
}

template <class Tr>
__global__ void __launch_bounds__(Tr::kThreads, Tr::kBlocks)
    product_kernel(const __grid_constant__ Problem<typename Tr::T> p) {
  using T = typename Tr::T;
  T* shared = shared_memory<T>();
  const BlockPlace place(p, Tr::tile.m, Tr::tile.n);
  typename Tr::Accumulators acc = {};
  T sums[Tr::kOutputs] = {};
  constexpr int kDepth = Tr::tile.k;
  const Share share(p, p.segments() * ((p.length + kDepth - 1) / kDepth));
  accumulate<Tr>(p, Matrices<Tr>{p, place}, Walk(p, kDepth, share.first), share.count,
                 place.column == 0 && (p.sum || p.sum2), shared, acc, sums);
  if (gridDim.y > 1 && !combine<Tr>(p, acc, sums)) return;
  if constexpr (Tr::kSums) put_sums<Tr>(p, place, place.item * p.stride_sum, sums);
  stage_results<Tr>(acc, shared);
  const T* bias = p.bias ? p.bias + place.item * p.stride_bias + place.column : nullptr;
  const Finished<T> tile{shared,
                         Tr::kResultStride,
                         Tr::kResult,
                         Tr::tile.n,
                         min(Tr::tile.m, p.m - place.row),
                         p.n - place.column,
                         bias};
  const std::int64_t corner =
      place.item * p.stride_c + std::int64_t{place.row} * p.n + place.column;
  finish<Tr::form == Form::dual>(p, tile, InRows{corner, p.n});
}

template <TileShape tile, class Policy, Form form, bool trans_a, bool trans_b, class T>
void launch_tile(const Context& ctx, const Problem<T>& p) {
  using Tr = Traits<tile, Policy, form, trans_a, trans_b>;
  const std::int64_t tiles = detail::pieces(p.m, tile.m) * detail::pieces(p.n, tile.n) * p.batch;
  launch(ctx, &product_kernel<Tr>,
         dim3(static_cast<unsigned>(tiles), static_cast<unsigned>(p.splits)), Tr::kThreads,
         Tr::kSharedBytes, p);
}

// The product with the tile, among these, that takes the least time.
template <class Policy, Form form, bool trans_a, bool trans_b, TileShape... tiles, class T>
void run_best(const Context& ctx, Problem<T> p) {
  const int segments = p.steps > 0 ? p.segments() : 1, parts = form == Form::dual ? 2 : 1;
  const Workload work{p.m, p.n, p.batch, segments, p.length, parts, form == Form::grouped};
  const Machine machine{ctx.multiprocessors, ctx.workspace_bytes, Context::kTickets};
  const Choice choice = choose(machine, work, Policy::kRate, tiles...);
  p.splits = choice.splits;
  p.chunks_per_split = choice.chunks_per_split;
  p.partials = static_cast<T*>(ctx.workspace);
  p.tickets = ctx.tickets;
  ((choice.tile == tiles ? launch_tile<tiles, Policy, form, trans_a, trans_b>(ctx, p) : void()),
   ...);
}

}  // namespace hesscore::cuda
