// What a product by cuBLASLt still lacks: a bias it cannot add, the alarm, the activation, and the
// sums of op(a)'s rows.
#pragma once

#include "group.cuh"
#include "product/epilogue.cuh"

namespace hesscore::cuda {

template <class T>
struct AfterLt {
  Problem<T> p;
  bool add_bias;

  __device__ void operator()(std::int64_t i) const {
    const std::int64_t size = std::int64_t{p.m} * p.n, item = i / size;
    const std::int64_t at = item * p.stride_c + i % size;
    T v = p.c.data[at];
    if (add_bias) {
      v += p.bias[item * p.stride_bias + i % p.n];
      p.c.data[at] = v;
    }
    p.c.look_at(v);
    if (p.then.kind == kernels::Epilogue::none) return;
    with_rule(p.then.act, [&](auto rule) { put_activated<decltype(rule)>(p.then, at, v, T(0)); });
  }
};

constexpr unsigned kSumRows = 8;  // threads that share a column

// The sums of the columns of a (steps, m): blockIdx.y's share of the rows, and the last block of a
// column adds up. blockIdx.z counts the batch.
template <class T>
__global__ void __launch_bounds__(kWarp* kSumRows)
    column_sums_kernel(const T* a, std::int64_t stride_a, int steps, int m, Sink<T> sum,
                       std::int64_t stride_sum, T* partials, unsigned* tickets) {
  __shared__ T parts[kSumRows][kWarp];
  const unsigned lane = threadIdx.x % kWarp, y = threadIdx.x / kWarp;
  const unsigned column = blockIdx.x * kWarp + lane, width = gridDim.x * kWarp;
  const bool inside = column < static_cast<unsigned>(m);
  a += blockIdx.z * stride_a + column;
  T total = 0;
  for (unsigned k = blockIdx.y * kSumRows + y; inside && k < static_cast<unsigned>(steps);
       k += gridDim.y * kSumRows) {
    total += a[std::int64_t{k} * m];
  }
  parts[y][lane] = total;
  __syncthreads();
  T* item = partials + std::int64_t{blockIdx.z} * gridDim.y * width;
  if (y == 0) {
    for (unsigned other = 1; other < kSumRows; ++other) total += parts[other][lane];
    item[blockIdx.y * width + column] = total;
  }
  if (!last_block(tickets + blockIdx.z * gridDim.x + blockIdx.x, gridDim.y)) return;
  if (y != 0 || !inside) return;
  total = 0;
  for (unsigned share = 0; share < gridDim.y; ++share) total += item[share * width + column];
  sum.put(blockIdx.z * stride_sum + column, total);
}

inline dim3 column_sums_grid(int columns, int steps, int batch) {
  const std::int64_t shares = detail::pieces(steps, 64);
  return {static_cast<unsigned>(detail::pieces(columns, kWarp)),
          static_cast<unsigned>(shares < 16 ? shares : 16), static_cast<unsigned>(batch)};
}

template <class T>
bool sums_fit(const Context& ctx, const Problem<T>& p) {
  const dim3 grid = column_sums_grid(p.m, p.steps, p.batch);
  const std::size_t columns = std::size_t{grid.x} * grid.z;
  return columns <= Context::kTickets &&
         columns * kWarp * grid.y * sizeof(T) <= ctx.workspace_bytes;
}

template <class T>
void column_sums(const Context& ctx, const Problem<T>& p) {
  launch(ctx, &column_sums_kernel<T>, column_sums_grid(p.m, p.steps, p.batch), kWarp * kSumRows, 0,
         p.a, p.stride_a, p.steps, p.m, p.sum, p.stride_sum, static_cast<T*>(ctx.workspace),
         ctx.tickets);
}

}  // namespace hesscore::cuda
