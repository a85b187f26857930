// Launching kernels: the only place that knows how, so that the same sources also run where there
// is no GPU, under the emulator of tests/emulator.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "check.hpp"
#include "context.hpp"

#if defined(HC_EMULATED)
#include "emulator.hpp"
#endif

namespace hesscore::cuda {

// kernel<<<grid, block, shared_bytes>>>(args...) on the context's stream. Kernels that want more
// than 48 KiB of dynamic shared memory get it. An error is of this launch: the last error, which
// <<<>>> leaves to be asked for, may be somebody else's.
template <class... P, class... A>
void launch(const Context& ctx, void (*kernel)(P...), dim3 grid, dim3 block,
            std::size_t shared_bytes, const A&... args) {
#if defined(HC_EMULATED)
  check(emulator::launch(ctx.stream, kernel, grid, block, shared_bytes, static_cast<P>(args)...));
#else
  if (shared_bytes > 48 * 1024) {
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(shared_bytes)));
  }
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = ctx.stream;
  check(cudaLaunchKernelEx(&config, kernel, static_cast<P>(args)...));
#endif
}

// The dynamic shared memory of the block, 16-byte aligned.
template <class T>
__device__ __forceinline__ T* shared_memory() {
#if defined(HC_EMULATED)
  return static_cast<T*>(emulator::shared_memory());
#else
  extern __shared__ __align__(16) unsigned char bytes[];
  return reinterpret_cast<T*>(bytes);
#endif
}

inline unsigned blocks_for(const Context& ctx, std::int64_t n, std::int64_t per_block,
                           int waves = 8) {
  const std::int64_t wanted = (n + per_block - 1) / per_block;
  const std::int64_t most = std::int64_t{ctx.multiprocessors} * waves;
  return static_cast<unsigned>(wanted < most ? wanted : most);
}

template <class Body>
__global__ void for_each_kernel(std::int64_t n, Body body) {
  const std::int64_t stride = std::int64_t{gridDim.x} * blockDim.x;
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n; i += stride) {
    body(i);
  }
}

// body(i) for 0 <= i < n in a grid-stride loop; Body is a struct with a __device__ operator().
template <class Body>
void for_each(const Context& ctx, std::int64_t n, const Body& body) {
  constexpr unsigned kThreads = 256;
  if (n == 0) return;
  launch(ctx, &for_each_kernel<Body>, blocks_for(ctx, n, kThreads), kThreads, 0, n, body);
}

// An output that is overwritten or added to, and may raise the alarm (Out::watch).
template <class T>
struct Sink {
  T* data = nullptr;
  bool accumulate = false;
  int* alarm = nullptr;

  Sink() = default;
  template <class Out>
  Sink(const Context& ctx, const Out& out)
      : data(out.template as<T>()),
        accumulate(out.accumulate),
        alarm(out.watch ? ctx.alarm : nullptr) {}

  __device__ explicit operator bool() const { return data != nullptr; }
  // Returns what is there then.
  __device__ T put(std::int64_t i, T value) const {
    const T v = accumulate ? data[i] + value : value;
    data[i] = v;
    look_at(v);
    return v;
  }
  // Raises the alarm if v is not moderate.
  __device__ void look_at(T v) const {
    if (alarm != nullptr && !(fabs(v) <= moderate())) atomicOr(alarm, 1);
  }

 private:
  static __device__ constexpr T moderate() { return sizeof(T) == 4 ? T(1e18) : T(1e153); }
};

}  // namespace hesscore::cuda
