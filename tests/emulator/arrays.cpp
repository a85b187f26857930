// Device arrays for programs that do not speak C++: memory, copies and streams by plain names.
#include <cstdint>

#include "cuda_runtime_api.h"

#define HC_EXPORT extern "C" __attribute__((visibility("default")))

HC_EXPORT void* hesscore_emulator_allocate(std::size_t bytes, cudaStream_t stream) {
  void* p = nullptr;
  if (cudaMallocAsync(&p, bytes, stream) == cudaSuccess) return p;
  cudaGetLastError();
  return nullptr;
}

HC_EXPORT int hesscore_emulator_free(void* p, cudaStream_t stream) {
  return cudaFreeAsync(p, stream);
}

// The host's side of a copy is free again when the call returns.
HC_EXPORT int hesscore_emulator_copy(void* to, const void* from, std::size_t bytes, int kind,
                                     cudaStream_t stream) {
  const cudaError_t error =
      cudaMemcpyAsync(to, from, bytes, static_cast<cudaMemcpyKind>(kind), stream);
  if (error != cudaSuccess || kind == cudaMemcpyDeviceToDevice) return error;
  return cudaStreamSynchronize(stream);
}

HC_EXPORT cudaStream_t hesscore_emulator_stream() {
  cudaStream_t stream = nullptr;
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  return stream;
}

// Work on `then` from here on waits for the work on `first` so far.
HC_EXPORT int hesscore_emulator_order(cudaStream_t first, cudaStream_t then) {
  cudaEvent_t event = nullptr;
  cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
  cudaEventRecord(event, first);
  const cudaError_t error = cudaStreamWaitEvent(then, event, 0);
  cudaEventDestroy(event);
  return error;
}

HC_EXPORT int hesscore_emulator_wait() { return cudaDeviceSynchronize(); }

// The current device of this thread.
HC_EXPORT int hesscore_emulator_device() {
  int device = -1;
  cudaGetDevice(&device);
  return device;
}
