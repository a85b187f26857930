// Context: what `stream` points to in every kernel call of the plugin. One for each device.
#pragma once

#include <cuda_runtime_api.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>

namespace hesscore::cuda {

class Lt;  // product/lt.hpp

struct Context {
  cudaStream_t stream = nullptr;  // where work goes now
  int device = 0;
  int multiprocessors = 1;
  // Scratch of the kernel that runs: partial sums, split products, cuBLASLt. Kernels of a device
  // run one after the other.
  void* workspace = nullptr;
  std::size_t workspace_bytes = 0;
  // Counters for "the last block to arrive finishes"; every kernel leaves them zero.
  unsigned* tickets = nullptr;
  static constexpr int kTickets = 4096;
  int* alarm = nullptr;  // the device's alarm word
  Lt* lt = nullptr;
  std::atomic<std::thread::id> recorder{};  // the thread that records work now, if there is one

  bool recording() const { return recorder == std::this_thread::get_id(); }
};

inline const Context& context_of(void* stream) { return *static_cast<const Context*>(stream); }

}  // namespace hesscore::cuda
