// Owners of CUDA's streams, events, graphs and pools, and a guard of the current device.
#pragma once

#include <cuda_runtime_api.h>

#include <memory>
#include <type_traits>

#include "check.hpp"

namespace hesscore::cuda {

template <class Handle, cudaError_t (*destroy)(Handle)>
struct Destroy {
  void operator()(Handle handle) const { ignore(destroy(handle)); }
};
template <class Handle, cudaError_t (*destroy)(Handle)>
using Owner = std::unique_ptr<std::remove_pointer_t<Handle>, Destroy<Handle, destroy>>;

using Stream = Owner<cudaStream_t, &cudaStreamDestroy>;
using Event = Owner<cudaEvent_t, &cudaEventDestroy>;
using Graph = Owner<cudaGraph_t, &cudaGraphDestroy>;
using GraphExec = Owner<cudaGraphExec_t, &cudaGraphExecDestroy>;
using MemPool = Owner<cudaMemPool_t, &cudaMemPoolDestroy>;

// Gives this thread its current device back.
class KeepDevice {
 public:
  KeepDevice() noexcept { ignore(cudaGetDevice(&device_)); }
  ~KeepDevice() {
    int now = device_;
    ignore(cudaGetDevice(&now));
    if (now != device_) ignore(cudaSetDevice(device_));
  }
  KeepDevice(const KeepDevice&) = delete;

 private:
  int device_ = 0;
};

inline Stream make_stream(unsigned flags) {
  cudaStream_t stream;
  check(cudaStreamCreateWithFlags(&stream, flags), "creating a stream");
  return Stream(stream);
}

inline Event make_event() {
  cudaEvent_t event;
  check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "creating an event");
  return Event(event);
}

}  // namespace hesscore::cuda
