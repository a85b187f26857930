// Runs the blocks of a kernel, thread by thread.
#pragma once

#include <functional>

#include "cuda_runtime_api.h"

namespace emulator {

struct Kernel {
  const void* address;
  dim3 grid, block;
  std::size_t shared_bytes;
  std::function<void()> thread;
};

inline constexpr std::size_t kMaxSharedBytes = 227 * 1024;

// In the order that HESSCORE_EMULATOR_ORDER names: forward, backward, random, or, unless it is set,
// these in turn, from launch to launch.
void run_kernel(const Kernel& kernel);

}  // namespace emulator
