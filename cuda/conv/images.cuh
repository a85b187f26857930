// Images from images: y from x, and x from y. Patches of the source are gathered on their way into
// shared memory; outside of the source they are zero.
#pragma once

#include "conv/run.cuh"

namespace hesscore::cuda {

// The patch of one of the tile's positions: where it starts, counted in positions of all sources
// and along both axes, and where its result belongs.
struct alignas(16) Patch {
  int start, down, across, place;
};

// What the block's positions read, along both axes.
struct PatchReads {
  math::ConvReads down, across;

  template <class T>
  __device__ PatchReads(const ConvProblem<T>& p, int phase)
      : down(p.of_x ? reads_of_x(p.down, phase / p.phases_across) : reads_of_y(p.down)),
        across(p.of_x ? reads_of_x(p.across, phase % p.phases_across) : reads_of_y(p.across)) {}

  __device__ int taps() const { return down.taps * across.taps; }
  __device__ int positions() const { return down.count * across.count; }
};

// Number `u` of the positions of all images.
template <class T>
__device__ Patch patch_of(const ConvProblem<T>& p, const PatchReads& reads, int u) {
  const int image = u / reads.positions(), at = u % reads.positions();
  const int i = at / reads.across.count, j = at % reads.across.count;
  const math::ConvAxis &down = p.down, &across = p.across;
  Patch patch;
  patch.down = reads.down.start(i);
  patch.across = reads.across.start(j);
  patch.start = (image * (p.of_x ? down.y : down.x) + patch.down) * (p.of_x ? across.y : across.x) +
                patch.across;
  patch.place =
      (image * (p.of_x ? down.x : down.y) + reads.down.place(i)) * (p.of_x ? across.x : across.y) +
      reads.across.place(j);
  return patch;
}

template <class Tr>
struct Patches {
  using T = typename Tr::T;
  const ConvProblem<T>& p;
  const T *a, *a2, *b;  // of the item and the group
  const Patch* patches;
  const PatchReads& reads;
  int columns;  // of op(b) from the block's first one on

  // Walks over k.
  struct Steps {
    int offset, end;
    __device__ __forceinline__ int left(const Problem<T>&) const { return end - offset; }
    __device__ __forceinline__ void next(const Problem<T>&, int depth) { offset += depth; }
  };

  __device__ __forceinline__ void copy(const Steps& at, T* stage) const {
    if (p.wide_a) {
      copy_patches<Tr::A::kVector>(at, stage);
    } else {
      copy_patches<1>(at, stage);
    }
    if (p.wide_b) {
      copy_weights<Tr::B::kVector>(at, stage + Tr::kOutputs * Tr::A::kSize);
    } else {
      copy_weights<1>(at, stage + Tr::kOutputs * Tr::A::kSize);
    }
  }

  // The thread's step of k is the same in all its rows.
  template <int kVector>
  __device__ __forceinline__ void copy_patches(const Steps& at, T* to) const {
    constexpr int kAcross = Tr::A::kInner / kVector, kRows = Tr::kThreads / kAcross;
    constexpr int kBytes = kVector * sizeof(T);
    const int row = static_cast<int>(threadIdx.x) / kAcross;
    const int step = static_cast<int>(threadIdx.x) % kAcross * kVector;
    const unsigned height = p.of_x ? p.down.y : p.down.x, width = p.of_x ? p.across.y : p.across.x;
    const bool any = at.offset + step < at.end;
    int channel = at.offset + step;
    const int tap = p.channels.split(channel), tap_down = tap / reads.across.taps;
    const int down = tap_down * reads.down.reach;
    const int across = (tap - tap_down * reads.across.taps) * reads.across.reach;
    const int shift = down * static_cast<int>(width) + across;
    to += row * Tr::A::kStride + step;
    [[maybe_unused]] constexpr int kUnroll = kVector == 1 ? 4 : 8;
#pragma unroll kUnroll
    for (int r = 0; r < Tr::A::kOuter; r += kRows) {
      const Patch patch = patches[row + r];
      const bool inside = any && static_cast<unsigned>(patch.down + down) < height &&
                          static_cast<unsigned>(patch.across + across) < width;
      const std::int64_t from = inside ? (patch.start + shift) * p.lead_a + channel : 0;
      copy_async<kBytes>(to + r * Tr::A::kStride, a + from, inside);
      if constexpr (Tr::form == Form::dual) {
        copy_async<kBytes>(to + Tr::A::kSize + r * Tr::A::kStride, a2 + from, inside);
      }
    }
  }

  // Where the weights of a step of k are.
  __device__ __forceinline__ std::int64_t weights_at(int k) const {
    if (p.in_order_b) return k * p.lead_b;
    int channel = k;
    const int tap = p.channels.split(channel), down = tap / reads.across.taps;
    const int across = tap - down * reads.across.taps;
    return (reads.down.tap(down) * p.across.kernel + reads.across.tap(across)) * p.tap_b +
           channel * p.channel_b;
  }

  template <int kVector>
  __device__ __forceinline__ void copy_weights(const Steps& at, T* to) const {
    constexpr int kAcross = Tr::B::kInner / kVector, kRows = Tr::kThreads / kAcross;
    const int row = static_cast<int>(threadIdx.x) / kAcross;
    const int column = static_cast<int>(threadIdx.x) % kAcross * kVector;
    const T* from = b + column * p.column_b;
    to += row * Tr::B::kStride + column;
    [[maybe_unused]] constexpr int kUnroll = 2;
#pragma unroll kUnroll
    for (int r = 0; r < Tr::B::kOuter; r += kRows) {
      const int k = at.offset + row + r;
      const bool inside = column < columns && k < at.end;
      copy_async<kVector * sizeof(T)>(to + r * Tr::B::kStride, inside ? from + weights_at(k) : b,
                                      inside);
    }
  }
};

// Where the tile's rows are in the result.
template <class T>
struct AtPatches {
  std::int64_t corner;
  const Patch* patches;
  std::int64_t lead;

  __device__ __forceinline__ std::int64_t column(int j) const { return corner + j; }
  __device__ __forceinline__ std::int64_t row(int i) const { return patches[i].place * lead; }
};

template <class Tr>
__global__ void __launch_bounds__(Tr::kThreads, Tr::kBlocks)
    image_kernel(const __grid_constant__ ConvProblem<typename Tr::T> p) {
  using T = typename Tr::T;
  T* shared = shared_memory<T>();
  auto* patches = reinterpret_cast<Patch*>(shared + Tr::kSharedBytes / sizeof(T));
  const BlockPlace place(p, Tr::tile.m, Tr::tile.n);
  const ConvItem item(p, place.item);
  const PatchReads reads(p, item.phase);
  const int rows = p.images * reads.positions() - place.row;
  if (rows <= 0) return;
  for (int r = static_cast<int>(threadIdx.x); r < Tr::tile.m; r += Tr::kThreads) {
    patches[r] = r < rows ? patch_of(p, reads, place.row + r) : Patch{0, -(1 << 30), 0, 0};
  }
  __syncthreads();
  constexpr int kDepth = Tr::tile.k;
  const int terms = reads.taps() * static_cast<int>(p.channels.by);
  const Share share(p, (terms + kDepth - 1) / kDepth);
  const std::int64_t from = item.number * p.stride_a + item.group * std::int64_t{p.channels.by};
  const Patches<Tr> source{
      p,
      p.a + from,
      Tr::form == Form::dual ? p.a2 + from : nullptr,
      p.b + item.number * p.stride_b + item.group * p.group_b + place.column * p.column_b,
      patches,
      reads,
      p.n - place.column};
  typename Tr::Accumulators acc = {};
  T sums[Tr::kOutputs] = {};
  accumulate<Tr>(p, source, typename Patches<Tr>::Steps{share.first * kDepth, terms}, share.count,
                 false, shared, acc, sums);
  if (gridDim.y > 1 && !combine<Tr>(p, acc, sums)) return;
  stage_results<Tr>(acc, shared);
  const int column = item.group * p.n + place.column;
  const Finished<T> tile{shared,
                         Tr::kResultStride,
                         Tr::kResult,
                         Tr::tile.n,
                         min(Tr::tile.m, rows),
                         p.n - place.column,
                         p.bias ? p.bias + item.number * p.stride_bias + column : nullptr};
  finish<Tr::form == Form::dual>(
      p, tile, AtPatches<T>{item.number * p.stride_c + column, patches, p.lead_c});
}

template <class Policy, Form form, TileShape... tiles, class T>
void run_image_tiles(const Context& ctx, const ConvProblem<T>& p) {
  run_tiles<form, tiles...>(ctx, p, Policy::kRate, [&]<TileShape tile>(const ConvProblem<T>& q) {
    using Tr = Traits<tile, Policy, form, false, false>;
    launch_tiles<Tr>(ctx, &image_kernel<Tr>, Tr::kSharedBytes + tile.m * sizeof(Patch), q);
  });
}

}  // namespace hesscore::cuda
