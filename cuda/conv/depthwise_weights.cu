// Weights of depthwise convolutions: a block adds up one tap of 32 channels; its warps take the
// rows of the images in turn, or whole samples, whose sums are squared.
#include "conv/problem.hpp"
#include "group.cuh"

namespace hesscore::cuda {

namespace {

constexpr int kWarps = 8, kSums = 4;  // of w, w2, sum and sum2
constexpr std::int64_t kMostSlices = 64, kSegmentsOfSlice = 4 * kWarps;

// Rows of y, or samples: each block has `per_slice` of them.
struct Segments {
  int count, per_slice;
  bool squares;
};

// One tap of a channel; x, y and y2 point to the channel.
template <class T>
struct DepthwiseTap {
  const ConvProblem<T>& p;
  const T *y, *y2, *x;
  int down, across;

  __device__ bool is_first() const { return down == 0 && across == 0; }

  // Row `row` of y's image and of x's. The first tap is that of the sums of all of y.
  __device__ void add_row(int image_y, int image_x, int row, T (&sums)[kSums]) const {
    const int from = read_of_y(p.down, row, down);
    if (from < 0 && !is_first()) return;
    const std::int64_t start = (std::int64_t{image_y} * p.down.y + row) * p.across.y;
    const std::int64_t start_x = (std::int64_t{image_x} * p.down.x + from) * p.across.x;
    for (int j = 0; j < p.across.y; ++j) {
      const int at = from < 0 ? -1 : read_of_y(p.across, j, across);
      if (at < 0 && !is_first()) continue;
      const T u = y[(start + j) * p.lead_a], u2 = y2 ? y2[(start + j) * p.lead_a] : T(0);
      const T v = at < 0 ? T(0) : x[(start_x + at) * p.lead_b];
      sums[0] += (p.square_a ? u * u : u) * (p.square_b ? v * v : v);
      sums[1] += u2 * (v * v);
      sums[2] += u;
      sums[3] += u2;
    }
  }

  __device__ void add_segments(const Segments& all, int first, int end, T (&sums)[kSums]) const {
    for (int s = first; s < end; s += kWarps) {
      if (!all.squares) {
        add_row(s / p.down.y, s / p.down.y, s % p.down.y, sums);
        continue;
      }
      T inner[kSums] = {};
      const int image_y = s % (p.steps_a / p.length), image_x = s % (p.steps_b / p.length);
      for (int row = 0; row < p.down.y; ++row) add_row(image_y, image_x, row, inner);
      sums[0] += inner[0] * inner[0];
    }
  }
};

// The sums over the block's warps; warp 0 has them.
template <class T>
__device__ void sum_warps(T (&sums)[kSums]) {
  __shared__ T parts[kSums][kWarps][kWarp];
  const unsigned lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  for (int k = 0; k < kSums; ++k) parts[k][warp][lane] = sums[k];
  __syncthreads();
  if (warp != 0) return;
  for (int k = 0; k < kSums; ++k) {
    for (int other = 1; other < kWarps; ++other) sums[k] += parts[k][other][lane];
  }
}

// blockIdx.x counts items, tiles of channels and taps, blockIdx.y slices of the segments.
template <class T>
__global__ void __launch_bounds__(kWarp* kWarps, 2)
    depthwise_weight_kernel(const __grid_constant__ ConvProblem<T> p, Segments all) {
  const int taps = p.down.kernel * p.across.kernel, tap = static_cast<int>(blockIdx.x) % taps;
  const int tiles = (p.groups + kWarp - 1) / kWarp, tile = static_cast<int>(blockIdx.x) / taps;
  const int item = tile / tiles, lane = static_cast<int>(threadIdx.x % kWarp);
  const int channel = tile % tiles * static_cast<int>(kWarp) + lane;
  const bool inside = channel < p.groups;
  T sums[kSums] = {};
  if (inside) {
    const std::int64_t from = item * p.stride_a + channel;
    const DepthwiseTap<T> mine{p,
                               p.a + from,
                               p.a2 == nullptr ? nullptr : p.a2 + from,
                               p.b + item * p.stride_b + channel,
                               tap / p.across.kernel,
                               tap % p.across.kernel};
    const int first = static_cast<int>(blockIdx.y) * all.per_slice;
    mine.add_segments(all, first + static_cast<int>(threadIdx.x / kWarp),
                      min(all.count, first + all.per_slice), sums);
  }
  sum_warps(sums);
  if (gridDim.y > 1) {
    T* partials = p.partials + std::int64_t{blockIdx.x} * gridDim.y * (kSums * kWarp) + lane;
    for (int k = 0; k < kSums && threadIdx.x < kWarp; ++k) {
      partials[(blockIdx.y * kSums + k) * kWarp] = sums[k];
    }
    if (!last_block(p.tickets + blockIdx.x, gridDim.y)) return;
    for (int k = 0; k < kSums && threadIdx.x < kWarp; ++k) {
      sums[k] = 0;
      for (unsigned s = 0; s < gridDim.y; ++s) sums[k] += partials[(s * kSums + k) * kWarp];
    }
  }
  if (threadIdx.x >= kWarp || !inside) return;
  const std::int64_t to = std::int64_t{channel} * taps + tap;
  p.c.put(item * p.stride_c + to, p.scale * sums[0]);
  if (p.c2) p.c2.put(to, sums[1]);
  if (p.sum && tap == 0) p.sum.put(item * p.stride_sum + channel, sums[2]);
  if (p.sum2 && tap == 0) p.sum2.put(channel, sums[3]);
}

}  // namespace

template <class T>
void run_depthwise_weights(const Context& ctx, ConvProblem<T> p, bool squares) {
  Segments all{squares ? p.steps / p.length : p.images * p.down.y, 0, squares};
  const std::int64_t taps = std::int64_t{p.down.kernel} * p.across.kernel;
  const std::int64_t blocks = taps * detail::pieces(p.groups, kWarp) * p.batch;
  const std::int64_t fit =
      static_cast<std::int64_t>(ctx.workspace_bytes / (sizeof(T) * kSums * kWarp)) / blocks;
  std::int64_t slices = detail::pieces(all.count, kSegmentsOfSlice);
  slices = slices < kMostSlices ? slices : kMostSlices;
  slices = slices < fit ? slices : fit;
  if (blocks > Context::kTickets || slices < 1) slices = 1;
  all.per_slice = static_cast<int>(detail::pieces(all.count, slices));
  p.partials = static_cast<T*>(ctx.workspace);
  p.tickets = ctx.tickets;
  launch(ctx, &depthwise_weight_kernel<T>,
         dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(slices)), kWarp * kWarps, 0, p,
         all);
}

template void run_depthwise_weights(const Context&, ConvProblem<float>, bool);
template void run_depthwise_weights(const Context&, ConvProblem<double>, bool);

}  // namespace hesscore::cuda
