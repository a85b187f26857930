// Weights from two images: y's channels times patches of x, summed over samples and positions, or
// squared sample by sample.
#pragma once

#include "conv/run.cuh"

namespace hesscore::cuda {

// A walk over the chunks of k, in segments; y's and x's steps are read over and over.
struct ConvWalk {
  int offset;  // in the segment
  int a, b;    // the segment's first step in y and in x

  template <class T>
  __device__ ConvWalk(const ConvProblem<T>& p, int depth, int chunk) {
    const int per_segment = (p.length + depth - 1) / depth, segment = chunk / per_segment;
    offset = chunk % per_segment * depth;
    a = segment * p.length % p.steps_a;
    b = segment * p.length % p.steps_b;
  }
  template <class T>
  __device__ __forceinline__ int left(const Problem<T>& p) const {
    return p.length - offset;
  }
  template <class T>
  __device__ __forceinline__ bool ends_segment(const Problem<T>& p, int depth) const {
    return offset + depth >= p.length;
  }
  template <class T>
  __device__ __forceinline__ void next(const ConvProblem<T>& p, int depth) {
    offset += depth;
    if (offset < p.length) return;
    offset = 0;
    a += p.length;
    b += p.length;
    if (a == p.steps_a) a = 0;
    if (b == p.steps_b) b = 0;
  }
};

// The thread's columns of op(b), a tap and its channels, are the same in all its steps of k.
template <class Tr>
struct Positions {
  using T = typename Tr::T;
  const ConvProblem<T>& p;
  const T *a, *a2, *b;  // of the item and the group
  int row;
  int channel, down, across;  // in x, from the start of a position's patch
  static constexpr int kOutside = -(1 << 30);

  __device__ Positions(const ConvProblem<T>& problem, const BlockPlace& place, const ConvItem& item)
      : p(problem), row(place.row) {
    const std::int64_t first = item.number * p.stride_a + item.group * std::int64_t{p.m};
    a = p.a + first;
    a2 = Tr::form == Form::dual ? p.a2 + first : nullptr;
    b = p.b + item.number * p.stride_b + item.group * std::int64_t{p.channels.by};
    constexpr int kWidth = Tr::B::kInner, kVector = Tr::B::kVector;
    const int thread = static_cast<int>(threadIdx.x);
    channel = place.column + (p.wide_b ? thread % (kWidth / kVector) * kVector : thread % kWidth);
    const bool inside = channel < p.n;
    const int tap = p.channels.split(channel);
    down = inside ? tap / p.across.kernel * p.down.dilation - p.down.pad : kOutside;
    across = tap % p.across.kernel * p.across.dilation - p.across.pad;
  }

  __device__ __forceinline__ void copy(const ConvWalk& walk, T* stage) const {
    const int left = walk.left(p), rows = p.m - row;
    copy_operand<typename Tr::A, Tr::kThreads>(p.wide_a, stage, a, p.lead_a, row, rows,
                                               walk.a + walk.offset, left);
    if constexpr (Tr::form == Form::dual) {
      copy_operand<typename Tr::A, Tr::kThreads>(p.wide_a, stage + Tr::A::kSize, a2, p.lead_a, row,
                                                 rows, walk.a + walk.offset, left);
    }
    stage += Tr::kOutputs * Tr::A::kSize;
    if (p.wide_b) {
      copy_patches<Tr::B::kVector>(walk.b + walk.offset, left, stage);
    } else {
      copy_patches<1>(walk.b + walk.offset, left, stage);
    }
  }

  template <int kVector>
  __device__ __forceinline__ void copy_patches(int first, int left, T* to) const {
    constexpr int kAcross = Tr::B::kInner / kVector, kRows = Tr::kThreads / kAcross;
    const int mine = static_cast<int>(threadIdx.x) / kAcross;
    to += mine * Tr::B::kStride + static_cast<int>(threadIdx.x) % kAcross * kVector;
    [[maybe_unused]] constexpr int kUnroll = 4;
#pragma unroll kUnroll
    for (int r = 0; r < Tr::B::kOuter; r += kRows) {
      int j = first + mine + r, i = p.y_across.split(j);
      const int image = p.y_down.split(i);
      i = i * p.down.stride + down;
      j = j * p.across.stride + across;
      const bool is = mine + r < left && static_cast<unsigned>(i) < unsigned(p.down.x) &&
                      static_cast<unsigned>(j) < unsigned(p.across.x);
      const int position = (image * p.down.x + i) * p.across.x + j;
      copy_async<kVector * sizeof(T)>(to + r * Tr::B::kStride,
                                      b + (is ? position * p.lead_b + channel : 0), is);
    }
  }
};

// Where the tile's numbers are among the weights: (o, channel, tap).
struct InWeights {
  std::int64_t corner, lead;
  int first, taps;
  math::Divider channels;

  __device__ __forceinline__ std::int64_t column(int j) const {
    int channel = first + j;
    const int tap = channels.split(channel);
    return corner + std::int64_t{channel} * taps + tap;
  }
  __device__ __forceinline__ std::int64_t row(int i) const { return i * lead; }
};

template <class Tr>
__global__ void __launch_bounds__(Tr::kThreads, Tr::kBlocks)
    weight_kernel(const __grid_constant__ ConvProblem<typename Tr::T> p) {
  using T = typename Tr::T;
  T* shared = shared_memory<T>();
  const BlockPlace place(p, Tr::tile.m, Tr::tile.n);
  const ConvItem item(p, place.item);
  typename Tr::Accumulators acc = {};
  T sums[Tr::kOutputs] = {};
  constexpr int kDepth = Tr::tile.k;
  const Share share(p, p.segments() * ((p.length + kDepth - 1) / kDepth));
  accumulate<Tr>(p, Positions<Tr>(p, place, item), ConvWalk(p, kDepth, share.first), share.count,
                 place.column == 0 && (p.sum || p.sum2), shared, acc, sums);
  if (gridDim.y > 1 && !combine<Tr>(p, acc, sums)) return;
  const int row = item.group * p.m;
  if constexpr (Tr::kSums) put_sums<Tr>(p, place, item.number * p.stride_sum + row, sums);
  stage_results<Tr>(acc, shared);
  const Finished<T> tile{shared,
                         Tr::kResultStride,
                         Tr::kResult,
                         Tr::tile.n,
                         min(Tr::tile.m, p.m - place.row),
                         p.n - place.column,
                         nullptr};
  const InWeights where{item.number * p.stride_c + (row + place.row) * std::int64_t{p.n}, p.n,
                        place.column, p.down.kernel * p.across.kernel, p.channels};
  finish<Tr::form == Form::dual>(p, tile, where);
}

template <class Policy, Form form, TileShape... tiles, class T>
void run_weight_tiles(const Context& ctx, const ConvProblem<T>& p) {
  run_tiles<form, tiles...>(ctx, p, Policy::kRate, [&]<TileShape tile>(const ConvProblem<T>& q) {
    using Tr = Traits<tile, Policy, form, true, false>;
    launch_tiles<Tr>(ctx, &weight_kernel<Tr>, Tr::kSharedBytes, q);
  });
}

}  // namespace hesscore::cuda
