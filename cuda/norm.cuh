// The passes of math/norms.hpp over arrays. Threads of a row share one group's statistics, a whole
// group at a time; where the channels of a group are few and lie apart, threads have a column each,
// and means are found from slices of the positions. Sums are accumulated in double.
#pragma once

#include <algorithm>

#include "group.cuh"
#include "math/norms.hpp"
#include "packs.cuh"

namespace hesscore::cuda {

constexpr int kNormThreads = 256;
constexpr int kNormTile = 32, kNormLines = kNormThreads / kNormTile;  // columns, rows of a block
constexpr std::int64_t kNormBlocks =
    512;  // that fill a device; not its own number: sums would differ

// A call, or some samples of one rep of it. Units are samples of reps.
template <class T, class Pass>
struct NormCall {
  math::NormGeometry g;
  Pass pass;
  const T *x, *statistics;  // without statistics: mean 0 and r = 1
  const T *w, *dw, *b, *in[3];
  bool stacked[3];
  std::int64_t reps, stride;  // between dw, b and sums of reps
  Sink<T> out[2], sum[4];
  std::int64_t planes;  // of statistics: numbers from one to the next
  double* means;        // (units, kMoments, groups), null: zeros

  __device__ math::NormPoint<T> at(std::int64_t rep, std::int64_t s, std::int64_t group,
                                   std::int64_t column, std::int64_t i) const {
    const auto given = [](const T* p, std::int64_t k, T other) { return p ? p[k] : other; };
    const std::int64_t k = s * g.groups + group;
    const T high = given(statistics, k, T(0)), low = given(statistics, k + planes, T(0));
    math::NormPoint<T> p{};
    p.r = statistics ? statistics[k + 2 * planes] : T(1);
    p.xhat = ((x[i] - high) - low) * p.r;
    p.w = given(w, column, T(1));
    p.dw = given(dw, rep * stride + column, T(0));
    p.b = given(b, rep * stride + column, T(0));
#pragma unroll
    for (int q = 0; q < Pass::kIn; ++q) {
      p.in[q] = given(in[q], (stacked[q] ? rep * g.size() : 0) + i, T(0));
    }
    return p;
  }
  __device__ double* means_of(std::int64_t unit, std::int64_t group) const {
    return means + unit * Pass::kMoments * g.groups + group;
  }
  __device__ void load_means(std::int64_t unit, std::int64_t group, T* m) const {
#pragma unroll
    for (int k = 0; k < Pass::kMoments; ++k) {
      m[k] = means ? static_cast<T>(means_of(unit, group)[k * g.groups]) : T(0);
    }
  }
  __device__ double mean_of_sum(int k, double sum) const {
    const bool none = !g.centred && (Pass::kCentred >> k & 1u) != 0;
    return none ? 0 : sum / static_cast<double>(g.count());
  }
  __device__ void put(const math::NormPoint<T>& p, const T* m, std::int64_t at) const {
    T y[Pass::kOut > 0 ? Pass::kOut : 1];
    pass.results(p, m, y);
#pragma unroll
    for (int q = 0; q < Pass::kOut; ++q) {
      if (out[q]) out[q].put(at, y[q]);
    }
  }
};

// ---- groups as rows ----------------------------------------------------------------------------

// Rows of 32 threads, or of the whole block. `along`: threads beside each other on channels, the
// others on further positions.
template <bool kWhole, class T, class Pass>
__global__ void __launch_bounds__(kNormThreads)
    norm_rows_kernel(NormCall<T, Pass> d, std::int64_t rows, int along) {
  constexpr int kM = Pass::kMoments, kWidth = kWhole ? kNormThreads : kWarp;
  __shared__ double shared[kM > 0 ? kM : 1];
  const std::int64_t row =
      kWhole ? blockIdx.x : std::int64_t{blockIdx.x} * (kNormThreads / kWarp) + threadIdx.x / kWarp;
  const bool inside = row < rows;
  const int lane = static_cast<int>(threadIdx.x) % kWidth;
  const std::int64_t unit = row / d.g.groups, group = row % d.g.groups;
  const std::int64_t rep = unit / d.g.samples, s = unit % d.g.samples;
  const auto each = [&](auto f) {
    if (!inside) return;
    for (std::int64_t p = lane / along; p < d.g.positions; p += kWidth / along) {
      for (std::int64_t k = lane % along; k < d.g.channels; k += along) {
        const std::int64_t column = group * d.g.channels + k;
        const std::int64_t i = s * d.g.sample() + p * d.g.columns() + column;
        f(d.at(rep, s, group, column, i), i);
      }
    }
  };
  T m[kM > 0 ? kM : 1] = {};
  if constexpr (kM > 0) {
    if (d.means != nullptr) {
      double sum[kM] = {};
      each([&](const math::NormPoint<T>& p, std::int64_t) {
        T t[kM];
        d.pass.moments(p, t);
#pragma unroll
        for (int k = 0; k < kM; ++k) sum[k] += static_cast<double>(t[k]);
      });
      if constexpr (kWhole) {
        block_sums<kM>(sum);
        if (threadIdx.x == 0) {
          for (int k = 0; k < kM; ++k) shared[k] = sum[k];
        }
        __syncthreads();
        for (int k = 0; k < kM; ++k) sum[k] = shared[k];
      } else {
        for (int k = 0; k < kM; ++k) sum[k] = warp_sum(sum[k]);
      }
#pragma unroll
      for (int k = 0; k < kM; ++k) {
        const double mean = d.mean_of_sum(k, sum[k]);
        if (inside && lane == 0) d.means_of(unit, group)[k * d.g.groups] = mean;
        m[k] = static_cast<T>(mean);
      }
    }
  }
  if constexpr (Pass::kOut > 0) {
    each([&](const math::NormPoint<T>& p, std::int64_t i) { d.put(p, m, rep * d.g.size() + i); });
  }
}

// ---- columns -----------------------------------------------------------------------------------

// A block's share of the lines of a tile of columns.
struct NormTiles {
  std::int64_t tiles, slices, lines;  // lines of a slice

  __device__ std::int64_t column() const {
    return blockIdx.x / slices % tiles * kNormTile + threadIdx.x % kNormTile;
  }
  __device__ std::int64_t place() const { return blockIdx.x / slices / tiles; }  // unit or rep
  __device__ std::int64_t slice() const { return blockIdx.x % slices; }
  __device__ std::int64_t first() const { return slice() * lines + threadIdx.x / kNormTile; }
  __device__ std::int64_t end(std::int64_t all) const {
    return (slice() + 1) * lines < all ? (slice() + 1) * lines : all;
  }
};

// The sum over the lines of a block; its first line has it.
__device__ __forceinline__ double sum_of_lines(double x) {
  __shared__ double parts[kNormLines][kNormTile + 1];
  const unsigned line = threadIdx.x / kNormTile, column = threadIdx.x % kNormTile;
  __syncthreads();  // of an earlier use
  parts[line][column] = x;
  __syncthreads();
  for (int k = 1; k < kNormLines && line == 0; ++k) x += parts[k][column];
  return x;
}

// partial: (units, slices, kMoments, columns)
template <class T, class Pass>
__global__ void __launch_bounds__(kNormThreads)
    norm_moments_kernel(NormCall<T, Pass> d, NormTiles tiles, double* partial) {
  constexpr int kM = Pass::kMoments;
  const std::int64_t column = tiles.column(), all = d.g.columns(), unit = tiles.place();
  const std::int64_t rep = unit / d.g.samples, s = unit % d.g.samples;
  const bool inside = column < all;
  const std::int64_t group = column / d.g.channels, end = inside ? tiles.end(d.g.positions) : 0;
  double sum[kM] = {};
  for (std::int64_t p = tiles.first(); p < end; p += kNormLines) {
    T t[kM];
    d.pass.moments(d.at(rep, s, group, column, s * d.g.sample() + p * all + column), t);
#pragma unroll
    for (int k = 0; k < kM; ++k) sum[k] += static_cast<double>(t[k]);
  }
#pragma unroll
  for (int k = 0; k < kM; ++k) {
    const double total = sum_of_lines(sum[k]);
    if (inside && threadIdx.x < kNormTile) {
      partial[((unit * tiles.slices + tiles.slice()) * kM + k) * all + column] = total;
    }
  }
}

template <class T, class Pass>
struct NormMeans {
  NormCall<T, Pass> d;
  const double* partial;
  std::int64_t slices;
  __device__ void operator()(std::int64_t i) const {
    constexpr int kM = Pass::kMoments;
    const std::int64_t all = d.g.columns(), unit = i / (kM * d.g.groups);
    const std::int64_t k = i / d.g.groups % kM, group = i % d.g.groups;
    double sum = 0;
    for (std::int64_t s = 0; s < slices; ++s) {
      const double* const at =
          partial + ((unit * slices + s) * kM + k) * all + group * d.g.channels;
      for (std::int64_t c = 0; c < d.g.channels; ++c) sum += at[c];
    }
    d.means[i] = d.mean_of_sum(static_cast<int>(k), sum);
  }
};

template <class T, class Pass>
__global__ void __launch_bounds__(kNormThreads)
    norm_results_kernel(NormCall<T, Pass> d, NormTiles tiles) {
  const std::int64_t column = tiles.column(), all = d.g.columns(), unit = tiles.place();
  if (column >= all) return;
  const std::int64_t rep = unit / d.g.samples, s = unit % d.g.samples;
  const std::int64_t group = column / d.g.channels, end = tiles.end(d.g.positions);
  T m[Pass::kMoments > 0 ? Pass::kMoments : 1] = {};
  d.load_means(unit, group, m);
  for (std::int64_t p = tiles.first(); p < end; p += kNormLines) {
    const std::int64_t i = s * d.g.sample() + p * all + column;
    d.put(d.at(rep, s, group, column, i), m, rep * d.g.size() + i);
  }
}

// partial: (reps, slices, kWeights, columns); lines are positions of all samples.
template <class T, class Pass>
__global__ void __launch_bounds__(kNormThreads)
    norm_weights_kernel(NormCall<T, Pass> d, NormTiles tiles, double* partial) {
  constexpr int kW = Pass::kWeights;
  const std::int64_t column = tiles.column(), all = d.g.columns(), rep = tiles.place();
  const bool inside = column < all;
  const std::int64_t group = column / d.g.channels;
  const std::int64_t end = inside ? tiles.end(d.g.samples * d.g.positions) : 0;
  double sum[kW] = {};
  for (std::int64_t line = tiles.first(); line < end; line += kNormLines) {
    const std::int64_t s = d.g.positions == 1 ? line : line / d.g.positions;
    T m[Pass::kMoments > 0 ? Pass::kMoments : 1] = {}, t[kW];
    d.load_means(rep * d.g.samples + s, group, m);
    d.pass.weights(d.at(rep, s, group, column, line * all + column), m, t);
#pragma unroll
    for (int k = 0; k < kW; ++k) sum[k] += static_cast<double>(t[k]);
  }
#pragma unroll
  for (int k = 0; k < kW; ++k) {
    const double total = sum_of_lines(sum[k]);
    if (inside && threadIdx.x < kNormTile) {
      partial[((rep * tiles.slices + tiles.slice()) * kW + k) * all + column] = total;
    }
  }
}

template <class T, class Pass>
struct NormWeights {
  NormCall<T, Pass> d;
  const double* partial;
  std::int64_t slices;
  __device__ void operator()(std::int64_t i) const {
    constexpr int kW = Pass::kWeights;
    const std::int64_t all = d.g.columns(), rep = i / (kW * all), k = i / all % kW, c = i % all;
#pragma unroll
    for (int q = 0; q < kW; ++q) {
      if (q != k || !d.sum[q]) continue;
      double sum = 0;
      for (std::int64_t s = 0; s < slices; ++s)
        sum += partial[((rep * slices + s) * kW + k) * all + c];
      d.sum[q].put(rep * d.stride + c, static_cast<T>(sum));
    }
  }
};

// ---- launches ----------------------------------------------------------------------------------

inline bool norm_by_rows(const math::NormGeometry& g) {
  return g.positions == 1 || g.groups == 1 || g.channels >= 8;
}

// At least 32 lines for each slice, and blocks enough; `most` slices fit.
inline NormTiles norm_tiles(std::int64_t columns, std::int64_t places, std::int64_t lines,
                            std::int64_t most) {
  const std::int64_t tiles = parts(columns, kNormTile);
  std::int64_t slices =
      std::min(kNormBlocks / std::max<std::int64_t>(1, places * tiles), lines / 32);
  slices = std::max<std::int64_t>(1, std::min(slices, most));
  return {tiles, slices, parts(lines, slices)};
}

// Results from means, which are found first if there is room for them and `d.means` is set.
template <class T, class Pass>
void norm_results(const Context& ctx, const NormCall<T, Pass>& d, double* partial,
                  std::int64_t room) {
  const std::int64_t units = d.reps * d.g.samples;
  const bool any_out = Pass::kOut > 0 && (d.out[0].data != nullptr || d.out[1].data != nullptr);
  if (norm_by_rows(d.g)) {
    if (!any_out && d.means == nullptr) return;
    const std::int64_t rows = units * d.g.groups;
    const bool whole = d.g.count() > 1024;
    const int width = whole ? kNormThreads : static_cast<int>(kWarp);
    int along = 1;
    while (along < width && along < d.g.channels) along *= 2;
    const auto blocks =
        static_cast<unsigned>(whole ? rows : parts(rows, kNormThreads / static_cast<int>(kWarp)));
    const auto kernel =
        whole ? &norm_rows_kernel<true, T, Pass> : &norm_rows_kernel<false, T, Pass>;
    return launch(ctx, kernel, blocks, kNormThreads, 0, d, rows, along);
  }
  if constexpr (Pass::kMoments > 0) {
    if (d.means != nullptr) {
      const std::int64_t each = units * Pass::kMoments * d.g.columns();
      const NormTiles tiles = norm_tiles(d.g.columns(), units, d.g.positions, room / each);
      launch(ctx, &norm_moments_kernel<T, Pass>,
             static_cast<unsigned>(units * tiles.tiles * tiles.slices), kNormThreads, 0, d, tiles,
             partial);
      for_each(ctx, units * Pass::kMoments * d.g.groups,
               NormMeans<T, Pass>{d, partial, tiles.slices});
    }
  }
  if constexpr (Pass::kOut > 0) {
    if (!any_out) return;
    const NormTiles tiles = norm_tiles(d.g.columns(), units, d.g.positions, d.g.positions);
    launch(ctx, &norm_results_kernel<T, Pass>,
           static_cast<unsigned>(units * tiles.tiles * tiles.slices), kNormThreads, 0, d, tiles);
  }
}

template <class T, class Pass>
void norm_weights(const Context& ctx, const NormCall<T, Pass>& d, double* partial,
                  std::int64_t room) {
  if constexpr (Pass::kWeights > 0) {
    bool any = false;
    for (const Sink<T>& s : d.sum) any = any || s.data != nullptr;
    if (!any) return;
    const std::int64_t lines = d.g.samples * d.g.positions;
    const std::int64_t each = d.reps * Pass::kWeights * d.g.columns();
    const NormTiles tiles = norm_tiles(d.g.columns(), d.reps, lines, room / each);
    launch(ctx, &norm_weights_kernel<T, Pass>,
           static_cast<unsigned>(d.reps * tiles.tiles * tiles.slices), kNormThreads, 0, d, tiles,
           partial);
    for_each(ctx, each, NormWeights<T, Pass>{d, partial, tiles.slices});
  }
}

// Some samples of one rep.
template <class T, class Pass>
NormCall<T, Pass> norm_window(NormCall<T, Pass> d, std::int64_t rep, std::int64_t first,
                              std::int64_t samples) {
  const std::int64_t size = d.g.size(), skip = first * d.g.sample();
  d.x += skip;
  if (d.statistics != nullptr) d.statistics += first * d.g.groups;
  for (int q = 0; q < 3; ++q) {
    if (d.in[q] != nullptr) d.in[q] += (d.stacked[q] ? rep * size : 0) + skip;
  }
  for (Sink<T>& o : d.out) {
    if (o.data != nullptr) o.data += rep * size + skip;
  }
  if (d.dw != nullptr) d.dw += rep * d.stride;
  if (d.b != nullptr) d.b += rep * d.stride;
  for (Sink<T>& o : d.sum) {
    if (o.data == nullptr) continue;
    o.data += rep * d.stride;
    o.accumulate = o.accumulate || first > 0;
  }
  d.reps = 1;
  d.g.samples = samples;
  return d;
}

// The means of all units lie in the workspace, sums beside them; calls that are too large for it
// are made of calls for some samples.
template <class T, class Pass>
void norm_run(const Context& ctx, NormCall<T, Pass> d) {
  if (d.reps * d.g.size() == 0) return;
  auto* const workspace = static_cast<double*>(ctx.workspace);
  const auto room = static_cast<std::int64_t>(ctx.workspace_bytes / sizeof(double));
  const std::int64_t means = Pass::kMoments * d.g.groups;
  const std::int64_t unit = means + Pass::kMoments * (norm_by_rows(d.g) ? 0 : d.g.columns());
  const auto run = [&](NormCall<T, Pass> c) {
    const std::int64_t used = c.reps * c.g.samples * means;
    c.means = c.g.fixed || Pass::kMoments == 0 ? nullptr : workspace;
    norm_results(ctx, c, workspace + used, room - used);
    norm_weights(ctx, c, workspace + used, room - used);
  };
  const std::int64_t sums = Pass::kWeights * d.g.columns(), units = d.reps * d.g.samples;
  if (units * unit + d.reps * sums <= room) return run(d);
  const std::int64_t samples =
      std::clamp<std::int64_t>((room - sums) / std::max<std::int64_t>(1, unit), 1, d.g.samples);
  for (std::int64_t rep = 0; rep < d.reps; ++rep) {
    for (std::int64_t first = 0; first < d.g.samples; first += samples) {
      run(norm_window(d, rep, first, std::min(samples, d.g.samples - first)));
    }
  }
}

}  // namespace hesscore::cuda
