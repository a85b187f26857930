// One GPU as a Device: memory, copies, streams, uploads and the alarm.
#include "device.hpp"

#include <unistd.h>

#include <utility>

#include "bytes.hpp"
#include "graph.hpp"
#include "register.hpp"

namespace hesscore::cuda {

namespace {

constexpr std::size_t kTicketBytes = Context::kTickets * sizeof(unsigned);

int attribute(cudaDeviceAttr which, int device) {
  int value = 0;
  check(cudaDeviceGetAttribute(&value, which, device), "asking for a property of the device");
  return value;
}

KernelTable make_table(Precision precision) {
  KernelTable table;
  register_all(table, precision);
  return table;
}

// Is this a child of the process that asked first?
bool is_child() {
  static const pid_t first = getpid();
  return getpid() != first;
}

}  // namespace

void check_process() {
  if (!is_child()) return;
  throw DeviceError(
      "CUDA was started before this process was forked, and does not work in the child: start "
      "workers with the method 'spawn'");
}

CudaDevice::CudaDevice(int index)
    : memory_((check_process(), index)),
      fp32_(make_table(Precision::fp32)),
      tf32_(make_table(Precision::tf32)) {
  const KeepDevice keep;
  context_.device = index;
  enter();
  own_ = make_stream(cudaStreamDefault);
  recorder_ = make_stream(cudaStreamNonBlocking);
  uploads_ = make_stream(cudaStreamNonBlocking);
  for (Event* const event : {&order_, &used_, &arrived_[0], &arrived_[1]}) *event = make_event();
  context_.stream = own_.get();
  current_ = context_.stream;

  context_.multiprocessors = attribute(cudaDevAttrMultiProcessorCount, index);
  // as cuBLAS recommends
  const bool hopper = attribute(cudaDevAttrComputeCapabilityMajor, index) >= 9;
  context_.workspace_bytes = std::size_t{hopper ? 32u : 8u} << 20;
  context_.workspace = allocate(context_.workspace_bytes);
  context_.tickets = static_cast<unsigned*>(allocate(kTicketBytes));
  context_.lt = &lt_;
  context_.alarm = static_cast<int*>(allocate(sizeof(int)));
  alarm_seen_ = static_cast<int*>(allocate_host(sizeof(int)));
  check(cudaMemsetAsync(context_.tickets, 0, kTicketBytes, current_), "clearing memory");
  clear_alarm();
}

void CudaDevice::enter() const {
  check_process();
  check(cudaSetDevice(context_.device), "choosing the device");
}

void CudaDevice::enter_outside_recordings(const char* operation) const {
  enter();
  if (!context_.recording()) return;
  throw DeviceError(std::string(operation) + " cannot be part of a recording");
}

std::string CudaDevice::description() const {
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, context_.device), "describing the device");
  return std::string(properties.name) + ", compute capability " + std::to_string(properties.major) +
         '.' + std::to_string(properties.minor);
}

const KernelTable& CudaDevice::kernels(Precision precision) const {
  return precision == Precision::tf32 ? tf32_ : fp32_;
}

void* CudaDevice::allocate(std::size_t bytes) {
  const KeepDevice keep;
  enter_outside_recordings("allocating memory");
  std::unique_lock lock(order_mutex_);
  const cudaStream_t stream = elsewhere() ? own_.get() : current_.load();
  lock.unlock();
  void* const p = memory_.allocate(bytes, stream);
  check(order(stream, uploads_.get()), "ordering streams");
  return p;
}

// Is the current stream another thread's own? Its name would mean ours here.
bool CudaDevice::elsewhere() const {
  return current_ == cudaStreamPerThread && user_ != std::this_thread::get_id();
}

void CudaDevice::free(void* p) noexcept {
  if (is_child()) return;
  std::unique_lock lock(order_mutex_);
  if (elsewhere()) return left_.push_back(p);
  const cudaStream_t stream = current_;
  lock.unlock();
  const KeepDevice keep;
  ignore(cudaSetDevice(context_.device));
  if (uploading_) ignore(order(uploads_.get(), stream));
  memory_.free(p, stream);
}

void CudaDevice::free_left() noexcept {
  std::unique_lock lock(order_mutex_);
  const std::vector<void*> left = std::exchange(left_, {});
  lock.unlock();
  for (void* const p : left) free(p);
}

void CudaDevice::set_allocator(Memory::Allocate allocate, Memory::Free free) {
  memory_.use(std::move(allocate), std::move(free));
}

// ---- copies -------------------------------------------------------------------------------------

void CudaDevice::copy(void* to, const void* from, std::size_t bytes) {
  const std::lock_guard lock(*this);
  enter();
  if (bytes == 0) return;
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, context_.stream), "copying");
}

void CudaDevice::from_host(void* to, const void* from, std::size_t bytes) {
  const std::lock_guard lock(*this);
  enter_outside_recordings("a copy from the host");
  if (bytes == 0) return;
  if (bytes <= kMaxBytes) return write_bytes(context_, to, from, bytes);
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, current_),
        "copying to the device");
  synchronize();
}

void CudaDevice::to_host(void* to, const void* from, std::size_t bytes) {
  const std::lock_guard lock(*this);
  enter_outside_recordings("a copy to the host");
  if (bytes == 0) return;
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, current_), "copying to the host");
  synchronize();
}

// ---- streams ------------------------------------------------------------------------------------

void* CudaDevice::stream() const {
  enter();
  return const_cast<Context*>(&context_);
}

void CudaDevice::synchronize() {
  const std::lock_guard lock(*this);
  enter_outside_recordings("waiting for the device");
  check(cudaStreamSynchronize(current_), "waiting for the device");
}

cudaError_t CudaDevice::order(cudaStream_t first, cudaStream_t then) noexcept {
  const std::lock_guard lock(order_mutex_);
  const cudaError_t error = cudaEventRecord(order_.get(), first);
  return error != cudaSuccess ? error : cudaStreamWaitEvent(then, order_.get(), 0);
}

void* CudaDevice::use_stream(void* stream) {
  const std::lock_guard lock(*this);
  enter();
  if (context_.recording()) return given_;
  const auto asked = static_cast<cudaStream_t>(stream);
  const bool named = asked != nullptr && asked != cudaStreamLegacy;
  const cudaStream_t next = named ? asked : own_.get();
  free_left();
  // before anything changes, as it may fail
  if (next != current_) check(order(current_, next), "ordering streams");
  const std::lock_guard order_lock(order_mutex_);
  context_.stream = current_ = next;
  user_ = std::this_thread::get_id();
  return std::exchange(given_, named ? stream : nullptr);
}

void CudaDevice::lock() {
  check_process();  // another thread of the parent may have held it
  mutex_.lock();
  if (locked_++ == 0) owners_.emplace();
}

void CudaDevice::unlock() {
  if (--locked_ == 0) owners_.reset();
  mutex_.unlock();
}

std::unique_ptr<Recording> CudaDevice::record(const std::function<void()>& work) {
  const std::lock_guard lock(*this);
  enter_outside_recordings("a recording");
  return record_graph(*this, context_, recorder_.get(), work);
}

std::unique_ptr<Recording> CudaDevice::record_loop(const std::function<void()>& work,
                                                   const void* go_on, std::int64_t limit) {
  const std::lock_guard lock(*this);
  enter_outside_recordings("a recording");
  return record_loop_graph(*this, context_, recorder_.get(), work, static_cast<const int*>(go_on),
                           limit);
}

// ---- the alarm ----------------------------------------------------------------------------------

void CudaDevice::clear_alarm() {
  const std::lock_guard lock(*this);
  enter();
  check(cudaMemsetAsync(context_.alarm, 0, sizeof(int), context_.stream), "clearing the alarm");
}

bool CudaDevice::alarm() {
  const std::lock_guard lock(*this);
  to_host(alarm_seen_, context_.alarm, sizeof(int));
  return *alarm_seen_ != 0;
}

// ---- uploads ------------------------------------------------------------------------------------

void* CudaDevice::allocate_host(std::size_t bytes) {
  const KeepDevice keep;
  enter();
  void* p = nullptr;
  const cudaError_t error =
      cudaHostAlloc(&p, bytes == 0 ? 1 : bytes, cudaHostAllocMapped | cudaHostAllocPortable);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    throw OutOfMemoryError("cannot allocate " + std::to_string(bytes) +
                           " bytes of page-locked host memory");
  }
  check(error, "allocating page-locked host memory");
  return p;
}

void CudaDevice::free_host(void* p) noexcept { ignore(cudaFreeHost(p)); }

void CudaDevice::upload(void* to, const void* from, std::size_t bytes) {
  const std::lock_guard lock(*this);
  enter_outside_recordings("an upload");
  if (bytes == 0) return;
  uploading_ = true;
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, uploads_.get()), "an upload");
}

void CudaDevice::wait_uploads() {
  const std::lock_guard lock(*this);
  enter_outside_recordings("waiting for uploads");
  check(cudaEventRecord(used_.get(), current_), "recording an event");
  check(cudaEventRecord(arrived_[0].get(), uploads_.get()), "recording an event");
  check(cudaStreamWaitEvent(current_, arrived_[0].get(), 0), "waiting for an event");
  uploading_ = false;
  check(cudaStreamWaitEvent(uploads_.get(), used_.get(), 0), "waiting for an event");
  std::swap(arrived_[0], arrived_[1]);
  check(cudaEventSynchronize(arrived_[0].get()), "waiting for an upload");
}

}  // namespace hesscore::cuda
