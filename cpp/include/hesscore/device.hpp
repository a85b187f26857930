// Devices: where memory lives and where kernels run. The CPU is always there; CUDA is a plugin.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "hesscore/core.hpp"

namespace hesscore {

class KernelTable;

class HESSCORE_API Device {
 public:
  virtual ~Device();
  virtual std::string name() const = 0;         // "cpu", "cuda:0"
  virtual std::string description() const = 0;  // processor, kernel variant, threads
  virtual const KernelTable& kernels() const = 0;
  virtual void* allocate(std::size_t bytes) = 0;  // 64-byte aligned; throws OutOfMemoryError
  virtual void free(void* p) noexcept = 0;
  virtual void copy(void* to, const void* from, std::size_t bytes) = 0;  // both on this device
  virtual void from_host(void* to, const void* from, std::size_t bytes) = 0;
  virtual void to_host(void* to, const void* from, std::size_t bytes) = 0;
  virtual void* stream() const = 0;  // handed to every kernel; null on the CPU
  virtual void synchronize() = 0;
  virtual bool is_host() const = 0;  // may the host dereference its pointers?
};

// The device of that name ("cpu", "cuda", "cuda:1"). Throws DeviceError with the reason when it
// cannot be used, e.g. why the CUDA plugin did not load.
HESSCORE_API Device& device(std::string_view name);
HESSCORE_API std::vector<std::string> devices();

// One sentence: "available", or why the CUDA plugin is absent.
HESSCORE_API std::string cuda_status();

// A further folder to look for the CUDA plugin in; counts until the plugin is first needed.
HESSCORE_API void set_plugin_path(std::string folder);

// Threads used by the CPU device. Results do not depend on the number, bit for bit.
HESSCORE_API void set_num_threads(int n);
HESSCORE_API int num_threads();

// Memory owned on one device.
class HESSCORE_API Buffer {
 public:
  Buffer() = default;
  Buffer(Device& device, std::size_t bytes);
  ~Buffer();
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;

  void* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }

 private:
  Device* device_ = nullptr;
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace hesscore
