// Where tests run. HESSCORE_TEST_DEVICE names it: "cpu" or "cuda"; unless it is set, tests of whole
// computations run on the CPU, and tests of kernels on whatever there is.
#pragma once

#include <cstdlib>
#include <string_view>
#include <vector>

#include "hesscore/device.hpp"

namespace check {

inline std::string_view device_name() {
  const char* const set = std::getenv("HESSCORE_TEST_DEVICE");
  return set == nullptr ? "" : set;
}

inline hesscore::Device* device_now = nullptr;  // where tests of kernels are

inline hesscore::Device& device() {
  if (device_now != nullptr) return *device_now;
  return hesscore::device(device_name().empty() ? "cpu" : device_name());
}

inline bool tests_cpu() { return !device_name().starts_with("cuda"); }

inline bool tests_cuda() {
  return device_name().starts_with("cuda") ||
         (device_name().empty() && hesscore::cuda_status() == "available");
}

// Is a CUDA device a GPU, not the emulator?
inline bool tests_real() {
  const char* const set = std::getenv("HESSCORE_TEST_CUDA");
  return set != nullptr && std::string_view(set) == "real";
}

// Memory that the host and the tested device reach.
template <class T>
struct HostAllocator {
  using value_type = T;
  T* allocate(std::size_t n) { return static_cast<T*>(device().allocate_host(n * sizeof(T))); }
  void deallocate(T* p, std::size_t) { device().free_host(p); }
  bool operator==(const HostAllocator&) const = default;
};
template <class T>
using Array = std::vector<T, HostAllocator<T>>;

}  // namespace check
