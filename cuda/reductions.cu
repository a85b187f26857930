// Sums over rows: columns, squares, products; and the projections of Fisher products.
#include <algorithm>

#include "backend/kernels.hpp"
#include "group.cuh"
#include "packs.cuh"
#include "register.hpp"

namespace hesscore::cuda {

namespace {

// What is summed over g for each column: sum_t a[g, t], a[g]^2, a[g] b[g], (sum_t a[g, t])^2.
enum class Term { value, square, product, group_square };

template <class T>
struct Sums {
  const T *a = nullptr, *b = nullptr;
  Sink<T> y;
  std::int64_t groups = 0, positions = 1, columns = 0, stride_x = 0, stride_y = 0;
  T scale = 1;
  T* partials = nullptr;
  unsigned* tickets = nullptr;
  Sheet sheet = {};
  unsigned lanes = 1;  // threads that share the positions of a group
  bool wide = false;
};

constexpr int kUnits = Sheet::kThreads;

// x = the sum over `count` threads on successive rows, a power of two; the first of them has it.
template <class T, int kWidth>
__device__ void fold(T (&x)[kWidth], unsigned shift, unsigned count) {
  __shared__ T parts[kWidth][kUnits];
  const unsigned row = (threadIdx.x >> shift) & (count - 1);
  for (unsigned step = count / 2; step > 0; step /= 2) {
    __syncthreads();  // of an earlier use
#pragma unroll
    for (int k = 0; k < kWidth; ++k) parts[k][threadIdx.x] = x[k];
    __syncthreads();
    if (row >= step) continue;
#pragma unroll
    for (int k = 0; k < kWidth; ++k) x[k] += parts[k][threadIdx.x + (step << shift)];
  }
}

// The thread's own part of the rows first .. end-1 of the column at `at`.
template <Term kTerm, class T, int kWidth>
__device__ __forceinline__ void sum_rows(const Sums<T>& s, std::int64_t at, std::int64_t first,
                                         std::int64_t end, Extent e, T (&sum)[kWidth]) {
  const unsigned rows = kUnits >> s.sheet.shift;
#pragma unroll 4
  for (std::int64_t g = first + (threadIdx.x >> s.sheet.shift); g < end; g += rows) {
    T x[kWidth], z[kWidth];
    load(x, s.a + at + g * s.columns, e);
    if constexpr (kTerm == Term::product) load(z, s.b + at + g * s.columns, e);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) {
      if constexpr (kTerm == Term::value) sum[k] += x[k];
      if constexpr (kTerm == Term::square) sum[k] += x[k] * x[k];
      if constexpr (kTerm == Term::product) sum[k] += x[k] * z[k];
    }
  }
}

// The same for squares of sums over positions, which `lanes` threads share.
template <class T, int kWidth>
__device__ __forceinline__ void sum_groups(const Sums<T>& s, std::int64_t at, std::int64_t first,
                                           std::int64_t end, Extent e, T (&sum)[kWidth]) {
  const unsigned row = threadIdx.x >> s.sheet.shift, lane = row & (s.lanes - 1);
  const unsigned groups = (kUnits >> s.sheet.shift) / s.lanes;
  for (std::int64_t g0 = first; g0 < end; g0 += groups) {
    const std::int64_t g = g0 + row / s.lanes, last = g < end ? s.positions : 0;
    T inner[kWidth] = {};
#pragma unroll 4
    for (std::int64_t t = lane; t < last; t += s.lanes) {
      T x[kWidth];
      load(x, s.a + at + (g * s.positions + t) * s.columns, e);
#pragma unroll
      for (int k = 0; k < kWidth; ++k) inner[k] += x[k];
    }
    fold(inner, s.sheet.shift, s.lanes);
    if (lane != 0) continue;
#pragma unroll
    for (int k = 0; k < kWidth; ++k) sum[k] += inner[k] * inner[k];
  }
}

template <Term kTerm, class T, int kWidth>
__device__ __forceinline__ void own_sum(const Sums<T>& s, std::int64_t at, std::int64_t first,
                                        std::int64_t end, Extent e, T (&sum)[kWidth]) {
  if constexpr (kTerm == Term::group_square) {
    sum_groups(s, at, first, end, e, sum);
  } else {
    sum_rows<kTerm>(s, at, first, end, e, sum);
  }
}

// Block: a slice of the rows of a tile of columns of one of the batch. The last block of a tile
// adds the slices in their order.
template <Term kTerm, class T>
__global__ void __launch_bounds__(kUnits) sums_kernel(Sums<T> s) {
  constexpr int kWidth = kPack<T>;
  const Sheet& sheet = s.sheet;
  const unsigned column = threadIdx.x & ((1u << sheet.shift) - 1), row = threadIdx.x >> sheet.shift;
  const unsigned slice = blockIdx.x % sheet.slices, place = blockIdx.x / sheet.slices;
  const std::int64_t tile = place % sheet.tiles, b = place / sheet.tiles;
  const std::int64_t j = ((tile << sheet.shift) + column) * kWidth;
  const std::int64_t first = slice * sheet.rows;
  const std::int64_t end = first + sheet.rows < s.groups ? first + sheet.rows : s.groups;
  const bool inside = j < s.columns;
  const Extent e = inside ? extent<kWidth>(j, s.columns, s.wide) : Extent{0, false};
  T sum[kWidth] = {};
  own_sum<kTerm>(s, b * s.stride_x + j, first, end, e, sum);
  fold(sum, sheet.shift, kUnits >> sheet.shift);
  if (sheet.slices > 1) {
    const std::int64_t step = std::int64_t{kWidth} << sheet.shift;
    T* own = s.partials + place * sheet.slices * step + column * kWidth;
    const Extent all{kWidth, true};
    if (row == 0) store(own + slice * step, sum, all);
    if (!last_block(s.tickets + place, sheet.slices)) return;
#pragma unroll
    for (int k = 0; k < kWidth; ++k) sum[k] = 0;
    for (unsigned p = row; p < sheet.slices; p += kUnits >> sheet.shift) {
      T x[kWidth];
      load(x, own + p * step, all);
#pragma unroll
      for (int k = 0; k < kWidth; ++k) sum[k] += x[k];
    }
    fold(sum, sheet.shift, kUnits >> sheet.shift);
  }
  if (row != 0 || !inside) return;
#pragma unroll
  for (int k = 0; k < kWidth; ++k) sum[k] *= s.scale;
  put(s.y, b * s.stride_y + j, sum, e);
}

constexpr std::int64_t kBlocks = 512;  // that fill a device; not its own number: sums would differ

// Narrow tiles while columns are few, so that the sums of a block's threads meet in the block.
template <class T>
void arrange(const Context& ctx, Sums<T>& s, std::int64_t batch, bool group_square) {
  Sheet& sheet = s.sheet;
  const std::int64_t packs = parts(s.columns, kPack<T>), rows = s.groups * s.positions;
  const auto tiles = [&] { return parts(packs, sheet.width()) * batch; };
  while (sheet.width() < packs && sheet.width() < kUnits &&
         (sheet.width() < 8 || tiles() > kBlocks || sheet.lanes() > rows)) {
    ++sheet.shift;
  }
  const std::int64_t places = tiles(), threads = sheet.lanes();
  while (group_square && s.lanes < threads && 8 * s.lanes <= s.positions &&
         s.groups * places * s.lanes < kBlocks * threads) {
    s.lanes *= 2;
  }
  const std::int64_t step = threads / s.lanes;
  std::int64_t slices = parts(s.groups, group_square ? step : 4 * step);
  slices = std::min(slices, parts(kBlocks, places));
  slices = std::min(slices, std::int64_t(ctx.workspace_bytes) / (16 * sheet.width() * places));
  if (slices < 1 || places > Context::kTickets) slices = 1;
  sheet.tiles = static_cast<unsigned>(places / batch);
  sheet.slices = static_cast<unsigned>(slices);
  sheet.rows = parts(parts(s.groups, slices), step) * step;
}

template <Term kTerm, class T>
void sum(const Context& ctx, Sums<T> s, std::int64_t batch) {
  if (batch <= 0 || s.columns <= 0) return;
  arrange(ctx, s, batch, kTerm == Term::group_square);
  s.wide = aligned(s.a, s.columns) && aligned(s.b, s.columns) && aligned(s.y.data);
  if (batch > 1) s.wide = s.wide && aligned(s.a, s.stride_x) && aligned(s.y.data, s.stride_y);
  s.partials = static_cast<T*>(ctx.workspace);
  s.tickets = ctx.tickets;
  launch(ctx, &sums_kernel<kTerm, T>, static_cast<unsigned>(s.sheet.tiles * s.sheet.slices * batch),
         kUnits, 0, s);
}

template <class T>
void column_sum(void* stream, const kernels::ColumnSum::Args& a) {
  const Context& ctx = context_of(stream);
  const bool grouped = a.square && a.positions > 1;
  const Sums<T> s{.a = a.x.as<T>(),
                  .y = {ctx, a.y},
                  .groups = grouped ? a.groups : a.groups * a.positions,
                  .positions = grouped ? a.positions : 1,
                  .columns = a.columns,
                  .stride_x = a.stride_x,
                  .stride_y = a.stride_y,
                  .scale = static_cast<T>(a.scale)};
  if (grouped) return sum<Term::group_square>(ctx, s, a.batch);
  a.square ? sum<Term::square>(ctx, s, a.batch) : sum<Term::value>(ctx, s, a.batch);
}

template <class T>
Sums<T> flat_sums(const T* a, const T* b, const Sink<T>& y, std::int64_t n, std::int64_t reps,
                  double scale) {
  return {.a = a, .b = b, .y = y, .groups = reps, .columns = n, .scale = static_cast<T>(scale)};
}

template <class T>
void square_sum(void* stream, const kernels::SquareSum::Args& a) {
  const Context& ctx = context_of(stream);
  sum<Term::square>(ctx, flat_sums<T>(a.x.as<T>(), nullptr, {ctx, a.y}, a.n, a.reps, a.scale), 1);
}

template <class T>
void multiply_sum(void* stream, const kernels::MultiplySum::Args& a) {
  const Context& ctx = context_of(stream);
  sum<Term::product>(ctx, flat_sums<T>(a.a.as<T>(), a.b.as<T>(), {ctx, a.y}, a.n, a.reps, a.scale),
                     1);
}

// `width` lanes of a warp for each row of each rep.
template <class T>
__global__ void row_project_kernel(const T* u, const T* dz, Sink<T> out, std::int64_t samples,
                                   std::int64_t rows, std::int64_t m, std::int64_t reps,
                                   int width) {
  constexpr int kChunk = 4;  // samples at once
  const std::int64_t q = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / width;
  const bool inside = q < rows * reps;
  const std::int64_t end = inside ? m : 0, size = rows * m;
  const int lane = static_cast<int>(threadIdx.x) % width;
  dz += q * m;
  u += q % rows * m;
  for (std::int64_t first = 0; first < samples; first += kChunk, u += kChunk * size) {
    const std::int64_t count = samples - first < kChunk ? samples - first : kChunk;
    T along[kChunk] = {};
    for (std::int64_t k = lane; k < end; k += width) {
#pragma unroll
      for (int s = 0; s < kChunk; ++s) along[s] += s < count ? u[s * size + k] * dz[k] : T(0);
    }
#pragma unroll
    for (int s = 0; s < kChunk; ++s) along[s] = warp_sum(along[s], width);
    for (std::int64_t k = lane; k < end; k += width) {
      T sum = 0;
#pragma unroll
      for (int s = 0; s < kChunk; ++s) sum += s < count ? u[s * size + k] * along[s] : T(0);
      out.put(q * m + k, sum);
    }
    out.accumulate = true;
  }
}

template <class T>
void row_project(void* stream, const kernels::RowProject::Args& a) {
  constexpr unsigned kThreads = 128;
  int width = 1;
  while (width < 32 && width < a.m) width *= 2;
  const std::int64_t blocks = parts(a.rows * a.reps * width, kThreads);
  if (blocks == 0) return;
  const Context& ctx = context_of(stream);
  launch(ctx, &row_project_kernel<T>, static_cast<unsigned>(blocks), kThreads, 0, a.u.as<T>(),
         a.dz.as<T>(), Sink<T>(ctx, a.out), a.samples, a.rows, a.m, a.reps, width);
}

template <class T>
void register_for(KernelTable& table, DType dtype) {
  table.add<kernels::ColumnSum>(dtype, &column_sum<T>);
  table.add<kernels::SquareSum>(dtype, &square_sum<T>);
  table.add<kernels::MultiplySum>(dtype, &multiply_sum<T>);
  table.add<kernels::RowProject>(dtype, &row_project<T>);
}

}  // namespace

void register_reductions(KernelTable& table) {
  register_for<float>(table, DType::f32);
  register_for<double>(table, DType::f64);
}

}  // namespace hesscore::cuda
