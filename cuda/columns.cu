// Columns of Jacobians and what is read off along them.
#include "backend/kernels.hpp"
#include "group.cuh"
#include "register.hpp"

namespace hesscore::cuda {
namespace {

using math::WeightColumns;

struct Count {
  std::int64_t* counter;
  std::int64_t by;
  bool restart;
  __device__ void operator()(std::int64_t) const { *counter = restart ? 0 : *counter + by; }
};

// Element i of the stacked tangents.
template <class T>
struct Tangents {
  const std::int64_t* first;
  const T* x;
  Sink<T> y;
  WeightColumns c;
  std::int64_t size, units;

  __device__ void operator()(std::int64_t i) const {
    const std::int64_t r = i / size, k = *first + r, line = i / units;
    T value = T(0);
    if (k < c.count()) {
      const WeightColumns::Column column = c.column(k);
      if (i - line * units == column.unit) value = at(line - r * (size / units), column);
    }
    y.put(i, value);
  }
  __device__ T at(std::int64_t row, const WeightColumns::Column& column) const {
    if (c.constant) return T(1);
    const std::int64_t from = c.source(row, column);
    return from < 0 ? T(0) : x[from * c.factors() + column.factor];
  }
};

constexpr unsigned kThreads = 256;

// One block for each column.
template <class T>
__global__ void __launch_bounds__(kThreads)
    weight_adjoints_kernel(const std::int64_t* __restrict__ first, const T* __restrict__ x,
                           const T* __restrict__ y, Sink<T> w, WeightColumns c) {
  const std::int64_t k = *first + blockIdx.x, rows = c.rows(), units = c.units();
  if (k >= c.count()) return;
  const WeightColumns::Column column = c.column(k);
  y += blockIdx.x * rows * units + column.unit;
  double sum[1] = {0};
  for (std::int64_t row = threadIdx.x; row < rows; row += kThreads) {
    const double value = static_cast<double>(y[row * units]);
    if (c.constant) {
      sum[0] += value;
    } else if (const std::int64_t from = c.source(row, column); from >= 0) {
      sum[0] += value * static_cast<double>(x[from * c.factors() + column.factor]);
    }
  }
  block_sums<1>(sum);
  if (threadIdx.x == 0) w.put(k, static_cast<T>(sum[0]));
}

template <class T>
struct Spread {
  const std::int64_t* first;
  const T* m;
  Sink<T> y;
  std::int64_t count, width, size;

  __device__ void operator()(std::int64_t i) const {
    const std::int64_t k = *first + i / size, j = i % width;
    T value = T(0);
    if (k < count) value = m == nullptr ? T(j == k) : m[k * width + j];
    y.put(i, value);
  }
};

// A warp for each row of each column.
template <class T>
__global__ void __launch_bounds__(kThreads)
    pick_rows_kernel(const std::int64_t* __restrict__ first, const T* __restrict__ m,
                     const T* __restrict__ y, Sink<T> d, std::int64_t count, std::int64_t width,
                     std::int64_t rows, std::int64_t all) {
  const std::int64_t warps = std::int64_t{gridDim.x} * (kThreads / kWarp);
  const unsigned lane = threadIdx.x % kWarp;
  for (std::int64_t i = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) / kWarp; i < all;
       i += warps) {
    const std::int64_t k = *first + i / rows;
    if (k >= count) return;  // as for all i from here on
    T sum = T(0);
    if (m == nullptr) {
      sum = y[i * width + k];
    } else {
      for (std::int64_t j = lane; j < width; j += kWarp) sum += m[k * width + j] * y[i * width + j];
      sum = warp_sum(sum);
    }
    if (lane == 0) d.put(i % rows * count + k, sum);
  }
}

void advance_counter(void* stream, const kernels::AdvanceCounter::Args& a) {
  for_each(context_of(stream), 1, Count{a.counter.as<std::int64_t>(), a.by, a.restart});
}

template <class T>
void weight_tangents(void* stream, const kernels::WeightTangents::Args& a) {
  const Context& ctx = context_of(stream);
  const std::int64_t units = a.columns.units(), size = a.columns.rows() * units;
  for_each(
      ctx, a.reps * size,
      Tangents<T>{a.first.as<std::int64_t>(), a.x.as<T>(), {ctx, a.y}, a.columns, size, units});
}

template <class T>
void weight_adjoints(void* stream, const kernels::WeightAdjoints::Args& a) {
  const Context& ctx = context_of(stream);
  launch(ctx, &weight_adjoints_kernel<T>, static_cast<unsigned>(a.reps), kThreads, 0,
         a.first.as<std::int64_t>(), a.x.as<T>(), a.y.as<T>(), Sink<T>(ctx, a.w), a.columns);
}

template <class T>
void spread_rows(void* stream, const kernels::SpreadRows::Args& a) {
  const Context& ctx = context_of(stream);
  const std::int64_t size = a.rows * a.width;
  for_each(ctx, a.reps * size,
           Spread<T>{a.first.as<std::int64_t>(), a.m.as<T>(), {ctx, a.y}, a.count, a.width, size});
}

template <class T>
void pick_rows(void* stream, const kernels::PickRows::Args& a) {
  const Context& ctx = context_of(stream);
  const std::int64_t all = a.reps * a.rows;
  if (all == 0) return;
  launch(ctx, &pick_rows_kernel<T>, blocks_for(ctx, all, kThreads / kWarp), kThreads, 0,
         a.first.as<std::int64_t>(), a.m.as<T>(), a.y.as<T>(), Sink<T>(ctx, a.d), a.count, a.width,
         a.rows, all);
}

template <class T>
void register_for(KernelTable& table, DType dtype) {
  table.add<kernels::AdvanceCounter>(dtype, &advance_counter);
  table.add<kernels::WeightTangents>(dtype, &weight_tangents<T>);
  table.add<kernels::WeightAdjoints>(dtype, &weight_adjoints<T>);
  table.add<kernels::SpreadRows>(dtype, &spread_rows<T>);
  table.add<kernels::PickRows>(dtype, &pick_rows<T>);
}

}  // namespace

void register_columns(KernelTable& table) {
  register_for<float>(table, DType::f32);
  register_for<double>(table, DType::f64);
}

}  // namespace hesscore::cuda
