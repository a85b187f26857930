// HostBuffer: host memory from which a device uploads while it works.
#pragma once

#include <utility>

#include "hesscore/device.hpp"

namespace hesscore {

class HostBuffer {
 public:
  HostBuffer() = default;
  HostBuffer(Device& device, std::size_t bytes)
      : device_(&device), data_(device.allocate_host(bytes)), bytes_(bytes) {}
  ~HostBuffer() {
    if (data_ != nullptr) device_->free_host(data_);
  }
  HostBuffer(HostBuffer&& other) noexcept { *this = std::move(other); }
  HostBuffer& operator=(HostBuffer&& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }

  void* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }

 private:
  Device* device_ = nullptr;
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace hesscore
