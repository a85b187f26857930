// Embeddings: rows looked up by number, tokens grouped by row, sums over the tokens of a row.
//
// Tokens are grouped without float atomics and without a scan: each row that has tokens claims a
// stretch of the list, wherever there is room; its tokens are put there in any order, and then each
// finds its place by counting the smaller ones. So sums have the order of the tokens, in every run.
#include "backend/kernels.hpp"
#include "group.cuh"
#include "packs.cuh"
#include "register.hpp"

namespace hesscore::cuda {

namespace {

constexpr unsigned kThreads = Sheet::kThreads;

template <class T>
struct LookupArgs {
  const T* w;
  const std::int64_t* tokens;
  Sink<T> y;
  std::int64_t n, rows, columns, skip, reps, stride_w;
  bool wide = false;
};

template <class T>
__global__ void __launch_bounds__(kThreads) lookup_kernel(LookupArgs<T> a, Sheet sheet) {
  constexpr int kWidth = kPack<T>;
  const Part part = part_of(sheet, a.n);
  const std::int64_t i = part.column * kWidth;
  if (i >= a.columns) return;
  const Extent e = extent<kWidth>(i, a.columns, a.wide);
  for (std::int64_t t = part.first; t < part.end; t += part.step) {
    const std::int64_t row = a.tokens[t];
    const bool known = row >= 0 && row < a.rows;
    const T* from = known && row != a.skip ? a.w + row * a.columns + i : nullptr;
    for (std::int64_t r = 0; r < a.reps; ++r) {
      T x[kWidth];
      load(x, from == nullptr ? from : from + r * a.stride_w, e);
      if (!known) {
#pragma unroll
        for (int k = 0; k < kWidth; ++k) x[k] = static_cast<T>(nan(""));
      }
      put(a.y, (r * a.n + t) * a.columns + i, x, e);
    }
  }
}

template <class T>
void lookup(void* stream, const kernels::Lookup::Args& a) {
  if (a.n == 0 || a.reps == 0) return;
  const Context& ctx = context_of(stream);
  LookupArgs<T> args{
      a.w.as<T>(), a.x.as<std::int64_t>(), {ctx, a.y}, a.n, a.rows, a.columns, a.skip, a.reps,
      a.stride_w};
  args.wide = aligned(args.w, a.columns) && aligned(args.y.data, a.columns) &&
              (a.reps == 1 || aligned(args.w, a.stride_w));
  const Sheet sheet = share(ctx, parts(a.columns, kPack<T>), a.n);
  launch(ctx, &lookup_kernel<T>, sheet.tiles * sheet.slices, kThreads, 0, args, sheet);
}

// The groups of tokens in memory (backend/keys/embeddings.hpp).
struct Groups {
  std::int32_t* at;
  std::int64_t rows, n;

  __host__ __device__ std::int32_t* bounds() const { return at; }  // begin, end of each row
  __host__ __device__ std::int32_t* total() const { return at + 2 * rows; }
  __host__ __device__ std::int32_t* list() const { return total() + 1; }
  __host__ __device__ std::int32_t* unordered() const { return list() + n; }
};

struct Clear {
  std::int32_t* data;
  __device__ void operator()(std::int64_t i) const { data[i] = 0; }
};

__device__ __forceinline__ bool belongs(std::int64_t row, std::int64_t rows, std::int64_t skip) {
  return row >= 0 && row < rows && row != skip;
}

struct Count {  // of each row, where its end will be
  const std::int64_t* tokens;
  Groups g;
  std::int64_t skip;
  __device__ void operator()(std::int64_t t) const {
    const std::int64_t row = tokens[t];
    if (belongs(row, g.rows, skip)) atomicAdd(g.bounds() + 2 * row + 1, 1);
  }
};

// A warp claims room for its rows at once.
__global__ void __launch_bounds__(kThreads) claim_kernel(Groups g) {
  const std::int64_t row = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  const int count = row < g.rows ? g.bounds()[2 * row + 1] : 0;
  int before = count;
  for (int step = 1; step < static_cast<int>(kWarp); step *= 2) {
    const int other = __shfl_up_sync(kAllLanes, before, static_cast<unsigned>(step));
    if (lane >= step) before += other;
  }
  int first = 0;
  if (lane == kWarp - 1 && before > 0) first = atomicAdd(g.total(), before);
  first = __shfl_sync(kAllLanes, first, kWarp - 1) + before - count;
  if (row < g.rows) g.bounds()[2 * row] = g.bounds()[2 * row + 1] = first;
}

struct Place {  // tokens in any order; ends move to where they belong
  const std::int64_t* tokens;
  Groups g;
  std::int64_t skip;
  __device__ void operator()(std::int64_t t) const {
    const std::int64_t row = tokens[t];
    if (!belongs(row, g.rows, skip)) return;
    g.unordered()[atomicAdd(g.bounds() + 2 * row + 1, 1)] = static_cast<std::int32_t>(t);
  }
};

struct Rank {  // every token of the list counts the smaller ones of its row
  const std::int64_t* tokens;
  Groups g;
  __device__ void operator()(std::int64_t i) const {
    if (i >= *g.total()) return;
    const std::int32_t* list = g.unordered();
    const std::int32_t token = list[i];
    const std::int32_t* bounds = g.bounds() + 2 * tokens[token];
    const std::int32_t begin = bounds[0], end = bounds[1];
    int smaller = 0;
#pragma unroll 8
    for (std::int32_t k = begin; k < end; ++k) smaller += list[k] < token;
    g.list()[begin + smaller] = token;
  }
};

void group_tokens(void* stream, const kernels::GroupTokens::Args& a) {
  const Context& ctx = context_of(stream);
  const Groups g{a.groups.as<std::int32_t>(), a.rows, a.n};
  const auto* tokens = a.x.as<std::int64_t>();
  for_each(ctx, 2 * a.rows + 1, Clear{g.bounds()});
  for_each(ctx, a.n, Count{tokens, g, a.skip});
  launch(ctx, &claim_kernel, static_cast<unsigned>(parts(a.rows, kThreads)), kThreads, 0, g);
  for_each(ctx, a.n, Place{tokens, g, a.skip});
  for_each(ctx, a.n, Rank{tokens, g});
}

template <class T>
struct RowSums {
  const T* y = nullptr;
  Groups g;
  Sink<T> w;
  std::int64_t columns, reps, stride_w = 0, positions = 1;
  T scale = 1;
  bool wide = false;
};

// For r < reps: row j of w_r (+)= sum over its tokens.
template <class T>
__global__ void __launch_bounds__(kThreads) row_sums_kernel(RowSums<T> s, Sheet sheet) {
  constexpr int kWidth = kPack<T>;
  const Part part = part_of(sheet, s.g.rows);
  const std::int64_t i = part.column * kWidth;
  if (i >= s.columns) return;
  const Extent e = extent<kWidth>(i, s.columns, s.wide);
  const std::int32_t* list = s.g.list();
  for (std::int64_t j = part.first; j < part.end; j += part.step) {
    const std::int32_t begin = s.g.bounds()[2 * j], end = s.g.bounds()[2 * j + 1];
    for (std::int64_t r = 0; r < s.reps; ++r) {
      const T* y = s.y + r * s.g.n * s.columns + i;
      T sum[kWidth] = {};
#pragma unroll 4
      for (std::int32_t t = begin; t < end; ++t) {
        T x[kWidth];
        load(x, y + list[t] * s.columns, e);
#pragma unroll
        for (int k = 0; k < kWidth; ++k) sum[k] += x[k];
      }
      put(s.w, r * s.stride_w + j * s.columns + i, sum, e);
    }
  }
}

// Row j of w (+)= scale * sum over reps and samples of (sum over the sample's tokens)^2.
template <class T>
__global__ void __launch_bounds__(kThreads) row_squares_kernel(RowSums<T> s, Sheet sheet) {
  constexpr int kWidth = kPack<T>;
  const Part part = part_of(sheet, s.g.rows);
  const std::int64_t i = part.column * kWidth;
  if (i >= s.columns) return;
  const Extent e = extent<kWidth>(i, s.columns, s.wide);
  const std::int32_t* list = s.g.list();
  for (std::int64_t j = part.first; j < part.end; j += part.step) {
    const std::int32_t begin = s.g.bounds()[2 * j], end = s.g.bounds()[2 * j + 1];
    T sum[kWidth] = {};
    for (std::int64_t r = 0; r < s.reps; ++r) {
      const T* y = s.y + r * s.g.n * s.columns + i;
      T sample[kWidth] = {};
      std::int64_t last = 0;  // of the sample
      for (std::int32_t t = begin; t < end; ++t) {
        const std::int32_t token = list[t];
        if (token >= last) {
#pragma unroll
          for (int k = 0; k < kWidth; ++k) sum[k] += sample[k] * sample[k], sample[k] = 0;
          last = (token / s.positions + 1) * s.positions;
        }
        T x[kWidth];
        load(x, y + token * s.columns, e);
#pragma unroll
        for (int k = 0; k < kWidth; ++k) sample[k] += x[k];
      }
#pragma unroll
      for (int k = 0; k < kWidth; ++k) sum[k] += sample[k] * sample[k];
    }
#pragma unroll
    for (int k = 0; k < kWidth; ++k) sum[k] *= s.scale;
    put(s.w, j * s.columns + i, sum, e);
  }
}

template <class T>
void launch_rows(const Context& ctx, void (*kernel)(RowSums<T>, Sheet), RowSums<T> s) {
  s.wide = aligned(s.y, s.columns) && aligned(s.w.data, s.columns) &&
           (s.reps == 1 || aligned(s.w.data, s.stride_w));
  const Sheet sheet = share(ctx, parts(s.columns, kPack<T>), s.g.rows);
  launch(ctx, kernel, sheet.tiles * sheet.slices, kThreads, 0, s, sheet);
}

// The kernels only read the groups.
Groups groups_of(const In& groups, std::int64_t rows, std::int64_t n) {
  return {const_cast<std::int32_t*>(groups.as<std::int32_t>()), rows, n};
}

template <class T>
void lookup_transposed(void* stream, const kernels::LookupTransposed::Args& a) {
  const Context& ctx = context_of(stream);
  launch_rows<T>(ctx, &row_sums_kernel<T>,
                 {.y = a.y.as<T>(),
                  .g = groups_of(a.groups, a.rows, a.n),
                  .w = {ctx, a.w},
                  .columns = a.columns,
                  .reps = a.reps,
                  .stride_w = a.stride_w});
}

template <class T>
void lookup_squares(void* stream, const kernels::LookupSquares::Args& a) {
  const Context& ctx = context_of(stream);
  launch_rows<T>(ctx, &row_squares_kernel<T>,
                 {.y = a.y.as<T>(),
                  .g = groups_of(a.groups, a.rows, a.n),
                  .w = {ctx, a.w},
                  .columns = a.columns,
                  .reps = a.reps,
                  .positions = a.positions,
                  .scale = static_cast<T>(a.scale)});
}

struct CopyRows {
  const std::int64_t* x;
  std::int64_t* y;
  std::int64_t inner, stride_y;
  __device__ void operator()(std::int64_t i) const { y[i / inner * stride_y + i % inner] = x[i]; }
};

void copy_tokens(void* stream, const kernels::CopyTokens::Args& a) {
  for_each(context_of(stream), a.outer * a.inner,
           CopyRows{a.x.as<std::int64_t>(), a.y.as<std::int64_t>(), a.inner, a.stride_y});
}

template <class T>
void register_for(KernelTable& table, DType dtype) {
  table.add<kernels::Lookup>(dtype, &lookup<T>);
  table.add<kernels::GroupTokens>(dtype, &group_tokens);
  table.add<kernels::LookupTransposed>(dtype, &lookup_transposed<T>);
  table.add<kernels::LookupSquares>(dtype, &lookup_squares<T>);
  table.add<kernels::CopyTokens>(dtype, &copy_tokens);
}

}  // namespace

void register_embeddings(KernelTable& table) {
  register_for<float>(table, DType::f32);
  register_for<double>(table, DType::f64);
}

}  // namespace hesscore::cuda
