// Launching kernels on the emulator, and what kernels say in PTX elsewhere (cuda/ptx.cuh).
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <functional>
#include <type_traits>

namespace emulator {

// Puts kernel(args...) on the stream, or into the graph that is being captured from it. An error if
// no device takes the configuration.
cudaError_t launch(cudaStream_t stream, const void* kernel, dim3 grid, dim3 block,
                   std::size_t shared_bytes, std::function<void()> thread);

// Aborts if the bytes of an argument hold an address of memory that a GPU does not reach.
void check_argument(const void* kernel, const void* argument, std::size_t bytes);

template <class P>
void check_argument(const void* kernel, P argument) {
  static_assert(std::is_trivially_copyable_v<P>, "kernels take their arguments as bytes");
#if __has_builtin(__builtin_clear_padding)       // elsewhere, padding may look like an address
  if constexpr (alignof(P) >= alignof(void*)) {  // else bytes, whose padding nobody knows
    __builtin_clear_padding(&argument);
    check_argument(kernel, &argument, sizeof argument);
  }
#endif
}

template <class... P>
cudaError_t launch(cudaStream_t stream, void (*kernel)(P...), dim3 grid, dim3 block,
                   std::size_t shared_bytes, std::type_identity_t<P>... args) {
  const void* const address = reinterpret_cast<const void*>(kernel);
  (check_argument(address, args), ...);
  return launch(stream, address, grid, block, shared_bytes,
                std::function<void()>([=] { kernel(args...); }));
}

struct Fragments {
  float* d;
  const std::uint32_t *a, *b;
};
void multiply_fragments(void* const* lanes, unsigned mask);

}  // namespace emulator

namespace hesscore::cuda {

template <int kBytes>
void copy_async(void* shared, const void* global, bool inside) {
  static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16);
  emulator::copy_begin(shared, global, kBytes, inside);
}
inline void copy_commit() { emulator::copy_close(); }
template <int kPending>
void copy_wait() {
  emulator::copy_finish(kPending);
}

// To 11 significant bits, ties away from zero.
inline std::uint32_t to_tf32(float x) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
  const bool finite = (bits & 0x7f800000u) != 0x7f800000u;
  return finite ? (bits + 0x1000u) & ~0x1fffu : bits;
}

inline void mma_tf32(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                     const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  emulator::Fragments mine{d, a, b};
  emulator::warp_exchange(0xffffffffu, &mine, &emulator::multiply_fragments, {file, line});
}

}  // namespace hesscore::cuda
