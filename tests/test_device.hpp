// Where tests run. HESSCORE_TEST_DEVICE names it: "cpu" or "cuda"; unless it is set, tests of whole
// computations run on the CPU, and tests of kernels on whatever there is.
#pragma once

#include <cstdlib>
#include <string_view>

#include "hesscore/device.hpp"

namespace check {

inline std::string_view device_name() {
  const char* const set = std::getenv("HESSCORE_TEST_DEVICE");
  return set == nullptr ? "" : set;
}

inline hesscore::Device& device() {
  return hesscore::device(device_name().empty() ? "cpu" : device_name());
}

inline bool tests_cpu() { return !device_name().starts_with("cuda"); }

inline bool tests_cuda() {
  return device_name().starts_with("cuda") ||
         (device_name().empty() && hesscore::cuda_status() == "available");
}

}  // namespace check
