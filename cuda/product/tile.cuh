// A block's tile: its sizes, what a warp multiplies of it, and what a lane holds.
#pragma once

#include "group.cuh"
#include "product/copy.cuh"
#include "product/policy.cuh"

namespace hesscore::cuda {

enum class Form {
  single,   // op(a) op(b)
  dual,     // and op(a2) (b * b)
  grouped,  // the sum over segments of (op(a) op(b))^2
};

template <TileShape kTile, class P, Form kForm, bool kTransA, bool kTransB>
struct Traits {
  using Policy = P;
  using T = typename Policy::Number;
  static constexpr TileShape tile = kTile;
  static constexpr Form form = kForm;
  using A = SharedTile<T, tile.m, tile.k, !kTransA>;
  using B = SharedTile<T, tile.n, tile.k, kTransB>;
  static constexpr int kThreads = tile.threads();
  static constexpr int kOutputs = form == Form::dual ? 2 : 1;         // c and c2, of a and a2
  static constexpr int kSets = form == Form::single ? 1 : 2;          // of accumulators
  static constexpr int kFirstOutput = form == Form::grouped ? 1 : 0;  // the set that is c
  static constexpr int kI = tile.warp_m / 16, kJ = tile.warp_n / 8;
  static constexpr bool kSums = kTransA && form != Form::grouped;  // may add up rows of op(a)
  static constexpr int kStages = 3, kStage = kOutputs * A::kSize + B::kSize;
  static constexpr int kResultStride = tile.n + 8, kResult = tile.m * kResultStride;
  static constexpr int kPipeline = kStages * kStage, kResults = kOutputs * kResult;
  static constexpr std::size_t kSharedBytes =
      sizeof(T) * (kPipeline > kResults ? kPipeline : kResults);
  static constexpr int kPartial = partial_size(tile, kOutputs);
  // By registers: three blocks of 128 threads leave 168 to each, two leave 255.
  static constexpr bool kLargeSets = kSets == 2 && kI * kJ * sizeof(T) >= 32;
  static constexpr int kBlocks = kLargeSets ? 2 : Policy::kBlocks;
  struct Accumulators {
    T at[kSets][kI][kJ][4];
  };
  static_assert(kThreads >= tile.m && kThreads % tile.n == 0);
};

// Where a warp and its lane are in the tile.
template <class Tr>
struct WarpPlace {
  int row, column, lane;

  __device__ WarpPlace() {
    constexpr int kAcross = Tr::tile.n / Tr::tile.warp_n;
    const int warp = static_cast<int>(threadIdx.x / kWarp);
    row = warp / kAcross * Tr::tile.warp_m;
    column = warp % kAcross * Tr::tile.warp_n;
    lane = static_cast<int>(threadIdx.x % kWarp);
  }
};

template <class Tr, class T>
__device__ __forceinline__ void copy_stage(const Problem<T>& p, const BlockPlace& place,
                                           const Walk& walk, T* stage) {
  const int left = walk.left(p), ka = walk.a + walk.offset, kb = walk.b + walk.offset;
  const std::int64_t skip = place.item * p.stride_a;
  copy_operand<typename Tr::A, Tr::kThreads>(p.wide_a, stage, p.a + skip, p.lead_a, place.row,
                                             p.m - place.row, ka, left);
  if constexpr (Tr::form == Form::dual) {
    copy_operand<typename Tr::A, Tr::kThreads>(p.wide_a, stage + Tr::A::kSize, p.a2, p.lead_a,
                                               place.row, p.m - place.row, ka, left);
  }
  copy_operand<typename Tr::B, Tr::kThreads>(p.wide_b, stage + Tr::kOutputs * Tr::A::kSize,
                                             p.b + place.item * p.stride_b, p.lead_b, place.column,
                                             p.n - place.column, kb, left);
}

template <int kCount, class T>
__device__ __forceinline__ void square_all(T (&x)[kCount]) {
#pragma unroll
  for (T& v : x) v *= v;
}

// The lane's part of 16 rows of op(a) and its 8 columns of op(b). The maps of layout.hpp are
// linear, so that only one address depends on the lane.
template <class Tr, class T>
__device__ __forceinline__ typename Tr::Policy::Left load_left(const T* a, int i, int k,
                                                               bool square) {
  using Policy = typename Tr::Policy;
  T x[Policy::kLeft];
#pragma unroll
  for (int e = 0; e < Policy::kLeft; ++e) {
    x[e] = a[Tr::A::at(i + Policy::left_at(0, e).i, k + Policy::left_at(0, e).k)];
  }
  if (square) square_all(x);
  return Policy::left(x);
}

template <class Tr, class T>
__device__ __forceinline__ typename Tr::Policy::Right load_right(const T* b, int j, int k,
                                                                 bool square) {
  using Policy = typename Tr::Policy;
  T x[Policy::kRight];
#pragma unroll
  for (int e = 0; e < Policy::kRight; ++e) {
    x[e] = b[Tr::B::at(j + Policy::right_at(0, e).i, k + Policy::right_at(0, e).k)];
  }
  if (square) square_all(x);
  return Policy::right(x);
}

// One slice of k; a and b point to the lane's first elements. c2's squares of b are made when they
// are needed: both fragments would not fit in the registers.
template <class Tr, class T>
__device__ __forceinline__ void multiply_slice(const Problem<T>& p, const T* a, const T* b, int k,
                                               typename Tr::Accumulators& acc) {
  using Policy = typename Tr::Policy;
  constexpr bool kMaySquare = Tr::form == Form::single;
#pragma unroll
  for (int part = 0; part < Tr::kOutputs; ++part) {
    typename Policy::Right right[Tr::kJ];
#pragma unroll
    for (int j = 0; j < Tr::kJ; ++j) {
      right[j] = load_right<Tr>(b, 8 * j, k, part == 1 || (kMaySquare && p.square_b));
    }
#pragma unroll
    for (int i = 0; i < Tr::kI; ++i) {
      const auto left = load_left<Tr>(a + part * Tr::A::kSize, 16 * i, k, kMaySquare && p.square_a);
      Policy::multiply(acc.at[part][i], left, right);
    }
  }
}

// f(number, index) for the lane's numbers of set `set`.
template <class Tr, class F>
__device__ __forceinline__ void each_number(typename Tr::Accumulators& acc, int set, const F& f) {
#pragma unroll
  for (int i = 0; i < Tr::kI; ++i) {
#pragma unroll
    for (int j = 0; j < Tr::kJ; ++j) {
#pragma unroll
      for (int e = 0; e < 4; ++e) f(acc.at[set][i][j][e], (i * Tr::kJ + j) * 4 + e);
    }
  }
}

template <class Tr, class T>
__device__ __forceinline__ void multiply_chunk(const Problem<T>& p, const WarpPlace<Tr>& warp,
                                               const T* stage, int steps,
                                               typename Tr::Accumulators& acc) {
  using Policy = typename Tr::Policy;
  const Place left = Policy::left_at(warp.lane, 0), right = Policy::right_at(warp.lane, 0);
  const T* a = stage + Tr::A::at(warp.row + left.i, left.k);
  const T* b = stage + Tr::kOutputs * Tr::A::kSize + Tr::B::at(warp.column + right.i, right.k);
  const int end = Tr::form == Form::grouped ? steps : Tr::tile.k;
  [[maybe_unused]] constexpr int kUnroll = Tr::form == Form::grouped || Tr::kLargeSets ? 1 : 4;
#pragma unroll kUnroll
  for (int k = 0; k < end; k += Policy::kSlice) multiply_slice<Tr>(p, a, b, k, acc);
}

}  // namespace hesscore::cuda
