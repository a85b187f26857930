// The emulator of CUDA itself: that it computes as a GPU does, and that it sees the mistakes that a
// GPU may let pass.
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstring>

#include "check.hpp"
#include "emulator/remote.hpp"
#include "group.cuh"
#include "ptx.cuh"

using namespace hesscore::cuda;
using emulated::contains;
using emulated::context;
using emulated::ramp;
using emulated::Remote;

namespace {

// What a child process that does `work` writes to its standard error before it dies; "" if it
// lives.
template <class F>
std::string last_words(F work) {
  int ends[2];
  CHECK(pipe(ends) == 0);
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    work();
    cudaDeviceSynchronize();
    _exit(0);
  }
  close(ends[1]);
  std::string words;
  char buffer[4096];
  for (ssize_t n; (n = read(ends[0], buffer, sizeof buffer)) > 0;) {
    words.append(buffer, static_cast<std::size_t>(n));
  }
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return "";
  return "died: " + words;
}

// ---- kernels that are right ---------------------------------------------------------------------

__global__ void reverse_kernel(float* x) {
  __shared__ float tile[256];
  tile[threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x];
  __syncthreads();
  x[blockIdx.x * blockDim.x + threadIdx.x] = tile[blockDim.x - 1 - threadIdx.x];
}

__global__ void sum_kernel(const float* x, std::int64_t n, float* partials, unsigned* ticket,
                           float* sum) {
  float mine[1] = {0};
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n;
       i += std::int64_t{gridDim.x} * blockDim.x) {
    mine[0] += x[i];
  }
  if (grid_sums<1>(mine, partials, ticket) && threadIdx.x == 0) *sum = mine[0];
}

__global__ void shuffle_kernel(int* out) {
  const int lane = static_cast<int>(threadIdx.x);
  int* const mine = out + 6 * lane;
  mine[0] = __shfl_sync(kAllLanes, lane, 5);
  mine[1] = __shfl_up_sync(kAllLanes, lane, 1);
  mine[2] = __shfl_down_sync(kAllLanes, lane, 2, 8);
  mine[3] = __shfl_xor_sync(kAllLanes, lane, 3);
  mine[4] = static_cast<int>(__ballot_sync(kAllLanes, lane % 3 == 0));
  mine[5] = lane < 16 ? __any_sync(0xffffu, lane == 3) : __all_sync(0xffff0000u, lane > 16);
}

__global__ void multiply_kernel(const float* a, const float* b, float* d) {
  const unsigned g = threadIdx.x / 4, t = threadIdx.x % 4;
  const std::uint32_t left[4] = {to_tf32(a[g * 8 + t]), to_tf32(a[(g + 8) * 8 + t]),
                                 to_tf32(a[g * 8 + t + 4]), to_tf32(a[(g + 8) * 8 + t + 4])};
  const std::uint32_t right[2] = {to_tf32(b[t * 8 + g]), to_tf32(b[(t + 4) * 8 + g])};
  float sum[4] = {};
  mma_tf32(sum, left, right);
  for (unsigned e = 0; e < 4; ++e) d[(g + e / 2 * 8) * 8 + 2 * t + e % 2] = sum[e];
}

__global__ void copy_kernel(const float* x, float* early, float* late, int inside) {
  float* const tile = shared_memory<float>();
  const auto i = static_cast<int>(threadIdx.x);
  copy_async<4>(tile + i, x + i, i < inside);
  copy_commit();
  early[i] = tile[i];
  copy_wait<0>();
  __syncthreads();
  late[i] = tile[i];
}

__global__ void add_kernel(float* x, float value) { x[threadIdx.x] += value; }

// ---- kernels that are wrong ---------------------------------------------------------------------

__global__ void half_barrier_kernel() {
  if (threadIdx.x < 32) __syncthreads();
}

__global__ void two_barriers_kernel() {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

__global__ void half_shuffle_kernel(int* out) {
  if (threadIdx.x < 16) out[threadIdx.x] = __shfl_xor_sync(kAllLanes, 1, 1);
}

__global__ void forgotten_barrier_kernel(float* x) {
  __shared__ float tile[64];
  tile[threadIdx.x] = x[threadIdx.x];
  x[threadIdx.x] = tile[63 - threadIdx.x];
}

__global__ void store_kernel(float* x, std::int64_t at) { x[at] = 1; }
__global__ void store_shared_kernel(int at) { shared_memory<int>()[at] = 1; }

}  // namespace

TEST("barriers and shared memory") {
  Remote<float> x(ramp(3 * 256));
  launch(context(), &reverse_kernel, 3, 256, 0, x.data());
  const auto got = x.get();
  for (std::size_t i = 0; i < got.size(); ++i) {
    CHECK(got[i] == static_cast<float>(i / 256 * 256 + 256 - i % 256));
  }
}

TEST("sums over warps, blocks and grids") {
  for (const unsigned block : {32u, 96u, 1024u}) {
    const std::size_t n = 5000;
    Remote<float> x(ramp(n)), partials(ramp(7)), sum({0});
    Remote<unsigned> ticket({0});
    for (int repeat = 0; repeat < 4; ++repeat) {  // in every order of the threads
      launch(context(), &sum_kernel, 7, block, 0, x.data(), static_cast<std::int64_t>(n),
             partials.data(), ticket.data(), sum.data());
      CHECK(sum.get()[0] == 5000 * 5001 / 2);
    }
    CHECK(ticket.get()[0] == 0);
  }
}

TEST("shuffles and votes") {
  Remote<int> out(std::vector<int>(6 * 32));
  launch(context(), &shuffle_kernel, 1, 32, 0, out.data());
  const auto got = out.get();
  for (int lane = 0; lane < 32; ++lane) {
    const int* const mine = &got[static_cast<std::size_t>(6 * lane)];
    CHECK(mine[0] == 5);
    CHECK(mine[1] == (lane == 0 ? 0 : lane - 1));
    CHECK(mine[2] == (lane % 8 < 6 ? lane + 2 : lane));
    CHECK(mine[3] == (lane ^ 3));
    CHECK(mine[4] == 0x49249249);
    CHECK(mine[5] == (lane < 16));
  }
}

TEST("products of fragments") {
  std::vector<float> a(16 * 8), b(8 * 8);
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(std::sin(double(i)));
  for (std::size_t i = 0; i < b.size(); ++i) b[i] = static_cast<float>(std::cos(double(3 * i)));
  Remote<float> x(a), y(b), d(std::vector<float>(16 * 8));
  launch(context(), &multiply_kernel, 1, 32, 0, x.data(), y.data(), d.data());
  const auto got = d.get();
  double exact = 0, rough = 0;
  for (std::size_t i = 0; i < 16; ++i) {
    for (std::size_t j = 0; j < 8; ++j) {
      double sum = 0, product = 0;
      for (std::size_t k = 0; k < 8; ++k) {
        const auto cut = [](float v) { return std::bit_cast<float>(to_tf32(v)); };
        sum += double{cut(a[i * 8 + k])} * cut(b[k * 8 + j]);
        product += double{a[i * 8 + k]} * b[k * 8 + j];
      }
      exact = std::fmax(exact, std::abs(got[i * 8 + j] - sum));
      rough = std::fmax(rough, std::abs(got[i * 8 + j] - product));
    }
  }
  CHECK(exact < 1e-6 && rough > 1e-6 && rough < 2e-3);
  CHECK(std::bit_cast<float>(to_tf32(1 + 0x1p-11f)) == 1 + 0x1p-10f);  // ties away from zero
}

TEST("asynchronous copies arrive when they are waited for") {
  Remote<float> x(ramp(64)), early(ramp(64)), late(ramp(64));
  launch(context(), &copy_kernel, 1, 64, 64 * sizeof(float), x.data(), early.data(), late.data(),
         50);
  const auto before = early.get(), after = late.get();
  for (std::size_t i = 0; i < 64; ++i) {
    CHECK(std::isnan(before[i]));
    CHECK(after[i] == (i < 50 ? static_cast<float>(i + 1) : 0));
  }
}

TEST("launches that no device takes are errors") {
  Remote<float> x({1});
  CHECK_THROWS(hesscore::DeviceError,
               (launch(context(), &add_kernel, 1, 1025, 0, x.data(), 1.0f), 0));
  CHECK_THROWS(hesscore::DeviceError, (launch(context(), &add_kernel, 0, 1, 0, x.data(), 1.0f), 0));
  CHECK_THROWS(hesscore::DeviceError,
               (launch(context(), &add_kernel, 1, 1, 300000, x.data(), 1.0f), 0));
  void* p = nullptr;
  CHECK(cudaMalloc(&p, std::size_t{1} << 60) == cudaErrorMemoryAllocation);
  CHECK(cudaMemcpy(x.data(), x.data() + 1, 4, cudaMemcpyDeviceToDevice) == cudaErrorInvalidValue);
  cudaGetLastError();
}

TEST("fresh memory holds NaN, and the host cannot reach it") {
  float* p = nullptr;
  cudaMalloc(&p, sizeof(float));
  float seen = 0;
  cudaMemcpy(&seen, p, sizeof seen, cudaMemcpyDeviceToHost);
  CHECK(std::isnan(seen));
  CHECK(contains(last_words([&] { *static_cast<volatile float*>(p) = 1; }),
                 "the host touched memory of the device"));
  cudaFree(p);
}

TEST("barriers that not all threads reach") {
  const auto words = last_words([] { launch(context(), &half_barrier_kernel, 2, 64, 0); });
  CHECK(contains(words, "half_barrier_kernel") &&
        contains(words, "32 of 64 threads have finished"));
  CHECK(contains(last_words([] { launch(context(), &two_barriers_kernel, 1, 64, 0); }),
                 "while others are at that of"));
  Remote<int> out(std::vector<int>(32));
  CHECK(contains(last_words([&] { launch(context(), &half_shuffle_kernel, 1, 32, 0, out.data()); }),
                 "16 of 32 threads have finished"));
}

TEST("a forgotten barrier leaves NaN") {
  bool seen = false;
  for (int repeat = 0; repeat < 3; ++repeat) {
    Remote<float> x(ramp(64));
    launch(context(), &forgotten_barrier_kernel, 1, 64, 0, x.data());
    for (const float v : x.get()) seen |= std::isnan(v);
  }
  CHECK(seen);
}

TEST("memory that the device does not reach") {
  float here = 0;
  CHECK(contains(
      last_words([&] { launch(context(), &store_kernel, 1, 1, 0, &here, std::int64_t{0}); }),
      "memory of the host"));
}

TEST("writing beside memory") {
  Remote<float> x(ramp(3));
  for (const std::int64_t at : {-1, 3, 60}) {
    CHECK(last_words([&] { launch(context(), &store_kernel, 1, 1, 0, x.data(), at); }) != "");
  }
  CHECK(last_words([&] { launch(context(), &store_kernel, 1, 1, 0, x.data(), 2); }) == "");
  CHECK(last_words([&] { launch(context(), &store_shared_kernel, 1, 1, 8, 2); }) != "");
}
