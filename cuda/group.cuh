// Sums and maxima over a warp or a block, in a fixed order.
#pragma once

#include "launch.cuh"

namespace hesscore::cuda {

constexpr unsigned kWarp = 32, kAllLanes = 0xffffffffu;

// Over `width` neighbouring lanes, a power of two; every lane gets the result.
template <class T>
__device__ __forceinline__ T warp_sum(T x, int width = kWarp) {
  for (int step = width / 2; step > 0; step /= 2) x += __shfl_xor_sync(kAllLanes, x, step);
  return x;
}

template <class T>
__device__ __forceinline__ T warp_max(T x, int width = kWarp) {
  for (int step = width / 2; step > 0; step /= 2) {
    const T other = __shfl_xor_sync(kAllLanes, x, step);
    x = x < other ? other : x;
  }
  return x;
}

// Sums of kCount numbers over the block, at most 1024 threads, a multiple of 32; thread 0 has them.
template <int kCount, class T>
__device__ void block_sums(T (&x)[kCount]) {
  __shared__ T parts[kCount][32];
  const unsigned lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  for (int k = 0; k < kCount; ++k) x[k] = warp_sum(x[k]);
  __syncthreads();  // of an earlier use
  if (lane == 0) {
    for (int k = 0; k < kCount; ++k) parts[k][warp] = x[k];
  }
  __syncthreads();
  if (warp != 0) return;
  for (int k = 0; k < kCount; ++k) {
    x[k] = warp_sum(lane < blockDim.x / kWarp ? parts[k][lane] : T(0));
  }
}

// True in every thread of the block that arrives last at this ticket; it then sees what the other
// blocks wrote before, and the ticket is zero again.
__device__ __forceinline__ bool last_block(unsigned* ticket, unsigned blocks) {
  __shared__ bool last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    last = atomicAdd(ticket, 1u) == blocks - 1;
    if (last) *ticket = 0;
  }
  __syncthreads();
  if (last) __threadfence();
  return last;
}

// Sums over all blocks of the grid (1-D): true in the last block, whose thread 0 then has them.
// `partials` holds kCount * gridDim.x numbers; they are added in the order of the blocks.
template <int kCount, class T>
__device__ bool grid_sums(T (&x)[kCount], T* partials, unsigned* ticket) {
  block_sums<kCount>(x);
  if (threadIdx.x == 0) {
    for (int k = 0; k < kCount; ++k) partials[k * gridDim.x + blockIdx.x] = x[k];
  }
  if (!last_block(ticket, gridDim.x)) return false;
  for (int k = 0; k < kCount; ++k) {
    x[k] = T(0);
    for (unsigned b = threadIdx.x; b < gridDim.x; b += blockDim.x) {
      x[k] += partials[k * gridDim.x + b];
    }
  }
  block_sums<kCount>(x);
  return true;
}

}  // namespace hesscore::cuda
