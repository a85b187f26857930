// Streams, captures and graphs of the emulator. Work is put off until somebody waits for it, as the
// host cannot know when a device does it; HESSCORE_EMULATOR_EAGER=1 does it at once.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "cuda_runtime_api.h"

struct CUgraphNode_st {
  std::vector<cudaGraphNode_t> after;
  std::function<void()> work;  // of a conditional node: null
  cudaGraphConditionalHandle loop = 0;
  cudaGraphConditionalNodeType kind = cudaGraphCondTypeWhile;
  std::shared_ptr<CUgraph_st> body;
  cudaGraph_t body_handle = nullptr;
};

struct CUgraph_st {
  std::vector<std::shared_ptr<CUgraphNode_st>> nodes;  // each behind those it comes after
  std::vector<cudaGraphConditionalHandle> loops;
};

namespace emulator {

using Work = std::function<void()>;
using Lock = std::lock_guard<std::recursive_mutex>;
std::recursive_mutex& mutex();  // held by every function of the interface

struct Capture {
  cudaGraph_t graph;
  bool owned;  // the graph is new
  cudaStream_t origin;
  cudaStreamCaptureMode mode;
  std::thread::id thread;
  cudaError_t failed = cudaSuccess;
  std::vector<cudaStream_t> streams;
};

// A moment of a stream: what was issued before it.
struct Moment {
  std::shared_ptr<CUstream_st> stream;
  std::uint64_t issued = 0;
};

}  // namespace emulator

struct CUstream_st {
  struct Step {
    emulator::Work work;
    std::vector<emulator::Moment> after;
  };
  unsigned flags = 0;
  std::deque<Step> steps;
  std::uint64_t issued = 0, done = 0;
  std::shared_ptr<emulator::Capture> capture;
  std::vector<cudaGraphNode_t> last;  // while captured: what the next node comes after
};

struct CUevent_st {
  emulator::Moment moment;
  std::shared_ptr<emulator::Capture> capture;
  std::vector<cudaGraphNode_t> nodes;
};

namespace emulator {

// The stream of that handle, or null.
std::shared_ptr<CUstream_st> find_stream(cudaStream_t stream);
cudaError_t issue(cudaStream_t stream, Work work, std::vector<Moment> after = {});
void run_until(const Moment& moment);
void run_everything();
cudaError_t run_stream(cudaStream_t stream);

// Is this call forbidden because this thread captures, or, if it is about the whole device, because
// any does? Then the capture fails.
bool spoils_capture(bool whole_device = false);
void fail_capture(Capture& capture, cudaError_t error);

// Makes `error` the last one of this thread, unless it is a success.
cudaError_t noted(cudaError_t error);

}  // namespace emulator
