// For the tests of the emulator: arrays on its device.
#pragma once

#include <numeric>
#include <string>
#include <vector>

#include "context.hpp"

namespace emulated {

inline hesscore::cuda::Context context(cudaStream_t stream = nullptr) { return {.stream = stream}; }

// An array on the device.
template <class T>
class Remote {
 public:
  explicit Remote(std::vector<T> values) : n_(values.size()) {
    cudaMalloc(&data_, n_ * sizeof(T));
    cudaMemcpy(data_, values.data(), n_ * sizeof(T), cudaMemcpyHostToDevice);
  }
  ~Remote() { cudaFree(data_); }
  Remote(const Remote&) = delete;
  T* data() const { return data_; }
  std::vector<T> get() const {
    std::vector<T> values(n_);
    cudaMemcpy(values.data(), data_, n_ * sizeof(T), cudaMemcpyDeviceToHost);
    return values;
  }

 private:
  std::size_t n_;
  T* data_ = nullptr;
};

inline std::vector<float> ramp(std::size_t n) {
  std::vector<float> values(n);
  std::iota(values.begin(), values.end(), 1.0f);
  return values;
}

inline bool contains(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

}  // namespace emulated
