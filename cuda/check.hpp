// CUDA's return codes as exceptions.
#pragma once

#include <cuda_runtime_api.h>

#include <string>

#include "hesscore/core.hpp"

namespace hesscore::cuda {

inline std::string describe(cudaError_t error) {
  return std::string(cudaGetErrorName(error)) + ": " + cudaGetErrorString(error);
}

// Throws DeviceError. Some errors end all work of the process on the GPU: the first of them, and
// the operation that met it, is what every later failure tells.
[[noreturn]] void fail(cudaError_t error, const char* operation);

inline void check(cudaError_t error, const char* operation = "launching a kernel") {
  if (error != cudaSuccess) fail(error, operation);
}

// For calls whose failure nobody can be told of: whoever asks CUDA next for the last error would
// be.
inline void ignore(cudaError_t error) noexcept {
  if (error != cudaSuccess) cudaGetLastError();
}

}  // namespace hesscore::cuda
