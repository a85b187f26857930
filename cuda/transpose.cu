// Transposes of stacks of matrices, by way of tiles in shared memory.
#include "backend/kernels.hpp"
#include "packs.cuh"
#include "register.hpp"

namespace hesscore::cuda {

namespace {

constexpr int kTile = 32,
              kRows = 8;  // a block of kTile x kRows threads moves kTile x kTile numbers

template <class T>
struct Matrices {
  const T* x;
  Sink<T> y;
  std::int64_t rows, columns;
  unsigned down, across;  // tiles

  // Where one side is short, tiles would be empty: thread e writes element e.
  __device__ void operator()(std::int64_t e) const {
    const std::int64_t line = e / rows, b = line / columns;
    const std::int64_t i = e - line * rows, j = line - b * columns;
    y.put(e, x[(b * rows + i) * columns + j]);
  }
};

// The column more keeps the threads that read down a column in different banks.
template <class T>
__global__ void __launch_bounds__(kTile* kRows)
    transpose_kernel(std::int64_t tiles, Matrices<T> m) {
  __shared__ T tile[kTile][kTile + 1];
  const int lane = static_cast<int>(threadIdx.x % kTile),
            row = static_cast<int>(threadIdx.x / kTile);
  for (std::int64_t t = blockIdx.x; t < tiles; t += gridDim.x) {
    const std::int64_t line = t / m.across, b = line / m.down;
    const std::int64_t i0 = (line - b * m.down) * kTile, j0 = (t - line * m.across) * kTile;
    const std::int64_t at = b * m.rows * m.columns;
#pragma unroll
    for (int k = row; k < kTile; k += kRows) {
      if (i0 + k < m.rows && j0 + lane < m.columns) {
        tile[k][lane] = m.x[at + (i0 + k) * m.columns + j0 + lane];
      }
    }
    __syncthreads();
#pragma unroll
    for (int k = row; k < kTile; k += kRows) {
      if (j0 + k < m.columns && i0 + lane < m.rows) {
        m.y.put(at + (j0 + k) * m.rows + i0 + lane, tile[lane][k]);
      }
    }
    __syncthreads();
  }
}

template <class T>
void transpose(void* stream, const kernels::Transpose::Args& a) {
  const Context& ctx = context_of(stream);
  const std::int64_t n = a.batch * a.rows * a.columns;
  if (n == 0) return;
  Matrices<T> m{a.x.as<T>(), {ctx, a.y}, a.rows, a.columns, 0, 0};
  if (std::min(a.rows, a.columns) < kTile / 4) return for_each(ctx, n, m);
  m.down = static_cast<unsigned>(parts(a.rows, kTile));
  m.across = static_cast<unsigned>(parts(a.columns, kTile));
  const std::int64_t tiles = a.batch * m.down * m.across;
  launch(ctx, &transpose_kernel<T>, blocks_for(ctx, tiles, 1, 32), kTile * kRows, 0, tiles, m);
}

}  // namespace

void register_transposes(KernelTable& table) {
  table.add<kernels::Transpose>(DType::f32, &transpose<float>);
  table.add<kernels::Transpose>(DType::f64, &transpose<double>);
}

}  // namespace hesscore::cuda
