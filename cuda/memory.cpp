// Memory: the pool, and functions of others.
#include "memory.hpp"

#include <cstdint>

namespace hesscore::cuda {

namespace {

// What the pool keeps for later when it is not in use; the rest goes back to the driver.
constexpr std::uint64_t kKeptBytes = std::uint64_t{1} << 30;

// The default pool of the device is for the process to set up.
MemPool make_pool(int device) {
  int supported = 0;
  check(cudaDeviceGetAttribute(&supported, cudaDevAttrMemoryPoolsSupported, device),
        "asking for memory pools");
  if (!supported) return nullptr;
  cudaMemPoolProps properties{};
  properties.allocType = cudaMemAllocationTypePinned;
  properties.location = {cudaMemLocationTypeDevice, device};
  cudaMemPool_t pool;
  check(cudaMemPoolCreate(&pool, &properties), "making a memory pool");
  MemPool owner(pool);
  std::uint64_t kept = kKeptBytes;
  check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &kept),
        "setting up the memory pool");
  return owner;
}

}  // namespace

Memory::Memory(int device) : device_(device), pool_(make_pool(device)) {}

void* Memory::from_pool(std::size_t bytes, cudaStream_t stream) {
  void* p = nullptr;
  const cudaError_t error =
      pool_ ? cudaMallocFromPoolAsync(&p, bytes, pool_.get(), stream) : cudaMalloc(&p, bytes);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // forget it: the next check is about the next call
    return nullptr;
  }
  check(error, "allocating memory");
  return p;
}

void* Memory::allocate(std::size_t bytes, cudaStream_t stream) {
  const std::size_t wanted = bytes == 0 ? 1 : bytes;  // so that there is always an address
  Allocate allocate;
  Free free;
  {
    const std::lock_guard lock(mutex_);
    allocate = allocate_;
    free = free_;
  }
  void* const p = allocate ? allocate(wanted) : from_pool(wanted, stream);
  if (p == nullptr) {
    throw OutOfMemoryError("cannot allocate " + std::to_string(bytes) +
                           " bytes on cuda:" + std::to_string(device_));
  }
  if (allocate) {
    const std::lock_guard lock(mutex_);
    given_.emplace(p, std::move(free));
  }
  return p;
}

void Memory::free(void* p, cudaStream_t stream) noexcept {
  if (p == nullptr) return;
  Free free;
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = given_.find(p); found != given_.end()) {
      free = std::move(found->second);
      given_.erase(found);
    }
  }
  if (free) {  // its next owner may work on another stream
    ignore(cudaStreamSynchronize(stream));
    free(p);
  } else if (pool_) {
    ignore(cudaFreeAsync(p, stream));
  } else {
    ignore(cudaFree(p));
  }
}

void Memory::use(Allocate allocate, Free free) {
  const std::lock_guard lock(mutex_);
  allocate_ = std::move(allocate);
  free_ = std::move(free);
}

}  // namespace hesscore::cuda
