// The emulator's streams and graphs: work waits for those who ask for it, in the order that streams
// and events give it.
#include <thread>

#include "check.hpp"
#include "emulator/launches.hpp"
#include "emulator/remote.hpp"
#include "launch.cuh"

using namespace hesscore::cuda;
using emulated::contains;
using emulated::context;
using emulated::ramp;
using emulated::Remote;

namespace {

__global__ void add_kernel(float* x, float value) { x[threadIdx.x] += value; }

__global__ void count_down_kernel(int* left, cudaGraphConditionalHandle loop) {
  cudaGraphSetConditional(loop, --*left > 0);
}

}  // namespace

TEST("work waits until somebody asks for it, in the order of its streams") {
  cudaStream_t a, b;
  cudaEvent_t event;
  cudaStreamCreateWithFlags(&a, cudaStreamNonBlocking);
  cudaStreamCreateWithFlags(&b, cudaStreamNonBlocking);
  cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
  float* host = nullptr;
  cudaHostAlloc(&host, 2 * sizeof(float), cudaHostAllocDefault);
  Remote<float> x(ramp(2));
  host[0] = -1;
  launch(context(a), &add_kernel, 1, 2, 0, x.data(), 10.0f);
  cudaEventRecord(event, a);
  cudaMemcpyAsync(host, x.data(), 8, cudaMemcpyDeviceToHost, b);  // nobody ordered it behind
  cudaStreamSynchronize(b);
  CHECK(host[0] == 1 && host[1] == 2);
  cudaStreamWaitEvent(b, event);
  cudaMemcpyAsync(host, x.data(), 8, cudaMemcpyDeviceToHost, b);
  CHECK(host[0] == 1);
  cudaStreamSynchronize(b);
  CHECK(host[0] == 11 && host[1] == 12);
  CHECK(cudaStreamQuery(a) == cudaSuccess);
  cudaFreeHost(host);
  cudaEventDestroy(event);
  cudaStreamDestroy(a);
  cudaStreamDestroy(b);
}

TEST("graphs run what was captured") {
  cudaStream_t stream, side;
  cudaEvent_t event;
  cudaStreamCreate(&stream);
  cudaStreamCreate(&side);
  cudaEventCreate(&event);
  Remote<float> x(ramp(4)), y(ramp(4));
  cudaGraph_t graph;
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  launch(context(stream), &add_kernel, 1, 4, 0, x.data(), 1.0f);
  cudaEventRecord(event, stream);
  cudaStreamWaitEvent(side, event);
  launch(context(side), &add_kernel, 1, 4, 0, y.data(), 2.0f);
  cudaEventRecord(event, side);
  cudaStreamWaitEvent(stream, event);
  CHECK(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
  CHECK(x.get()[0] == 1);
  cudaGraphExec_t exec;
  cudaGraphInstantiate(&exec, graph);
  cudaGraphDestroy(graph);
  hesscore_emulator_reset();
  for (int i = 0; i < 3; ++i) cudaGraphLaunch(exec, stream);
  CHECK(hesscore_emulator_launches() == 6);
  CHECK(contains(hesscore_emulator_name(0), "add_kernel"));
  CHECK(x.get()[0] == 4 && y.get()[0] == 7);
  cudaGraphExecDestroy(exec);
  cudaEventDestroy(event);
  cudaStreamDestroy(stream);
  cudaStreamDestroy(side);
}

TEST("a launch does not answer for errors before it") {
  Remote<float> x(ramp(4));
  CHECK(cudaFreeHost(&x) == cudaErrorInvalidValue);
  launch(context(), &add_kernel, 1, 4, 0, x.data(), 1.0f);
  CHECK(x.get()[0] == 2);
  CHECK(cudaGetLastError() == cudaErrorInvalidValue);
}

TEST("loops go on as long as the device wants") {
  cudaStream_t stream;
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  cudaStreamCreate(&stream);
  Remote<float> x(ramp(4));
  Remote<int> left({5});
  cudaGraphConditionalHandle loop;
  cudaGraphNode_t node;
  cudaGraphCreate(&graph, 0);
  cudaGraphConditionalHandleCreate(&loop, graph, 1, cudaGraphCondAssignDefault);
  cudaGraphNodeParams params{};
  params.type = cudaGraphNodeTypeConditional;
  params.conditional.handle = loop;
  params.conditional.type = cudaGraphCondTypeWhile;
  params.conditional.size = 1;
  CHECK(cudaGraphAddNode(&node, graph, nullptr, nullptr, 0, &params) == cudaSuccess);
  cudaGraph_t body = params.conditional.phGraph_out[0];
  cudaStreamBeginCaptureToGraph(stream, body, nullptr, nullptr, 0,
                                cudaStreamCaptureModeThreadLocal);
  launch(context(stream), &add_kernel, 1, 4, 0, x.data(), 1.0f);
  launch(context(stream), &count_down_kernel, 1, 1, 0, left.data(), loop);
  CHECK(cudaStreamEndCapture(stream, &body) == cudaSuccess);
  cudaGraphInstantiate(&exec, graph);
  cudaGraphLaunch(exec, stream);
  cudaGraphLaunch(exec, stream);  // once more: the loop runs at least once
  CHECK(x.get()[0] == 7 && left.get()[0] == -1);
  cudaGraphExecDestroy(exec);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(stream);
}

TEST("what may not be captured spoils the capture") {
  cudaStream_t stream;
  cudaStreamCreate(&stream);
  cudaGraph_t graph;
  void* p = nullptr;
  const auto spoilt_by = [&](cudaError_t expected, auto call) {
    cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
    const cudaError_t error = call();
    return error == expected &&
           cudaStreamEndCapture(stream, &graph) == cudaErrorStreamCaptureInvalidated;
  };
  CHECK(spoilt_by(cudaErrorStreamCaptureUnsupported, [&] { return cudaMalloc(&p, 8); }));
  CHECK(
      spoilt_by(cudaErrorStreamCaptureUnsupported, [&] { return cudaStreamSynchronize(stream); }));
  CHECK(
      spoilt_by(cudaErrorStreamCaptureUnsupported, [&] { return cudaMallocAsync(&p, 8, stream); }));
  CHECK(spoilt_by(cudaErrorStreamCaptureUnsupported, [] {
    cudaError_t error = cudaSuccess;
    std::thread([&] {
      error = cudaDeviceSynchronize();
      cudaGetLastError();
    }).join();
    return error;
  }));
  float host = 0;
  Remote<float> x({1});
  CHECK(spoilt_by(cudaErrorStreamCaptureImplicit, [&] {
    return cudaMemcpy(&host, x.data(), sizeof host, cudaMemcpyDeviceToHost);
  }));
  cudaGetLastError();
  cudaStreamDestroy(stream);
}
