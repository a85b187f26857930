// How the C logits of a position are shared out: to some lanes of a warp, or to a whole block.
//
// A warp serves 32 / width positions at a time, with `width` lanes each. Where a logit's neighbours
// in memory are other classes of its position (D = 1), so are its lane's neighbours; where they are
// other positions (large D), lanes are dealt out that way. In a block that shares one set of
// positions, each warp has a run of the classes.
#pragma once

#include "group.cuh"

namespace hesscore::cuda {

struct RowLayout {
  int width;         // lanes of a warp for a position: a power of two
  bool by_position;  // neighbouring lanes have neighbouring positions, not classes
};

struct Add {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};
struct Larger {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a < b ? b : a;
  }
};

// The threads that share a position: lanes of a warp, or of kWarps warps.
template <int kWarps>
class Team {
 public:
  static constexpr bool kBlock = kWarps > 1;

  std::int64_t begin, end;  // the warp's classes; this lane's are begin + lane, + width, ...
  int lane, width;
  int row;  // which of the positions that the block serves at a time

  __device__ Team(RowLayout layout, std::int64_t classes)
      : begin(0), end(classes), width(layout.width) {
    const int rows = kWarp / width, i = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
    step_ = layout.by_position ? rows : 1;
    lane = layout.by_position ? i / rows : i % width;
    row = layout.by_position ? i % rows : i / width;
    last_ = i + (width - 1 - lane) * step_;
    if constexpr (kBlock) {
      const std::int64_t share = (classes + kWarps - 1) / kWarps;
      const std::int64_t run = (share + width - 1) / width * width;
      begin = warp * run < classes ? warp * run : classes;
      end = begin + run < classes ? begin + run : classes;
    } else {
      row += warp * rows;
    }
  }

  // over the team, in every lane
  template <class T>
  __device__ T sum(T x) const {
    return reduce(x, Add());
  }
  template <class T>
  __device__ T max(T x) const {
    return reduce(x, Larger());
  }

  // the sum of what lanes of earlier warps have
  template <class T>
  __device__ T sum_before(T x) const {
    T sum = T(0);
    if constexpr (kBlock) {
      const T* parts = exchange(over_warp(x, Add()));
      for (int w = 0; w < static_cast<int>(threadIdx.x / kWarp); ++w) sum += parts[w];
    }
    return sum;
  }
  // in the warp: the sum up to this lane, and what the team's last lane has
  template <class T>
  __device__ T scan(T x) const {
    for (int s = 1; s < width; s *= 2) {
      const T before = __shfl_up_sync(kAllLanes, x, s * step_);
      if (lane >= s) x += before;
    }
    return x;
  }
  template <class T>
  __device__ T of_last(T x) const {
    return __shfl_sync(kAllLanes, x, last_);
  }

 private:
  int step_, last_;  // from lane to lane of the team; its last lane

  template <class T, class Op>
  __device__ T over_warp(T x, Op op) const {
    for (int s = step_ * width / 2; s >= step_; s /= 2) x = op(x, __shfl_xor_sync(kAllLanes, x, s));
    return x;
  }
  template <class T, class Op>
  __device__ T reduce(T x, Op op) const {
    x = over_warp(x, op);
    if constexpr (kBlock) {
      const T* parts = exchange(x);
      x = parts[0];
      for (int w = 1; w < kWarps; ++w) x = op(x, parts[w]);
    }
    return x;
  }
  // the values of all warps for this lane's position
  template <class T>
  __device__ const T* exchange(T x) const {
    __shared__ T parts[kWarp][kWarps];
    __syncthreads();  // of an earlier use
    if (lane == 0) parts[row][threadIdx.x / kWarp] = x;
    __syncthreads();
    return parts[row];
  }
};

// Up to kSlots logits for each lane, in registers.
template <class T, int kSlots, int kWarps>
class Held {
 public:
  using Threads = Team<kWarps>;
  static constexpr unsigned kThreads = kWarps == 1 ? 256 : kWarps * kWarp;

  __device__ Held(const T* z, std::int64_t stride, const Threads& team) : team_(team) {
    each([&](std::int64_t c, T& x) { x = c < team.end ? z[c * stride] : T(-HUGE_VAL); });
  }
  // f(class, logit) for this lane's logits, -infinity behind the last
  template <class F>
  __device__ void each(F f) const {
#pragma unroll
    for (int v = 0; v < kSlots; ++v) f(team_.begin + team_.lane + v * team_.width, x_[v]);
  }
  // the largest logit of the position, and the lane's part of the sum of e^(z - top)
  __device__ T normalise(T& top) const {
    T most = x_[0], sum = T(0);
    each([&](std::int64_t, T z) { most = Larger()(most, z); });
    top = team_.max(most);
    each([&](std::int64_t, T z) { sum += math::exp(z - top); });
    return sum;
  }

 private:
  const Threads& team_;
  mutable T x_[kSlots];
};

// Any number of logits, read anew each time.
template <class T>
class Streamed {
 public:
  using Threads = Team<16>;
  static constexpr unsigned kThreads = 16 * kWarp;

  __device__ Streamed(const T* z, std::int64_t stride, const Threads& team)
      : team_(team), z_(z), stride_(stride) {}
  template <class F>
  __device__ void each(F f) const {
    for (std::int64_t first = team_.begin; first < team_.end; first += team_.width) {
      const std::int64_t c = first + team_.lane;
      f(c, c < team_.end ? z_[c * stride_] : T(-HUGE_VAL));
    }
  }
  __device__ T normalise(T& top) const {  // in one reading: the sum is scaled as the top rises
    T most = T(-HUGE_VAL), sum = T(0);
    each([&](std::int64_t, T z) {
      const T e = math::exp(z > most ? most - z : z - most);
      if (z != T(-HUGE_VAL)) sum = z > most ? sum * e + 1 : sum + e;
      most = Larger()(most, z);
    });
    top = team_.max(most);
    return sum * math::exp(most - top);
  }

 private:
  const Threads& team_;
  const T* z_;
  std::int64_t stride_;
};

}  // namespace hesscore::cuda
