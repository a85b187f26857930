// Launching element-wise work: one functor call for each index, in a grid-stride loop.
#pragma once

#include <cstdint>

#include "check.hpp"

namespace hesscore::cuda {

template <class Body>
__global__ void for_each_kernel(std::int64_t n, Body body) {
  const std::int64_t stride = std::int64_t{gridDim.x} * blockDim.x;
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n; i += stride) {
    body(i);
  }
}

// body(i) for 0 <= i < n; Body is a struct with a __device__ operator().
template <class Body>
void for_each(void* stream, std::int64_t n, const Body& body) {
  constexpr std::int64_t kThreads = 256, kMaxBlocks = 4096;
  if (n == 0) return;
  const std::int64_t blocks = (n + kThreads - 1) / kThreads;
  const unsigned grid = static_cast<unsigned>(blocks < kMaxBlocks ? blocks : kMaxBlocks);
  for_each_kernel<<<grid, kThreads, 0, static_cast<cudaStream_t>(stream)>>>(n, body);
  check(cudaGetLastError());
}

// An output that is overwritten or added to.
template <class T>
struct Sink {
  T* data;
  bool accumulate;

  template <class Out>
  explicit Sink(const Out& out) : data(out.template as<T>()), accumulate(out.accumulate) {}
  __device__ void put(std::int64_t i, T value) const {
    data[i] = accumulate ? data[i] + value : value;
  }
};

}  // namespace hesscore::cuda
