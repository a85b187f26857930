// Devices: where memory lives and where kernels run. The CPU is always there; CUDA is a plugin.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "hesscore/core.hpp"

namespace hesscore {

class KernelTable;

// How products of float32 arrays are computed; float64 is float64. tf32: operands rounded to 11
// bits for the tensor cores of a GPU, sums in float32; other devices take it for fp32.
enum class Precision : std::uint8_t { fp32, tf32 };

// Work that was recorded once and is launched as one.
class HESSCORE_API Recording {
 public:
  virtual ~Recording();
  virtual void launch() = 0;
};

class HESSCORE_API Device {
 public:
  virtual ~Device();
  virtual std::string name() const = 0;         // "cpu", "cuda:0"
  virtual std::string description() const = 0;  // processor, kernel variant, threads
  virtual const KernelTable& kernels(Precision precision) const = 0;
  const KernelTable& kernels() const { return kernels(Precision::fp32); }
  virtual void* allocate(std::size_t bytes) = 0;  // 64-byte aligned; throws OutOfMemoryError
  virtual void free(void* p) noexcept = 0;
  virtual void copy(void* to, const void* from, std::size_t bytes) = 0;  // both on this device
  virtual void from_host(void* to, const void* from, std::size_t bytes) = 0;
  virtual void to_host(void* to, const void* from, std::size_t bytes) = 0;
  virtual void* stream() const = 0;  // handed to every kernel; null on the CPU
  virtual void synchronize() = 0;
  virtual bool is_host() const = 0;  // may the host dereference its pointers?

  // ---- devices that run behind the host's back; the CPU does none of this ----

  // Work from here on, on this thread, is ordered on the given stream of the device (a
  // cudaStream_t; null: a stream of our own, ordered with the default stream). Returns the one
  // before.
  virtual void* use_stream(void* stream);
  // Other threads that use the device wait between these two, which nest. What is called on a
  // device, an objective or a vector does so by itself; allocating and freeing wait for nobody.
  virtual void lock();
  virtual void unlock();

  // Records the kernel calls and copies that `work` makes, without running them. Null if this
  // device or this work cannot be recorded: then call `work` itself. Work must have run once
  // before.
  virtual std::unique_ptr<Recording> record(const std::function<void()>& work);
  // The same for a loop: `work` is repeated while the int32 at `go_on`, on the device, is not zero
  // after it, at most `limit` times, without asking the host.
  virtual std::unique_ptr<Recording> record_loop(const std::function<void()>& work,
                                                 const void* go_on, std::int64_t limit);
  // Does this thread record work now? Then nothing may be allocated, read back, or launched as a
  // whole.
  virtual bool recording() const;

  // The alarm: raised by kernels that write something to an Out with `watch` whose magnitude is not
  // at most 1e18 (float64: 1e153). Reading waits for the work before it.
  virtual void clear_alarm();
  virtual bool alarm();

  // Host memory that copies to the device can overlap with work, and such copies. wait_uploads():
  // work from here on waits for the uploads so far, uploads from here on wait for the work so far,
  // and the host waits for the uploads before the last call, whose sources may then change. So two
  // buffers on either side are enough for a batch to arrive while the one before it is in use.
  virtual void* allocate_host(std::size_t bytes);
  virtual void free_host(void* p) noexcept;
  virtual void upload(void* to, const void* from, std::size_t bytes);
  virtual void wait_uploads();

  // Memory allocated from here on comes from these, e.g. from a pool that another library shares;
  // `allocate` returns null when there is no more. Without them: from the device itself, as at
  // first. They are called on any thread.
  virtual void set_allocator(std::function<void*(std::size_t)> allocate,
                             std::function<void(void*)> free);
};

// Orders work on the caller's stream, and keeps other threads off the device, for its lifetime.
class HESSCORE_API StreamScope {
 public:
  StreamScope(Device& device, void* stream);
  ~StreamScope();
  StreamScope(const StreamScope&) = delete;

 private:
  Device& device_;
  void* before_;
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
