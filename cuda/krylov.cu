// Krylov methods: inner products into states, and vectors combined by numbers out of them.
#include <algorithm>

#include "backend/keys/krylov.hpp"
#include "group.cuh"
#include "packs.cuh"
#include "register.hpp"

namespace hesscore::cuda {

namespace {

constexpr unsigned kThreads = 256;

// ---- inner products -----------------------------------------------------------------------------

template <class T>
struct Dots {
  const T *x, *y;
  std::int64_t n, terms, row_x, term_x, row_y, row_result;
  Sink<double> result;
  double* partials;
  unsigned parts;  // blocks for each product
  bool wide;

  __device__ void put(std::int64_t pair, double sum) const {
    result.put(pair / terms * row_result + pair % terms, sum);
  }
};

template <class T>
__global__ void __launch_bounds__(kThreads) row_dots_kernel(Dots<T> a) {
  constexpr int kWidth = kPack<T>;
  const std::int64_t pair = blockIdx.x / a.parts, part = blockIdx.x % a.parts;
  const T* const x = a.x + pair / a.terms * a.row_x + pair % a.terms * a.term_x;
  const T* const y = a.y + pair / a.terms * a.row_y;
  const std::int64_t step = std::int64_t{a.parts} * kThreads * kWidth;
  double sum[1] = {0};
#pragma unroll 4
  for (std::int64_t i = (part * kThreads + threadIdx.x) * kWidth; i < a.n; i += step) {
    const Extent e = extent<kWidth>(i, a.n, a.wide);
    T u[kWidth], v[kWidth];
    load(u, x + i, e);
    load(v, y + i, e);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) {
      sum[0] += static_cast<double>(u[k]) * static_cast<double>(v[k]);
    }
  }
  block_sums<1>(sum);
  if (threadIdx.x != 0) return;
  if (a.parts == 1) {
    a.put(pair, sum[0]);
  } else {
    a.partials[blockIdx.x] = sum[0];
  }
}

template <class T>
__global__ void dots_of_parts_kernel(Dots<T> a) {
  double sum[1] = {0};
  for (unsigned b = threadIdx.x; b < a.parts; b += blockDim.x) {
    sum[0] += a.partials[std::int64_t{blockIdx.x} * a.parts + b];
  }
  block_sums<1>(sum);
  if (threadIdx.x == 0) a.put(blockIdx.x, sum[0]);
}

template <class T>
void row_dots(void* stream, const kernels::RowDots::Args& args) {
  const Context& ctx = context_of(stream);
  const std::int64_t pairs = args.rows * args.terms;
  if (pairs == 0) return;
  const T *const x = args.x.as<T>(), *const y = args.y.as<T>();
  const std::int64_t room = static_cast<std::int64_t>(ctx.workspace_bytes / sizeof(double));
  const std::int64_t wanted = parts(args.n, std::int64_t{4} * kThreads * kPack<T>);
  const std::int64_t most = std::max<std::int64_t>(parts(8 * ctx.multiprocessors, pairs), 1);
  const std::int64_t count = std::clamp<std::int64_t>(std::min(wanted, most), 1, room / pairs + 1);
  const Dots<T> a{x,
                  y,
                  args.n,
                  args.terms,
                  args.row_x,
                  args.term_x,
                  args.row_y,
                  args.row_result,
                  {ctx, args.result},
                  static_cast<double*>(ctx.workspace),
                  static_cast<unsigned>(count > room / pairs ? 1 : count),
                  aligned(x, args.row_x | args.term_x) && aligned(y, args.row_y)};
  launch(ctx, &row_dots_kernel<T>, static_cast<unsigned>(pairs * a.parts), kThreads, 0, a);
  if (a.parts == 1) return;
  launch(ctx, &dots_of_parts_kernel<T>, static_cast<unsigned>(pairs), 128, 0, a);
}

// ---- combinations -------------------------------------------------------------------------------

template <class T>
struct Combination {
  const T* x;
  const double *c, *b;
  T* y;
  std::int64_t n, terms, row_x, term_x, row_y, row_c, row_b;
  double sign;
  unsigned parts;  // blocks for each row
  bool accumulate, wide;
};

template <class T>
__global__ void __launch_bounds__(kThreads) combine_kernel(Combination<T> a) {
  constexpr int kWidth = kPack<T>;
  const std::int64_t row = blockIdx.x / a.parts, part = blockIdx.x % a.parts;
  const double* const c = a.c + row * a.row_c;
  const T* const x = a.x + row * a.row_x;
  T* const y = a.y + row * a.row_y;
  const T before = a.b != nullptr ? static_cast<T>(a.b[row * a.row_b]) : T(a.accumulate ? 1 : 0);
  bool idle = before == T(1);
  for (std::int64_t t = 0; idle && t < a.terms; ++t) idle = static_cast<T>(c[t]) == T(0);
  if (idle) return;
  const std::int64_t step = std::int64_t{a.parts} * kThreads * kWidth;
  for (std::int64_t i = (part * kThreads + threadIdx.x) * kWidth; i < a.n; i += step) {
    const Extent e = extent<kWidth>(i, a.n, a.wide);
    T sum[kWidth] = {};
    if (before != T(0)) {
      load(sum, y + i, e);
#pragma unroll
      for (int k = 0; k < kWidth; ++k) sum[k] *= before;
    }
    for (std::int64_t t = 0; t < a.terms; ++t) {
      const T factor = static_cast<T>(a.sign * c[t]);
      if (factor == T(0)) continue;
      T v[kWidth];
      load(v, x + t * a.term_x + i, e);
#pragma unroll
      for (int k = 0; k < kWidth; ++k) sum[k] += factor * v[k];
    }
    store(y + i, sum, e);
  }
}

template <class T>
void combine(void* stream, const kernels::Combine::Args& args) {
  const Context& ctx = context_of(stream);
  if (args.n <= 0 || args.rows <= 0) return;
  const T* const x = args.x.as<T>();
  T* const y = args.y.as<T>();
  const std::int64_t wanted = parts(args.n, std::int64_t{kThreads} * kPack<T>);
  const std::int64_t most = parts(8 * ctx.multiprocessors, args.rows);
  const Combination<T> a{x,
                         args.c.as<double>(),
                         args.b.as<double>(),
                         y,
                         args.n,
                         args.terms,
                         args.row_x,
                         args.term_x,
                         args.row_y,
                         args.row_c,
                         args.row_b,
                         args.sign,
                         static_cast<unsigned>(std::min(wanted, most)),
                         args.y.accumulate,
                         aligned(x, args.row_x | args.term_x) && aligned(y, args.row_y)};
  launch(ctx, &combine_kernel<T>, static_cast<unsigned>(args.rows * a.parts), kThreads, 0, a);
}

// ---- recurrences --------------------------------------------------------------------------------

struct Step {
  math::KrylovPhase phase;
  void* states;
  __device__ void operator()(std::int64_t row) const { math::take_step(phase, states, row); }
};

template <class T>
void krylov_step(void* stream, const kernels::KrylovStep::Args& a) {
  for_each(context_of(stream), a.rows, Step{a.phase, a.states.ptr});
}

template <class T>
void register_for(KernelTable& table, DType dtype) {
  table.add<kernels::RowDots>(dtype, &row_dots<T>);
  table.add<kernels::Combine>(dtype, &combine<T>);
  table.add<kernels::KrylovStep>(dtype, &krylov_step<T>);
}

}  // namespace

void register_krylov(KernelTable& table) {
  register_for<float>(table, DType::f32);
  register_for<double>(table, DType::f64);
}

}  // namespace hesscore::cuda
