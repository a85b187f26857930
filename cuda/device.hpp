// One GPU as a Device.
#pragma once

#include <atomic>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "backend/kernel_table.hpp"
#include "context.hpp"
#include "handles.hpp"
#include "hesscore/device.hpp"
#include "memory.hpp"
#include "product/lt.hpp"

namespace hesscore::cuda {

// Throws DeviceError in a child of the process that called it first: CUDA does not survive a fork.
void check_process();

class CudaDevice final : public Device {
 public:
  explicit CudaDevice(int index);

  std::string name() const override { return "cuda:" + std::to_string(context_.device); }
  std::string description() const override;
  const KernelTable& kernels(Precision precision) const override;
  bool is_host() const override { return false; }

  void* allocate(std::size_t bytes) override;
  void free(void* p) noexcept override;
  void set_allocator(Memory::Allocate allocate, Memory::Free free) override;

  void copy(void* to, const void* from, std::size_t bytes) override;
  void from_host(void* to, const void* from, std::size_t bytes) override;
  void to_host(void* to, const void* from, std::size_t bytes) override;

  void* stream() const override;
  void synchronize() override;
  void* use_stream(void* stream) override;
  void lock() override;
  void unlock() override;

  std::unique_ptr<Recording> record(const std::function<void()>& work) override;
  std::unique_ptr<Recording> record_loop(const std::function<void()>& work, const void* go_on,
                                         std::int64_t limit) override;
  bool recording() const override { return context_.recording(); }

  void clear_alarm() override;
  bool alarm() override;

  void* allocate_host(std::size_t bytes) override;
  void free_host(void* p) noexcept override;
  void upload(void* to, const void* from, std::size_t bytes) override;
  void wait_uploads() override;

 private:
  void enter() const;
  void enter_outside_recordings(const char* operation) const;
  bool elsewhere() const;
  void free_left() noexcept;
  // Work on `then` waits for that on `first`.
  cudaError_t order(cudaStream_t first, cudaStream_t then) noexcept;

  Context context_;
  Lt lt_;
  Memory memory_;
  // Ours is ordered with the default stream of the process and, unlike that one, has a name.
  Stream own_, recorder_, uploads_;
  void* given_ = nullptr;  // by use_stream
  // Where work goes when none is recorded. Threads that allocate and free read it without the lock
  // of the device.
  std::atomic<cudaStream_t> current_ = nullptr;
  std::thread::id user_;     // who chose it
  std::vector<void*> left_;  // for that thread to free, as nobody else can name its own stream
  std::atomic<bool> uploading_ = false;  // is there an upload that no work waits for yet?
  Event order_, used_, arrived_[2];
  int* alarm_seen_ = nullptr;  // on the host
  std::recursive_mutex mutex_;
  int locked_ = 0;                    // so often by its owner,
  std::optional<KeepDevice> owners_;  // whose current device this keeps
  std::mutex order_mutex_;            // of order_, user_, left_ and changes of current_
  KernelTable fp32_, tf32_;
};

}  // namespace hesscore::cuda
