// Vector: an owned flat array in the layout of the parameters. What solvers and optimizers see.
#pragma once

#include <vector>

#include "hesscore/device.hpp"

namespace hesscore {

class HESSCORE_API Vector {
 public:
  Vector() = default;
  Vector(Device& device, DType dtype, std::int64_t size);  // zeros

  std::int64_t size() const { return size_; }
  DType dtype() const { return dtype_; }
  Device& device() const { return *device_; }
  void* data() const { return buffer_.data(); }
  template <class T>
  T* as() const {
    return static_cast<T*>(buffer_.data());
  }
  operator View() const { return View(data(), dtype_, {size_}); }

  std::vector<double> to_host() const;
  void from_host(const std::vector<double>& values);

 private:
  Device* device_ = nullptr;
  DType dtype_ = DType::f32;
  std::int64_t size_ = 0;
  Buffer buffer_;
};

}  // namespace hesscore
