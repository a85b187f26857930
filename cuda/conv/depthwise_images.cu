// Images of depthwise convolutions: a thread makes some neighbouring channels of a position.
#include "conv/problem.hpp"
#include "packs.cuh"
#include "product/epilogue.cuh"

namespace hesscore::cuda {

namespace {

// A row of the batch: a position of an item's results.
struct DepthwisePlace {
  int item, image, down, across;

  template <class T>
  __device__ DepthwisePlace(const ConvProblem<T>& p, std::int64_t row)
      : item(static_cast<int>(row / p.m)), across(static_cast<int>(row % p.m)) {
    down = p.y_across.split(across);
    image = p.y_down.split(down);
  }
};

template <class T, int kWidth>
struct DepthwiseSums {
  T first[kWidth], second[kWidth];
};

// One tap's share.
template <class T, int kWidth>
__device__ __forceinline__ void add_tap(const ConvProblem<T>& p, std::int64_t from, const T* b,
                                        Extent e, Extent weights, DepthwiseSums<T, kWidth>& sums) {
  T w[kWidth], x[kWidth];
  if (p.column_b == 1) {
    load(w, b, weights);
  } else {
#pragma unroll
    for (int k = 0; k < kWidth; ++k) w[k] = k < e.count ? b[k * p.column_b] : T(0);
  }
  load(x, p.a + from, e);
#pragma unroll
  for (int k = 0; k < kWidth; ++k) sums.first[k] += (p.square_b ? w[k] * w[k] : w[k]) * x[k];
  if (p.a2 == nullptr) return;
  load(x, p.a2 + from, e);
#pragma unroll
  for (int k = 0; k < kWidth; ++k) sums.second[k] += w[k] * w[k] * x[k];
}

template <class T, int kWidth>
__device__ __forceinline__ void add_taps(const ConvProblem<T>& p, const DepthwisePlace& at,
                                         std::int64_t channel, Extent e, Extent weights,
                                         DepthwiseSums<T, kWidth>& sums) {
  const int height = p.of_x ? p.down.y : p.down.x, width = p.of_x ? p.across.y : p.across.x;
  const T* b = p.b + at.item * p.stride_b + channel * p.column_b;
  for (int i = 0; i < p.down.kernel; ++i) {
    const int down = p.of_x ? read_of_x(p.down, at.down, i) : read_of_y(p.down, at.down, i);
    if (down < 0) continue;
    for (int j = 0; j < p.across.kernel; ++j) {
      const int across =
          p.of_x ? read_of_x(p.across, at.across, j) : read_of_y(p.across, at.across, j);
      if (across < 0) continue;
      const std::int64_t position = std::int64_t{at.image * height + down} * width + across;
      add_tap(p, at.item * p.stride_a + position * p.lead_a + channel,
              b + (i * p.across.kernel + j) * p.tap_b, e, weights, sums);
    }
  }
}

template <class T>
__global__ void __launch_bounds__(Sheet::kThreads, 3)
    depthwise_image_kernel(const __grid_constant__ ConvProblem<T> p, Sheet sheet, bool wide,
                           bool wide_weights) {
  constexpr int kWidth = kPack<T>;
  const Part part = part_of(sheet, std::int64_t{p.batch} * p.m);
  const std::int64_t channel = part.column * kWidth, channels = p.lead_c;
  if (channel >= channels) return;
  const Extent e = extent<kWidth>(channel, channels, wide);
  const Extent weights{e.count, wide_weights && e.count == kWidth};
#pragma unroll 1
  for (std::int64_t row = part.first; row < part.end; row += part.step) {
    const DepthwisePlace at(p, row);
    DepthwiseSums<T, kWidth> sums = {};
    add_taps(p, at, channel, e, weights, sums);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) {
      if (p.bias != nullptr && k < e.count) {
        sums.first[k] += p.bias[at.item * p.stride_bias + channel + k];
      }
    }
    const std::int64_t to = at.item * p.stride_c + row % p.m * channels + channel;
    put(p.c, to, sums.first, e);
    if (p.c2) put(p.c2, to, sums.second, e);
    if (p.then.kind == kernels::Epilogue::none) continue;
    with_rule(p.then.act, [&](auto rule) {
#pragma unroll
      for (int k = 0; k < kWidth; ++k) {
        if (k >= e.count) break;
        put_activated<decltype(rule)>(p.then, to + k, sums.first[k], sums.second[k]);
      }
    });
  }
}

}  // namespace

template <class T>
void run_depthwise_images(const Context& ctx, const ConvProblem<T>& p) {
  const bool wide = aligned(p.a, p.stride_a | p.lead_a) && aligned(p.a2) &&
                    aligned(p.c.data, p.stride_c) && aligned(p.c2.data);
  const bool wide_weights = p.column_b == 1 && aligned(p.b, p.stride_b | p.tap_b);
  const Sheet sheet = share(ctx, parts(p.lead_c, kPack<T>), std::int64_t{p.batch} * p.m);
  launch(ctx, &depthwise_image_kernel<T>, sheet.tiles * sheet.slices, Sheet::kThreads, 0, p, sheet,
         wide, wide_weights);
}

template void run_depthwise_images(const Context&, const ConvProblem<float>&);
template void run_depthwise_images(const Context&, const ConvProblem<double>&);

}  // namespace hesscore::cuda
