// Devices, errors, memory and copies of the run-time interface.
#include <cstdlib>
#include <cstring>

#include "block.hpp"
#include "memory.hpp"
#include "report.hpp"
#include "stream.hpp"

struct CUmemPoolHandle_st {
  int device;
};

namespace {

using emulator::device_memory;
using emulator::Lock;
using emulator::noted;
using emulator::pinned_memory;

// Another library of the process would take it for its own.
struct LastError {
  cudaError_t code = cudaSuccess;
  ~LastError() {
    if (code != cudaSuccess) emulator::die("%s was left behind", cudaGetErrorName(code));
  }
};
thread_local LastError last_error;

// HESSCORE_EMULATOR_DEVICES, or one. They share memory and streams.
int devices() {
  const char* const set = std::getenv("HESSCORE_EMULATOR_DEVICES");
  return set == nullptr ? 1 : std::atoi(set);
}
thread_local int current_device = 0;

struct Named {
  cudaError_t error;
  const char *name, *text;
};
#define HC_ERROR(name, text) {name, #name, text}
constexpr Named kErrors[] = {
    HC_ERROR(cudaSuccess, "no error"),
    HC_ERROR(cudaErrorInvalidValue, "invalid argument"),
    HC_ERROR(cudaErrorMemoryAllocation, "out of memory"),
    HC_ERROR(cudaErrorInvalidConfiguration, "invalid configuration argument"),
    HC_ERROR(cudaErrorInvalidDevice, "invalid device ordinal"),
    HC_ERROR(cudaErrorInvalidResourceHandle, "invalid resource handle"),
    HC_ERROR(cudaErrorNotReady, "device not ready"),
    HC_ERROR(cudaErrorNotSupported, "operation not supported"),
    HC_ERROR(cudaErrorStreamCaptureUnsupported, "operation not permitted when stream is capturing"),
    HC_ERROR(cudaErrorStreamCaptureInvalidated,
             "operation failed due to a previous error during capture"),
    HC_ERROR(cudaErrorStreamCaptureUnjoined, "capturing stream has unjoined work"),
    HC_ERROR(cudaErrorStreamCaptureImplicit,
             "operation would make the legacy stream depend on a capturing blocking stream"),
    HC_ERROR(cudaErrorCapturedEvent,
             "operation not permitted on an event last recorded in a capturing stream"),
};
#undef HC_ERROR

const Named& describe(cudaError_t error) {
  static constexpr Named kOther{cudaSuccess, "cudaErrorUnknown", "unknown error"};
  for (const Named& one : kErrors) {
    if (one.error == error) return one;
  }
  return kOther;
}

bool pageable(const void* p) {
  return !device_memory().contains(p) && !pinned_memory().contains(p);
}

// Does the address lie where the direction of a copy says, with as many bytes behind it?
bool fits(const void* p, std::size_t bytes, bool on_device) {
  if (device_memory().contains(p)) return on_device && device_memory().owns(p, bytes);
  if (pinned_memory().contains(p)) return pinned_memory().owns(p, bytes);
  return !on_device;
}

bool fits(const void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  if (kind == cudaMemcpyDefault) {
    return fits(to, bytes, device_memory().contains(to)) &&
           fits(from, bytes, device_memory().contains(from));
  }
  return fits(to, bytes, kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice) &&
         fits(from, bytes, kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice);
}

}  // namespace

cudaError_t emulator::noted(cudaError_t error) {
  if (error != cudaSuccess) last_error.code = error;
  return error;
}

// ---- devices and errors -------------------------------------------------------------------------

cudaError_t cudaGetLastError() { return std::exchange(last_error.code, cudaSuccess); }
cudaError_t cudaPeekAtLastError() { return last_error.code; }
const char* cudaGetErrorName(cudaError_t error) { return describe(error).name; }
const char* cudaGetErrorString(cudaError_t error) { return describe(error).text; }

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) { return cudaRuntimeGetVersion(version); }

cudaError_t cudaGetDeviceCount(int* count) {
  *count = devices();
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = current_device;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= devices()) return noted(cudaErrorInvalidDevice);
  current_device = device;
  return cudaSuccess;
}
cudaError_t cudaInitDevice(int device, unsigned, unsigned) { return cudaSetDevice(device); }

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      *value = 1024;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = 48 * 1024;
      break;
    case cudaDevAttrWarpSize:
      *value = 32;
      break;
    case cudaDevAttrMultiProcessorCount:
      *value = 4;
      break;  // so that grids stride in tests
    case cudaDevAttrL2CacheSize:
      *value = 50 << 20;
      break;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      *value = 2048;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = 9;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = 0;
      break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      *value = 228 * 1024;
      break;
    case cudaDevAttrPageableMemoryAccess:
      *value = 0;
      break;
    case cudaDevAttrCooperativeLaunch:
      *value = 0;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = emulator::kMaxSharedBytes;
      break;
    case cudaDevAttrMemoryPoolsSupported:
      *value = 1;
      break;
  }
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device < 0 || device >= devices()) return noted(cudaErrorInvalidDevice);
  *properties = {};
  std::strcpy(properties->name, "Emulated GPU");
  properties->totalGlobalMem = device_memory().capacity();
  properties->warpSize = 32;
  properties->major = 9;
  properties->maxThreadsPerBlock = 1024;
  properties->sharedMemPerBlock = 48 * 1024;
  properties->sharedMemPerBlockOptin = emulator::kMaxSharedBytes;
  cudaDeviceGetAttribute(&properties->multiProcessorCount, cudaDevAttrMultiProcessorCount, 0);
  cudaDeviceGetAttribute(&properties->l2CacheSize, cudaDevAttrL2CacheSize, 0);
  return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute attribute, int value) {
  const bool too_much = attribute == cudaFuncAttributeMaxDynamicSharedMemorySize &&
                        value > static_cast<int>(emulator::kMaxSharedBytes);
  return noted(too_much ? cudaErrorInvalidValue : cudaSuccess);
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void*, int threads,
                                                          std::size_t shared_bytes) {
  const auto room = static_cast<int>(228 * 1024 / (shared_bytes + 1024));
  *blocks = std::min({32, 2048 / threads, room});
  return cudaSuccess;
}

// ---- memory -------------------------------------------------------------------------------------

cudaError_t cudaMalloc(void** p, std::size_t bytes) {
  const Lock lock(emulator::mutex());
  *p = nullptr;
  if (emulator::spoils_capture()) return noted(cudaErrorStreamCaptureUnsupported);
  if (bytes == 0) return cudaSuccess;
  *p = device_memory().allocate(bytes);
  return noted(*p ? cudaSuccess : cudaErrorMemoryAllocation);
}

cudaError_t cudaFree(void* p) {
  const Lock lock(emulator::mutex());
  if (p == nullptr) return cudaSuccess;
  if (emulator::spoils_capture()) return noted(cudaErrorStreamCaptureUnsupported);
  emulator::run_everything();
  return noted(device_memory().release(p) ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaMallocAsync(void** p, std::size_t bytes, cudaStream_t stream) {
  const Lock lock(emulator::mutex());
  const auto found = emulator::find_stream(stream);
  if (!found) return noted(cudaErrorInvalidResourceHandle);
  if (found->capture) {  // would be a node that loops may not have
    emulator::fail_capture(*found->capture, cudaErrorStreamCaptureUnsupported);
    return noted(cudaErrorStreamCaptureUnsupported);
  }
  *p = nullptr;
  if (bytes == 0) return cudaSuccess;
  *p = device_memory().allocate(bytes);
  return noted(*p ? cudaSuccess : cudaErrorMemoryAllocation);
}

cudaError_t cudaFreeAsync(void* p, cudaStream_t stream) {
  const Lock lock(emulator::mutex());
  if (p == nullptr) return cudaSuccess;
  if (!device_memory().owns(p, 0)) return noted(cudaErrorInvalidValue);
  return noted(emulator::issue(stream, [p] { device_memory().release(p); }));
}

cudaError_t cudaHostAlloc(void** p, std::size_t bytes, unsigned) {
  const Lock lock(emulator::mutex());
  if (emulator::spoils_capture()) return noted(cudaErrorStreamCaptureUnsupported);
  *p = pinned_memory().allocate(bytes);
  return noted(*p ? cudaSuccess : cudaErrorMemoryAllocation);
}

cudaError_t cudaMallocHost(void** p, std::size_t bytes) { return cudaHostAlloc(p, bytes, 0); }

cudaError_t cudaFreeHost(void* p) {
  const Lock lock(emulator::mutex());
  if (p == nullptr) return cudaSuccess;
  if (emulator::spoils_capture()) return noted(cudaErrorStreamCaptureUnsupported);
  emulator::run_everything();
  return noted(pinned_memory().release(p) ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaHostGetDevicePointer(void** device, void* host, unsigned) {
  *device = host;
  return noted(pinned_memory().contains(host) ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  const Lock lock(emulator::mutex());
  *free = device_memory().available();
  *total = device_memory().capacity();
  return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* p) {
  const Lock lock(emulator::mutex());
  void* const address = const_cast<void*>(p);
  *attributes = {cudaMemoryTypeUnregistered, -2, nullptr, address, {}};
  if (device_memory().owns(p, 0)) *attributes = {cudaMemoryTypeDevice, 0, address, nullptr, {}};
  if (pinned_memory().owns(p, 0)) *attributes = {cudaMemoryTypeHost, 0, address, address, {}};
  return cudaSuccess;
}

cudaError_t cudaMemPoolCreate(cudaMemPool_t* pool, const cudaMemPoolProps* properties) {
  const auto [type, device] = properties->location;
  const bool valid = properties->allocType == cudaMemAllocationTypePinned &&
                     type == cudaMemLocationTypeDevice && device >= 0 && device < devices();
  if (!valid) return noted(cudaErrorInvalidValue);
  *pool = new CUmemPoolHandle_st{device};
  return cudaSuccess;
}
cudaError_t cudaMemPoolDestroy(cudaMemPool_t pool) {
  delete pool;
  return cudaSuccess;
}
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, cudaMemPoolAttr, void*) {
  return noted(pool ? cudaSuccess : cudaErrorInvalidValue);
}
cudaError_t cudaMallocFromPoolAsync(void** p, std::size_t bytes, cudaMemPool_t pool,
                                    cudaStream_t stream) {
  return pool ? cudaMallocAsync(p, bytes, stream) : noted(cudaErrorInvalidValue);
}

// ---- copies -------------------------------------------------------------------------------------

// A copy from or to memory that is not page-locked is over when the call returns.
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  const Lock lock(emulator::mutex());
  if (bytes == 0) return cudaSuccess;
  if (!fits(to, from, bytes, kind)) return noted(cudaErrorInvalidValue);
  const auto found = emulator::find_stream(stream);
  const cudaError_t error = emulator::issue(stream, [=] { std::memmove(to, from, bytes); });
  if (error || found->capture || (!pageable(to) && !pageable(from))) return noted(error);
  return noted(emulator::run_stream(stream));
}

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  const Lock lock(emulator::mutex());
  const cudaError_t error = cudaMemcpyAsync(to, from, bytes, kind, cudaStreamLegacy);
  return error ? error : noted(emulator::run_stream(cudaStreamLegacy));
}

cudaError_t cudaMemsetAsync(void* p, int value, std::size_t bytes, cudaStream_t stream) {
  const Lock lock(emulator::mutex());
  if (bytes == 0) return cudaSuccess;
  if (!fits(p, bytes, device_memory().contains(p)) || pageable(p)) {
    return noted(cudaErrorInvalidValue);
  }
  return noted(emulator::issue(stream, [=] { std::memset(p, value, bytes); }));
}

cudaError_t cudaMemset(void* p, int value, std::size_t bytes) {
  return cudaMemsetAsync(p, value, bytes, cudaStreamLegacy);
}
