// Embeddings: what arrives at the rows from single samples, and its norms.
#include "backend/kernels.hpp"
#include "group.cuh"
#include "packs.cuh"
#include "register.hpp"

namespace hesscore::cuda {

namespace {

constexpr unsigned kThreads = 128;

template <class T>
struct Samples {
  const T* y;
  const std::int64_t* tokens;
  Sink<T> to;
  std::int64_t positions, rows, columns, skip;

  __device__ bool known(std::int64_t token) const {
    return token >= 0 && token < rows && token != skip;
  }
};

// A block has `count` rows of a sample's table; a thread keeps its columns, so that what arrives at
// a row is added in the order of the tokens.
template <class T>
__global__ void __launch_bounds__(kThreads)
    per_sample_kernel(Samples<T> a, std::int64_t stride, std::int64_t count, unsigned parts) {
  const std::int64_t sample = blockIdx.x / parts, first = blockIdx.x % parts * count;
  const std::int64_t end = first + count < a.rows ? first + count : a.rows;
  T* w = a.to.data + sample * stride;
  if (!a.to.accumulate) {
    for (std::int64_t i = first * a.columns + threadIdx.x; i < end * a.columns; i += kThreads) {
      w[i] = 0;
    }
    __syncthreads();
  }
  const std::int64_t* tokens = a.tokens + sample * a.positions;
  const T* y = a.y + sample * a.positions * a.columns;
  for (std::int64_t t = 0; t < a.positions; ++t, y += a.columns) {
    const std::int64_t row = tokens[t];
    if (row < first || row >= end || row == a.skip) continue;
    for (std::int64_t k = threadIdx.x; k < a.columns; k += kThreads) {
      const T sum = w[row * a.columns + k] + y[k];
      w[row * a.columns + k] = sum;
      a.to.look_at(sum);
    }
  }
}

// A block for each sample, a warp for each token that is the first of its row.
template <class T>
__global__ void __launch_bounds__(kThreads) norms_kernel(Samples<T> a) {
  const std::int64_t* tokens = a.tokens + blockIdx.x * a.positions;
  const T* y = a.y + blockIdx.x * a.positions * a.columns;
  const unsigned lane = threadIdx.x % kWarp;
  T norm[1] = {};
  for (std::int64_t t = threadIdx.x / kWarp; t < a.positions; t += kThreads / kWarp) {
    const std::int64_t token = tokens[t];
    int earlier = 0;
    for (std::int64_t u = lane; u < t; u += kWarp) earlier |= tokens[u] == token;
    if (!a.known(token) || warp_max(earlier) > 0) continue;
    for (std::int64_t k = lane; k < a.columns; k += kWarp) {
      T sum = 0;
      for (std::int64_t u = t; u < a.positions; ++u) {
        if (tokens[u] == token) sum += y[u * a.columns + k];
      }
      norm[0] += sum * sum;
    }
  }
  block_sums<1>(norm);
  if (threadIdx.x == 0) a.to.put(blockIdx.x, norm[0]);
}

template <class T>
void lookup_per_sample(void* stream, const kernels::LookupPerSample::Args& a) {
  if (a.samples == 0) return;
  const Context& ctx = context_of(stream);
  constexpr std::int64_t kLeast = 4096;  // numbers of a block
  const std::int64_t most = parts(a.rows * a.columns, kLeast);
  const std::int64_t wanted = std::min(most, parts(16 * ctx.multiprocessors, a.samples));
  const std::int64_t count = parts(a.rows, wanted), pieces = parts(a.rows, count);
  const Samples<T> samples{
      a.y.as<T>(), a.x.as<std::int64_t>(), {ctx, a.w}, a.positions, a.rows, a.columns, a.skip};
  launch(ctx, &per_sample_kernel<T>, static_cast<unsigned>(a.samples * pieces), kThreads, 0,
         samples, a.stride_w, count, static_cast<unsigned>(pieces));
}

template <class T>
void lookup_norms(void* stream, const kernels::LookupNorms::Args& a) {
  if (a.samples == 0) return;
  const Context& ctx = context_of(stream);
  const Samples<T> samples{
      a.y.as<T>(), a.x.as<std::int64_t>(), {ctx, a.norms}, a.positions, a.rows, a.columns, a.skip};
  launch(ctx, &norms_kernel<T>, static_cast<unsigned>(a.samples), kThreads, 0, samples);
}

template <class T>
void register_for(KernelTable& table, DType dtype) {
  table.add<kernels::LookupPerSample>(dtype, &lookup_per_sample<T>);
  table.add<kernels::LookupNorms>(dtype, &lookup_norms<T>);
}

}  // namespace

void register_embedding_samples(KernelTable& table) {
  register_for<float>(table, DType::f32);
  register_for<double>(table, DType::f64);
}

}  // namespace hesscore::cuda
