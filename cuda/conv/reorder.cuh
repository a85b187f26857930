// The weights of images: as they are, (o, c / groups, taps), or first put in the order of k, so
// that the columns of op(b) are contiguous.
#pragma once

#include "conv/problem.hpp"
#include "product/arguments.hpp"

namespace hesscore::cuda {

// For every item and group a matrix (rows, channels taps) becomes its transpose, whose rows are in
// another order: (taps channels, rows).
template <class T>
struct Reorder {
  const T* from;
  T* to;
  std::int64_t stride;  // from an item to the next; what is written is dense
  int groups, rows, channels;
  math::Divider taps;

  __host__ __device__ int columns() const { return channels * static_cast<int>(taps.by); }
};
constexpr int kReorderTile = 32, kReorderThreads = 256;

template <class T>
__global__ void __launch_bounds__(kReorderThreads) reorder_kernel(Reorder<T> o) {
  __shared__ T tile[kReorderTile][kReorderTile + 1];
  constexpr int kStep = kReorderThreads / kReorderTile;
  const int x = static_cast<int>(threadIdx.x) % kReorderTile;
  const int y = static_cast<int>(threadIdx.x) / kReorderTile;
  const unsigned across = (o.columns() + kReorderTile - 1) / kReorderTile;
  const unsigned down = (o.rows + kReorderTile - 1) / kReorderTile;
  const unsigned group = blockIdx.x / (across * down), place = blockIdx.x % (across * down);
  const int row = static_cast<int>(place / across) * kReorderTile;
  const int column = static_cast<int>(place % across) * kReorderTile;
  const std::int64_t size = std::int64_t{o.rows} * o.columns();
  const T* from = o.from + group / o.groups * o.stride + group % o.groups * size;
  for (int r = y; r < kReorderTile; r += kStep) {
    if (row + r < o.rows && column + x < o.columns()) {
      tile[r][x] = from[std::int64_t{row + r} * o.columns() + column + x];
    }
  }
  __syncthreads();
  for (int r = y; r < kReorderTile; r += kStep) {
    int tap = column + r;
    if (tap >= o.columns() || row + x >= o.rows) continue;
    const int channel = o.taps.split(tap);
    o.to[group * size + (std::int64_t{tap} * o.channels + channel) * o.rows + row + x] = tile[x][r];
  }
}

constexpr std::size_t kSharedByReorder = 2;  // the workspace, with partial results
constexpr std::int64_t kFewSteps = 32;       // of k, which are read just as they are

// b in order, and where that leaves its taps, channels and columns.
template <class T>
void reorder(const Context& ctx, ConvProblem<T>& p, std::int64_t items, int groups,
             std::int64_t rows, std::int64_t channels) {
  const math::Divider taps(p.down.kernel * p.across.kernel);
  const std::int64_t size = rows * channels * taps.by * groups;
  const Reorder<T> order{
      p.b, static_cast<T*>(ctx.workspace), p.stride_b, groups, extent(rows), extent(channels),
      taps};
  const std::int64_t tiles = detail::pieces(rows, kReorderTile) *
                             detail::pieces(order.columns(), kReorderTile) * items * groups;
  launch(ctx, &reorder_kernel<T>, static_cast<unsigned>(extent(tiles)), kReorderThreads, 0, order);
  p.b = order.to;
  p.stride_b = p.stride_b == 0 ? 0 : size;
  p.column_b = 1;
  p.reserved = (static_cast<std::size_t>(items * size) * sizeof(T) + 255) / 256 * 256;
}

// Not the weights that are few, or too many.
template <class T>
bool may_reorder(const Context& ctx, const ConvProblem<T>& p, std::int64_t weights) {
  return p.steps > kFewSteps &&
         static_cast<std::size_t>(weights) * sizeof(T) <= ctx.workspace_bytes / kSharedByReorder;
}

template <class T>
void set_weights(const Context& ctx, ConvProblem<T>& p, const math::ConvGeometry& g,
                 std::int64_t batch) {
  const std::int64_t of_output = g.group_c() * g.taps(), items = p.stride_b == 0 ? 1 : batch;
  p.group_b = g.group_o() * of_output;
  p.tap_b = 1;
  p.channel_b = p.of_x ? of_output : g.taps();
  p.column_b = p.of_x ? g.taps() : of_output;
  if (p.column_b > 1 && may_reorder(ctx, p, items * g.weights())) {
    const std::int64_t rows = p.of_x ? g.group_o() * g.group_c() : g.group_o();
    reorder(ctx, p, items, p.groups, rows, p.of_x ? 1 : g.group_c());
    p.tap_b = std::int64_t{p.channels.by} * p.n;
    p.channel_b = p.n;
  }
  p.lead_b = p.n;
  p.in_order_b = p.column_b == 1 && p.phases() == 1;
  p.wide_b = p.column_b == 1 && may_copy_wide<T>(p.b, p.n, p.stride_b | p.group_b);
}

// Of depthwise convolutions, where channels are what is read side by side.
template <class T>
void set_depthwise_weights(const Context& ctx, ConvProblem<T>& p, const math::ConvGeometry& g,
                           std::int64_t batch) {
  const std::int64_t items = p.stride_b == 0 ? 1 : batch;
  p.tap_b = 1;
  p.column_b = g.taps();
  if (p.column_b == 1 || !may_reorder(ctx, p, items * g.weights())) return;
  reorder(ctx, p, items, 1, g.c, 1);
  p.tap_b = g.c;
}

}  // namespace hesscore::cuda
