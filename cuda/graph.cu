// Recordings as CUDA graphs: captured work, and loops whose end the device decides.
#include "graph.hpp"

#include <cstdlib>
#include <mutex>
#include <string_view>

#include "handles.hpp"
#include "launch.cuh"

namespace hesscore::cuda {

namespace {

// While it lives, work launched through the context is captured into `graph`, after the node
// `after` if there is one. Work that fails leaves no trace on the stream.
class Capture {
 public:
  Capture(Context& ctx, cudaStream_t recorder, const Graph& graph,
          const cudaGraphNode_t* after = nullptr)
      : Capture(ctx, recorder, graph.get(), after) {}
  Capture(Context& ctx, cudaStream_t recorder, cudaGraph_t graph,
          const cudaGraphNode_t* after = nullptr)
      : ctx_(ctx), stream_(ctx.stream) {
    check(cudaStreamBeginCaptureToGraph(recorder, graph, after, nullptr, after ? 1 : 0,
                                        cudaStreamCaptureModeThreadLocal),
          "beginning a capture");
    ctx_.stream = recorder;
    ctx_.recorder = std::this_thread::get_id();
  }
  ~Capture() {
    if (ctx_.recording()) ignore(end());
  }
  Capture(const Capture&) = delete;

  void finish() { check(end(), "ending a capture"); }

 private:
  cudaError_t end() {
    cudaGraph_t same;
    const cudaError_t error = cudaStreamEndCapture(ctx_.stream, &same);
    ctx_.stream = stream_;
    ctx_.recorder = std::thread::id();
    return error;
  }

  Context& ctx_;
  cudaStream_t stream_;
};

Graph make_graph() {
  cudaGraph_t graph;
  check(cudaGraphCreate(&graph, 0), "creating a graph");
  return Graph(graph);
}

// What can be launched, and the graph it was made from, to which the conditions of loops belong.
struct Executable {
  Graph graph;
  GraphExec exec;

  void launch(cudaStream_t stream) const {
    check(cudaGraphLaunch(exec.get(), stream), "launching a graph");
  }
};

Executable instantiate(const Context& ctx, Graph graph) {
  cudaGraphExec_t exec;
  check(cudaGraphInstantiate(&exec, graph.get(), 0), "instantiating a graph");
  Executable made{std::move(graph), GraphExec(exec)};
  check(cudaGraphUpload(exec, ctx.stream), "uploading a graph");
  return made;
}

// The context of a launch.
const Context& context_to_launch(Device& device) {
  const Context& ctx = context_of(device.stream());
  if (ctx.recording()) throw DeviceError("a recording cannot be launched while another is made");
  return ctx;
}

class Recorded final : public Recording {
 public:
  Recorded(Device& device, Executable work, Buffer scratch = {})
      : device_(device), scratch_(std::move(scratch)), work_(std::move(work)) {}

  void launch() override {
    const std::lock_guard lock(device_);
    work_.launch(context_to_launch(device_).stream);
  }

 private:
  Device& device_;
  Buffer scratch_;
  Executable work_;
};

// A loop by the host, which looks at go_on so rarely that it stays ahead of the device.
class Unrolled final : public Recording {
 public:
  Unrolled(Device& device, Executable body, const int* go_on, std::int64_t limit)
      : device_(device), body_(std::move(body)), go_on_(go_on), limit_(limit) {
    for (Event& event : looked_) event = make_event();
    seen_ = static_cast<int*>(device_.allocate_host(2 * sizeof(int)));
  }
  ~Unrolled() override {
    for (const Event& event : looked_) ignore(cudaEventSynchronize(event.get()));
    device_.free_host(seen_);
  }

  void launch() override {
    const std::lock_guard lock(device_);
    const cudaStream_t stream = context_to_launch(device_).stream;
    for (std::int64_t i = 0; i < limit_; ++i) {
      if (i % kLook == 0) {
        const int now = static_cast<int>(i / kLook % 2);
        look(now, stream);
        if (i > 0 && !went_on(1 - now)) return;
      }
      body_.launch(stream);
    }
  }

 private:
  static constexpr std::int64_t kLook = 8;

  void look(int slot, cudaStream_t stream) {
    check(cudaMemcpyAsync(seen_ + slot, go_on_, sizeof(int), cudaMemcpyDeviceToHost, stream),
          "reading the condition of a loop");
    check(cudaEventRecord(looked_[slot].get(), stream), "recording an event");
  }
  bool went_on(int slot) {
    check(cudaEventSynchronize(looked_[slot].get()), "waiting for an event");
    return seen_[slot] != 0;
  }

  Device& device_;
  Executable body_;
  const int* go_on_;
  std::int64_t limit_;
  Event looked_[2];
  int* seen_;
};

// Sets whether the loop runs (again): before the first time, and after every one.
__global__ void test_loop_kernel(cudaGraphConditionalHandle loop, const int* go_on,
                                 long long* count, long long limit, bool first) {
  *count = first ? 0 : *count + 1;
  cudaGraphSetConditional(loop, *go_on != 0 && *count < limit);
}

struct LoopTest {
  cudaGraphConditionalHandle loop;
  const int* go_on;
  long long *count, limit;
  void operator()(const Context& ctx, bool first) const {
    launch(ctx, &test_loop_kernel, 1, 1, 0, loop, go_on, count, limit, first);
  }
};

// Adds a WHILE node behind the only node of `graph`; returns the graph of its body.
cudaGraph_t add_while(const Graph& graph, cudaGraphConditionalHandle loop) {
  cudaGraphNode_t first, node;
  std::size_t count = 1;
  check(cudaGraphGetNodes(graph.get(), &first, &count), "reading a graph");
  cudaGraphNodeParams params{};
  params.type = cudaGraphNodeTypeConditional;
  params.conditional.handle = loop;
  params.conditional.type = cudaGraphCondTypeWhile;
  params.conditional.size = 1;
  check(cudaGraphAddNode(&node, graph.get(), &first, nullptr, 1, &params), "adding a loop");
  return params.conditional.phGraph_out[0];
}

std::unique_ptr<Recording> record_while(Device& device, Context& ctx, cudaStream_t recorder,
                                        const std::function<void()>& work, const int* go_on,
                                        std::int64_t limit) {
  int blocks = 0;  // asking loads the kernel: nothing may be loaded while work is captured
  check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, &test_loop_kernel, 1, 0),
        "loading a kernel");
  Buffer count(device, sizeof(long long));
  Graph graph = make_graph();
  cudaGraphConditionalHandle loop;
  check(cudaGraphConditionalHandleCreate(&loop, graph.get(), 1, cudaGraphCondAssignDefault),
        "creating a loop");
  const LoopTest test{loop, go_on, static_cast<long long*>(count.data()), limit};
  {
    Capture capture(ctx, recorder, graph);
    test(ctx, true);
    capture.finish();
  }
  Capture capture(ctx, recorder, add_while(graph, loop));
  work();
  test(ctx, false);
  capture.finish();
  return std::make_unique<Recorded>(device, instantiate(ctx, std::move(graph)), std::move(count));
}

Executable capture_work(Context& ctx, cudaStream_t recorder, const std::function<void()>& work) {
  Graph graph = make_graph();
  Capture capture(ctx, recorder, graph);
  work();
  capture.finish();
  return instantiate(ctx, std::move(graph));
}

bool unroll() {
  const char* const set = std::getenv("HESSCORE_CUDA_UNROLL");
  return set != nullptr && *set != '\0' && std::string_view(set) != "0";
}

// make(), or null if CUDA refuses.
template <class Make>
auto unless_refused(Make make) -> decltype(make()) {
  try {
    return make();
  } catch (const DeviceError&) {
    return nullptr;
  }
}

}  // namespace

std::unique_ptr<Recording> record_graph(Device& device, Context& ctx, cudaStream_t recorder,
                                        const std::function<void()>& work) {
  return unless_refused([&]() -> std::unique_ptr<Recording> {
    return std::make_unique<Recorded>(device, capture_work(ctx, recorder, work));
  });
}

std::unique_ptr<Recording> record_loop_graph(Device& device, Context& ctx, cudaStream_t recorder,
                                             const std::function<void()>& work, const int* go_on,
                                             std::int64_t limit) {
  if (!unroll()) {
    auto loop =
        unless_refused([&] { return record_while(device, ctx, recorder, work, go_on, limit); });
    if (loop) return loop;
  }
  return unless_refused([&]() -> std::unique_ptr<Recording> {
    return std::make_unique<Unrolled>(device, capture_work(ctx, recorder, work), go_on, limit);
  });
}

}  // namespace hesscore::cuda
