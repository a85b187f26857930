// Owners of CUDA's streams, events and graphs.
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
