// CUDA's return codes as exceptions.
#pragma once

#include <cuda_runtime_api.h>

#include <string>

#include "hesscore/core.hpp"

namespace hesscore::cuda {

inline std::string describe(cudaError_t error) {
  return std::string(cudaGetErrorName(error)) + ": " + cudaGetErrorString(error);
}

inline void check(cudaError_t error) {
  if (error != cudaSuccess) throw DeviceError("CUDA failed with " + describe(error));
}

}  // namespace hesscore::cuda
