// What a GPU charges for the things that the CUDA backend is built on: launches, graph nodes, loops
// on the device, barriers over the grid, and factorisations inside a recording. Prints a JSON
// object for each; needs nothing of hesscore.
#include <cooperative_groups.h>
#include <cuda_runtime.h>
#include <cusolverDn.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

void check(cudaError_t error) {
  if (error == cudaSuccess) return;
  cudaGetLastError();
  throw std::runtime_error(cudaGetErrorName(error));
}

void check(cusolverStatus_t status) {
  if (status != CUSOLVER_STATUS_SUCCESS) {
    throw std::runtime_error("cuSOLVER status " + std::to_string(static_cast<int>(status)));
  }
}

cudaStream_t stream;

double microseconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start)
      .count();
}

// Median over seven rounds of the microseconds between two events around `work`.
template <class Work>
double gpu_time(Work work) {
  cudaEvent_t start, end;
  check(cudaEventCreate(&start));
  check(cudaEventCreate(&end));
  work();
  std::vector<float> times(7);
  for (float& time : times) {
    check(cudaEventRecord(start, stream));
    work();
    check(cudaEventRecord(end, stream));
    check(cudaEventSynchronize(end));
    check(cudaEventElapsedTime(&time, start, end));
  }
  std::sort(times.begin(), times.end());
  check(cudaEventDestroy(start));
  check(cudaEventDestroy(end));
  return 1e3 * static_cast<double>(times[3]);
}

void report(const char* name, double us) {
  std::printf("{\"probe\": \"%s\", \"us\": %.3f}\n", name, us);
}

// Runs a probe; one that fails says why and stops no other.
template <class Probe>
void attempt(const char* name, Probe probe) {
  try {
    probe();
  } catch (const std::exception& error) {
    cudaGraph_t dropped = nullptr;
    cudaStreamEndCapture(stream, &dropped);
    cudaGetLastError();
    std::printf("{\"probe\": \"%s\", \"error\": \"%s\"}\n", name, error.what());
  }
}

// ---- kernels ------------------------------------------------------------------------------------

__global__ void empty_kernel() {}

__global__ void barriers_kernel(int count) {
  const auto grid = cooperative_groups::this_grid();
  for (int i = 0; i < count; ++i) grid.sync();
}

__global__ void set_kernel(int* left, int value) { *left = value; }

__global__ void again_kernel(cudaGraphConditionalHandle loop, int* left) {
  *left -= 1;
  cudaGraphSetConditional(loop, *left > 0);
}

// ---- graphs -------------------------------------------------------------------------------------

struct Exec {
  cudaGraphExec_t exec = nullptr;
  explicit Exec(cudaGraph_t graph) {
    check(cudaGraphInstantiate(&exec, graph, 0));
    check(cudaGraphUpload(exec, stream));
  }
  ~Exec() { cudaGraphExecDestroy(exec); }
  void launch() const { check(cudaGraphLaunch(exec, stream)); }
};

template <class Work>
cudaGraph_t captured(Work work) {
  cudaGraph_t graph;
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  work();
  check(cudaStreamEndCapture(stream, &graph));
  return graph;
}

// Microseconds of one turn of a WHILE node whose body is `body` and the kernel that decides.
template <class Body>
double loop_turn(Body body) {
  constexpr int kTurns = 1000;
  int* left;
  check(cudaMalloc(&left, sizeof(int)));
  cudaGraph_t graph, inner;
  check(cudaGraphCreate(&graph, 0));
  cudaGraphConditionalHandle loop;
  check(cudaGraphConditionalHandleCreate(&loop, graph, 1, cudaGraphCondAssignDefault));
  cudaGraphNodeParams params{};
  params.type = cudaGraphNodeTypeConditional;
  params.conditional.handle = loop;
  params.conditional.type = cudaGraphCondTypeWhile;
  params.conditional.size = 1;
  cudaGraphNode_t node;
  check(cudaGraphAddNode(&node, graph, nullptr, nullptr, 0, &params));
  inner = params.conditional.phGraph_out[0];
  check(cudaStreamBeginCaptureToGraph(stream, inner, nullptr, nullptr, 0,
                                      cudaStreamCaptureModeThreadLocal));
  body();
  again_kernel<<<1, 1, 0, stream>>>(loop, left);
  check(cudaStreamEndCapture(stream, &inner));
  const Exec exec(graph);
  const double us = gpu_time([&] {
    set_kernel<<<1, 1, 0, stream>>>(left, kTurns);
    exec.launch();
  });
  check(cudaFree(left));
  return us / kTurns;
}

void launch_barriers(int blocks, int count) {
  void* args[] = {&count};
  check(cudaLaunchCooperativeKernel(reinterpret_cast<const void*>(&barriers_kernel), blocks, 256,
                                    args, 0, stream));
}

// ---- cuSOLVER -----------------------------------------------------------------------------------

// A Cholesky factorisation and an eigenproblem, to be run again and again.
struct Factorisations {
  explicit Factorisations(int side) : n(side) {
    check(cusolverDnCreate(&handle));
    check(cusolverDnCreateParams(&params));
    check(cusolverDnSetStream(handle, stream));
    std::vector<float> identity(static_cast<std::size_t>(n) * n);
    for (int i = 0; i < n; ++i) identity[static_cast<std::size_t>(i) * n + i] = 2;
    const std::size_t size = identity.size() * sizeof(float);
    check(cudaMalloc(&a, size));
    check(cudaMalloc(&values, n * sizeof(float)));
    check(cudaMalloc(&info, sizeof(int)));
    check(cudaMemcpy(a, identity.data(), size, cudaMemcpyHostToDevice));
    check(cusolverDnXpotrf_bufferSize(handle, params, kUpper, n, CUDA_R_32F, a, n, CUDA_R_32F,
                                      &potrf_bytes, &potrf_host_bytes));
    check(cusolverDnXsyevd_bufferSize(handle, params, CUSOLVER_EIG_MODE_VECTOR, kUpper, n,
                                      CUDA_R_32F, a, n, CUDA_R_32F, values, CUDA_R_32F,
                                      &syevd_bytes, &syevd_host_bytes));
    check(cudaMalloc(&scratch, std::max(potrf_bytes, syevd_bytes)));
    host_scratch.resize(std::max(potrf_host_bytes, syevd_host_bytes) + 1);
  }

  void cholesky() {
    check(cusolverDnXpotrf(handle, params, kUpper, n, CUDA_R_32F, a, n, CUDA_R_32F, scratch,
                           potrf_bytes, host_scratch.data(), potrf_host_bytes, info));
  }
  void eigen() {
    check(cusolverDnXsyevd(handle, params, CUSOLVER_EIG_MODE_VECTOR, kUpper, n, CUDA_R_32F, a, n,
                           CUDA_R_32F, values, CUDA_R_32F, scratch, syevd_bytes,
                           host_scratch.data(), syevd_host_bytes, info));
  }

  static constexpr cublasFillMode_t kUpper = CUBLAS_FILL_MODE_UPPER;
  int n;
  cusolverDnHandle_t handle;
  cusolverDnParams_t params;
  float *a, *values;
  int* info;
  void* scratch;
  std::size_t potrf_bytes, potrf_host_bytes, syevd_bytes, syevd_host_bytes;
  std::vector<unsigned char> host_scratch;
};

template <class Work>
void probe_capture(const std::string& name, Work work) {
  attempt(name.c_str(), [&] { report(name.c_str(), gpu_time(work)); });
  const std::string recorded = name + ", recorded";
  attempt(recorded.c_str(), [&] {
    const Exec exec(captured(work));
    report(recorded.c_str(), gpu_time([&] { exec.launch(); }));
  });
}

// ---- the probes ---------------------------------------------------------------------------------

void probe_launches() {
  constexpr int kCount = 1000;
  const auto launch_all = [] {
    for (int i = 0; i < kCount; ++i) empty_kernel<<<1, 32, 0, stream>>>();
    check(cudaGetLastError());
  };
  report("empty kernel on a stream", gpu_time(launch_all) / kCount);
  check(cudaStreamSynchronize(stream));
  auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 100; ++i) empty_kernel<<<1, 32, 0, stream>>>();
  report("the host's part of a launch", microseconds_since(start) / 100);
  check(cudaStreamSynchronize(stream));
  start = std::chrono::steady_clock::now();
  for (int i = 0; i < 200; ++i) {
    empty_kernel<<<1, 32, 0, stream>>>();
    check(cudaStreamSynchronize(stream));
  }
  report("a launch and its end on the host", microseconds_since(start) / 200);
}

void probe_graph() {
  constexpr int kNodes = 100, kReplays = 50;
  const Exec exec(captured([] {
    for (int i = 0; i < kNodes; ++i) empty_kernel<<<1, 32, 0, stream>>>();
  }));
  const double many = gpu_time([&] {
    for (int i = 0; i < kReplays; ++i) exec.launch();
  });
  report("graph node, of 100 in a row", many / kReplays / kNodes);
  report("graph of 100 nodes, launched alone", gpu_time([&] { exec.launch(); }));
  const Exec one(captured([] { empty_kernel<<<1, 32, 0, stream>>>(); }));
  report("graph of one node, of 50 in a row", gpu_time([&] {
                                                for (int i = 0; i < kReplays; ++i) one.launch();
                                              }) / kReplays);
}

void probe_barriers(int multiprocessors) {
  constexpr int kCount = 1000;
  const double none = gpu_time([&] { launch_barriers(multiprocessors, 0); });
  const double many = gpu_time([&] { launch_barriers(multiprocessors, kCount); });
  report("cooperative kernel without a barrier", none);
  report("barrier over the grid", (many - none) / kCount);
}

}  // namespace

int main() {
  setenv("CUDA_MODULE_LOADING", "EAGER", 1);  // nothing may be loaded while work is captured
  try {
    cudaDeviceProp device;
    check(cudaGetDeviceProperties(&device, 0));
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    const int blocks = device.multiProcessorCount;
    attempt("launches", probe_launches);
    attempt("graphs", probe_graph);
    attempt("barriers", [&] { probe_barriers(blocks); });
    attempt("loop, empty body", [] { report("loop, empty body", loop_turn([] {})); });
    attempt("loop, four kernels", [] {
      report("loop, four kernels", loop_turn([] {
               for (int i = 0; i < 4; ++i) empty_kernel<<<1, 32, 0, stream>>>();
             }));
    });
    attempt("loop, a cooperative kernel with two barriers", [&] {
      report("loop, a cooperative kernel with two barriers",
             loop_turn([&] { launch_barriers(blocks, 2); }));
    });
    for (const int n : {128, 1024}) {
      attempt("cuSOLVER", [&] {
        Factorisations f(n);
        probe_capture("Cholesky, n = " + std::to_string(n), [&] { f.cholesky(); });
        probe_capture("eigenproblem, n = " + std::to_string(n), [&] { f.eigen(); });
      });
    }
    return 0;
  } catch (const std::exception& error) {
    std::printf("{\"probe\": \"all\", \"error\": \"%s\"}\n", error.what());
    return 1;
  }
}
