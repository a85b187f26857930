// Products of arrays that are broadcast against each other, and their sums over axes.
#include "backend/kernels.hpp"
#include "group.cuh"
#include "packs.cuh"
#include "register.hpp"

namespace hesscore::cuda {

namespace {

using math::BroadcastAxes;
constexpr unsigned kThreads = 256, kSlices = 8;

template <class T>
struct Problem {
  BroadcastAxes axes;
  const T *p, *q;
  Sink<T> y;
  bool square_q;

  __device__ T product(std::int64_t at_p, std::int64_t at_q) const {
    const T v = q[at_q];
    return p[at_p] * (square_q ? v * v : v);
  }
};

// A thread for each result, which neighbours read beside each other; kSlices threads share the sum
// of one where there are few results. Their sums are added in order.
template <class T>
__global__ void __launch_bounds__(kThreads)
    columns_kernel(Problem<T> a, std::int64_t results, std::int64_t sums, unsigned slices) {
  __shared__ T parts[kThreads];
  const BroadcastAxes& axes = a.axes;
  const unsigned width = kThreads / slices, slice = threadIdx.x / width;
  for (std::int64_t e0 = std::int64_t{blockIdx.x} * width; e0 < results;
       e0 += std::int64_t{gridDim.x} * width) {
    const std::int64_t e = e0 + threadIdx.x % width;
    T sum = 0;
    if (e < results) {
      const BroadcastAxes::At at = axes.at(e, 0, axes.kept);
      for (std::int64_t s = slice; s < sums; s += slices) {
        const BroadcastAxes::At to = axes.at(s, axes.kept, axes.axes());
        sum += a.product(at.p + to.p, at.q + to.q);
      }
    }
    if (slices > 1) {
      parts[threadIdx.x] = sum;
      __syncthreads();
      for (unsigned k = 1; slice == 0 && k < slices; ++k) sum += parts[threadIdx.x + k * width];
      __syncthreads();
    }
    if (slice == 0 && e < results) a.y.put(e, sum);
  }
}

// A warp for each result, along the last axis.
template <class T>
__global__ void __launch_bounds__(kThreads)
    rows_kernel(Problem<T> a, std::int64_t results, std::int64_t outer, std::int64_t n) {
  const BroadcastAxes& axes = a.axes;
  const unsigned lane = threadIdx.x % kWarp, warps = kThreads / kWarp;
  const int last = axes.axes() - 1;
  for (std::int64_t e = std::int64_t{blockIdx.x} * warps + threadIdx.x / kWarp; e < results;
       e += std::int64_t{gridDim.x} * warps) {
    const BroadcastAxes::At at = axes.at(e, 0, axes.kept);
    T sum = 0;
    for (std::int64_t s = 0; s < outer; ++s) {
      const BroadcastAxes::At to = axes.at(s, axes.kept, last);
#pragma unroll 4
      for (std::int64_t i = lane; i < n; i += kWarp) {
        sum += a.product(at.p + to.p + i * axes.p[last], at.q + to.q + i * axes.q[last]);
      }
    }
    sum = warp_sum(sum);
    if (lane == 0) a.y.put(e, sum);
  }
}

template <class T>
void broadcast_product(void* stream, const kernels::BroadcastProduct::Args& a) {
  const Context& ctx = context_of(stream);
  const BroadcastAxes& axes = a.axes;
  const std::int64_t results = axes.count(0, axes.kept);
  const std::int64_t sums = axes.count(axes.kept, axes.axes());
  if (results == 0 || sums == 0) return;
  const Problem<T> problem{axes, a.p.as<T>(), a.q.as<T>(), {ctx, a.y}, a.square_q};
  const int inner = axes.kept - 1, last = axes.axes() - 1;
  const bool beside = axes.kept > 0 && axes.p[inner] <= 1 && axes.q[inner] <= 1;
  if (beside || sums < kWarp / 2) {
    const std::int64_t threads = std::int64_t{ctx.multiprocessors} * 2048;
    const unsigned slices = sums >= 4 * kSlices && results < threads ? kSlices : 1;
    launch(ctx, &columns_kernel<T>, blocks_for(ctx, results, kThreads / slices), kThreads, 0,
           problem, results, sums, slices);
    return;
  }
  launch(ctx, &rows_kernel<T>, blocks_for(ctx, results, kThreads / kWarp), kThreads, 0, problem,
         results, sums / axes.size[last], axes.size[last]);
}

}  // namespace

void register_broadcasts(KernelTable& table) {
  table.add<kernels::BroadcastProduct>(DType::f32, &broadcast_product<float>);
  table.add<kernels::BroadcastProduct>(DType::f64, &broadcast_product<double>);
}

}  // namespace hesscore::cuda
