// Captured graphs: their nodes are run again in one of the orders that their edges allow.
#include <algorithm>
#include <map>

#include "memory.hpp"
#include "report.hpp"
#include "stream.hpp"

namespace {

using emulator::Lock;
using emulator::noted;
using Nodes = std::vector<std::shared_ptr<CUgraphNode_st>>;

constexpr long kMostRounds = 1000000;

struct Loop {
  unsigned value, initial;
  bool assigned;      // initial at every launch
  bool alive = true;  // has its graph not been destroyed?
};

std::map<cudaGraphConditionalHandle, Loop>& loops() {
  static auto* const all = new std::map<cudaGraphConditionalHandle, Loop>;
  return *all;
}

// The order of creation, or, at every other launch, of nodes that are ready the latest.
Nodes ordered(const Nodes& nodes, bool latest_first) {
  if (!latest_first) return nodes;
  Nodes left = nodes, order;
  std::vector<const CUgraphNode_st*> done;
  const auto ready = [&](const std::shared_ptr<CUgraphNode_st>& node) {
    return std::all_of(node->after.begin(), node->after.end(), [&](const CUgraphNode_st* before) {
      return std::find(done.begin(), done.end(), before) != done.end();
    });
  };
  while (!left.empty()) {
    const auto next = std::find_if(left.rbegin(), left.rend(), ready);
    if (next == left.rend()) emulator::die("a graph has a cycle");
    done.push_back(next->get());
    order.push_back(*next);
    left.erase(std::next(next).base());
  }
  return order;
}

void run(const Nodes& nodes) {
  static unsigned launches = 0;
  for (const auto& node : ordered(nodes, launches++ % 2 == 1)) {
    if (node->work) node->work();
    if (!node->body) continue;
    const Loop& loop = loops().at(node->loop);
    if (node->kind == cudaGraphCondTypeIf) {
      if (loop.value != 0) run(node->body->nodes);
      continue;
    }
    for (long round = 0; loop.value != 0; ++round) {
      if (round == kMostRounds) emulator::die("a loop does not end");
      run(node->body->nodes);
    }
  }
}

bool comes_after(const CUgraphNode_st* late, const CUgraphNode_st* early) {
  return late == early || std::any_of(late->after.begin(), late->after.end(),
                                      [&](auto* before) { return comes_after(before, early); });
}

// Did every stream of the capture come back to the one it began with?
bool joined(const emulator::Capture& capture) {
  for (const cudaStream_t stream : capture.streams) {
    for (const CUgraphNode_st* node : stream->last) {
      const auto& last = capture.origin->last;
      if (!std::any_of(last.begin(), last.end(), [&](auto* n) { return comes_after(n, node); })) {
        return false;
      }
    }
  }
  return true;
}

bool loops_inside(const Nodes& nodes) {
  return std::any_of(nodes.begin(), nodes.end(), [](const auto& n) { return n->body != nullptr; });
}

}  // namespace

struct CUgraphExec_st {
  Nodes nodes;
  std::vector<cudaGraphConditionalHandle> loops;
};

// ---- capture ------------------------------------------------------------------------------------

static cudaError_t begin_capture(cudaStream_t handle, cudaGraph_t graph, cudaStreamCaptureMode mode,
                                 std::vector<cudaGraphNode_t> after) {
  const auto stream = emulator::find_stream(handle);
  if (!stream) return cudaErrorInvalidResourceHandle;
  if (handle == nullptr || handle == cudaStreamLegacy) return cudaErrorStreamCaptureUnsupported;
  if (stream->capture) return cudaErrorInvalidValue;
  auto capture = std::make_shared<emulator::Capture>();
  capture->owned = graph == nullptr;
  capture->graph = graph ? graph : new CUgraph_st;
  capture->origin = stream.get();
  capture->mode = mode;
  capture->thread = std::this_thread::get_id();
  capture->streams = {stream.get()};
  stream->capture = std::move(capture);
  stream->last = std::move(after);
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  const Lock lock(emulator::mutex());
  return noted(begin_capture(stream, nullptr, mode, {}));
}

cudaError_t cudaStreamBeginCaptureToGraph(cudaStream_t stream, cudaGraph_t graph,
                                          const cudaGraphNode_t* dependencies,
                                          const cudaGraphEdgeData*, std::size_t count,
                                          cudaStreamCaptureMode mode) {
  const Lock lock(emulator::mutex());
  if (graph == nullptr) return noted(cudaErrorInvalidValue);
  return noted(begin_capture(stream, graph, mode, {dependencies, dependencies + count}));
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  const Lock lock(emulator::mutex());
  const auto stream = emulator::find_stream(handle);
  if (!stream) return noted(cudaErrorInvalidResourceHandle);
  const auto capture = stream->capture;
  if (!capture) return noted(cudaErrorInvalidValue);
  if (capture->origin != stream.get()) return noted(cudaErrorStreamCaptureUnmatched);
  cudaError_t error = capture->failed ? cudaErrorStreamCaptureInvalidated : cudaSuccess;
  if (!error && !joined(*capture)) error = cudaErrorStreamCaptureUnjoined;
  for (const cudaStream_t member : capture->streams) {
    member->capture = nullptr;
    member->last.clear();
  }
  *graph = error ? nullptr : capture->graph;
  if (error && capture->owned) delete capture->graph;
  return noted(error);
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  return cudaStreamGetCaptureInfo(stream, status);
}

cudaError_t cudaStreamGetCaptureInfo(cudaStream_t handle, cudaStreamCaptureStatus* status,
                                     unsigned long long* id, cudaGraph_t* graph,
                                     const cudaGraphNode_t** dependencies,
                                     const cudaGraphEdgeData** edges, std::size_t* count) {
  const Lock lock(emulator::mutex());
  const auto stream = emulator::find_stream(handle);
  if (!stream) return noted(cudaErrorInvalidResourceHandle);
  *status = cudaStreamCaptureStatusNone;
  if (!stream->capture) return cudaSuccess;
  *status =
      stream->capture->failed ? cudaStreamCaptureStatusInvalidated : cudaStreamCaptureStatusActive;
  if (id) *id = reinterpret_cast<std::uintptr_t>(stream->capture.get());
  if (graph) *graph = stream->capture->graph;
  if (dependencies) *dependencies = stream->last.data();
  if (edges) *edges = nullptr;
  if (count) *count = stream->last.size();
  return cudaSuccess;
}

cudaError_t cudaStreamUpdateCaptureDependencies(cudaStream_t handle, cudaGraphNode_t* dependencies,
                                                const cudaGraphEdgeData*, std::size_t count,
                                                unsigned flags) {
  const Lock lock(emulator::mutex());
  const auto stream = emulator::find_stream(handle);
  if (!stream || !stream->capture) return noted(cudaErrorInvalidValue);
  if (flags == cudaStreamSetCaptureDependencies) stream->last.clear();
  stream->last.insert(stream->last.end(), dependencies, dependencies + count);
  return cudaSuccess;
}

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  thread_local cudaStreamCaptureMode current = cudaStreamCaptureModeGlobal;
  std::swap(*mode, current);
  return cudaSuccess;
}

// ---- graphs -------------------------------------------------------------------------------------

cudaError_t cudaGraphCreate(cudaGraph_t* graph, unsigned) {
  *graph = new CUgraph_st;
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  const Lock lock(emulator::mutex());
  for (const cudaGraphConditionalHandle each : graph->loops) loops().at(each).alive = false;
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, std::size_t* count) {
  const Lock lock(emulator::mutex());
  const std::size_t all = graph->nodes.size();
  if (nodes == nullptr) {
    *count = all;
    return cudaSuccess;
  }
  for (std::size_t i = 0; i < *count; ++i) nodes[i] = i < all ? graph->nodes[i].get() : nullptr;
  *count = std::min(*count, all);
  return cudaSuccess;
}

cudaError_t cudaGraphAddNode(cudaGraphNode_t* node, cudaGraph_t graph,
                             const cudaGraphNode_t* dependencies, const cudaGraphEdgeData*,
                             std::size_t count, cudaGraphNodeParams* params) {
  const Lock lock(emulator::mutex());
  cudaConditionalNodeParams& asked = params->conditional;
  const bool known =
      std::find(graph->loops.begin(), graph->loops.end(), asked.handle) != graph->loops.end();
  if (params->type != cudaGraphNodeTypeConditional || !known || asked.size != 1) {
    return noted(cudaErrorInvalidValue);
  }
  auto made = std::make_shared<CUgraphNode_st>();
  made->after.assign(dependencies, dependencies + count);
  made->loop = asked.handle;
  made->kind = asked.type;
  made->body = std::make_shared<CUgraph_st>();
  made->body_handle = made->body.get();
  asked.phGraph_out = &made->body_handle;
  *node = made.get();
  graph->nodes.push_back(std::move(made));
  return cudaSuccess;
}

cudaError_t cudaGraphConditionalHandleCreate(cudaGraphConditionalHandle* handle, cudaGraph_t graph,
                                             unsigned initial, unsigned flags) {
  const Lock lock(emulator::mutex());
  *handle = loops().size() + 1;
  const bool assigned = (flags & cudaGraphCondAssignDefault) != 0;
  loops()[*handle] = {assigned ? initial : 0xffffffffu, initial, assigned};
  graph->loops.push_back(*handle);
  return cudaSuccess;
}

void cudaGraphSetConditional(cudaGraphConditionalHandle handle, unsigned value) {
  const auto loop = loops().find(handle);
  if (loop == loops().end()) emulator::die("sets the condition of no loop");
  loop->second.value = value;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  const Lock lock(emulator::mutex());
  *exec = new CUgraphExec_st{graph->nodes, graph->loops};
  return cudaSuccess;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t) { return cudaSuccess; }

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t handle) {
  const Lock lock(emulator::mutex());
  const auto stream = emulator::find_stream(handle);
  if (!stream) return noted(cudaErrorInvalidResourceHandle);
  if (stream->capture && loops_inside(exec->nodes)) return noted(cudaErrorNotSupported);
  for (const cudaGraphConditionalHandle each : exec->loops) {
    if (!loops().at(each).alive) emulator::die("launches a loop whose graph was destroyed");
  }
  return noted(emulator::issue(handle, [nodes = exec->nodes, reset = exec->loops] {
    for (const cudaGraphConditionalHandle each : reset) {
      Loop& loop = loops().at(each);
      if (loop.assigned) loop.value = loop.initial;
    }
    run(nodes);
  }));
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  const Lock lock(emulator::mutex());
  delete exec;
  return cudaSuccess;
}
