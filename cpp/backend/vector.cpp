// Buffer and Vector: memory owned on a device.
#include "hesscore/vector.hpp"

#include <mutex>

#include "backend/kernels.hpp"

namespace hesscore {

// No bytes still means an address: a null pointer stands for "not given".
Buffer::Buffer(Device& device, std::size_t bytes)
    : device_(&device), data_(device.allocate(bytes > 0 ? bytes : 1)), bytes_(bytes) {}

Buffer::~Buffer() {
  if (data_ != nullptr) device_->free(data_);
}

Buffer::Buffer(Buffer&& other) noexcept
    : device_(other.device_),
      data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(device_, other.device_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

namespace {

std::size_t bytes_of(DType dtype, std::int64_t size) {
  if (dtype == DType::i64) throw DTypeError("dtype", "float32 or float64", "int64");
  return static_cast<std::size_t>(element_count({size})) * size_of(dtype);
}

template <class To, class From>
std::vector<To> converted(const std::vector<From>& values) {
  return std::vector<To>(values.begin(), values.end());
}

}  // namespace

Vector::Vector(Device& device, DType dtype, std::int64_t size)
    : device_(&device), dtype_(dtype), size_(size), buffer_(device, bytes_of(dtype, size)) {
  kernels::Fill::Args zero{.y = Out(data()), .n = size};
  const std::lock_guard lock(device);
  device.kernels().get<kernels::Fill>(dtype)(device.stream(), zero);
}

std::vector<double> Vector::to_host() const {
  if (size_ == 0) return {};
  if (dtype_ == DType::f64) {
    std::vector<double> values(static_cast<std::size_t>(size_));
    device_->to_host(values.data(), data(), buffer_.bytes());
    return values;
  }
  std::vector<float> values(static_cast<std::size_t>(size_));
  device_->to_host(values.data(), data(), buffer_.bytes());
  return converted<double>(values);
}

void Vector::from_host(const std::vector<double>& values) {
  if (static_cast<std::int64_t>(values.size()) != size_) {
    throw ShapeError("values", "length " + std::to_string(size_),
                     "length " + std::to_string(values.size()));
  }
  if (size_ == 0) return;
  if (dtype_ == DType::f64) {
    device_->from_host(data(), values.data(), buffer_.bytes());
  } else {
    device_->from_host(data(), converted<float>(values).data(), buffer_.bytes());
  }
}

}  // namespace hesscore
