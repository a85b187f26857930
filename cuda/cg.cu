// Conjugate gradients that never ask the host: the three kernels of an iteration.
#include "backend/kernels.hpp"
#include "group.cuh"
#include "packs.cuh"
#include "register.hpp"

namespace hesscore::cuda {

namespace {

using math::CgState;
using math::CgSums;

constexpr unsigned kThreads = 256;
// Seeds up to this length are written by the block that finds alpha; beyond, by all blocks after
// it.
constexpr std::int64_t kSeedOfOneBlock = 8192;

// body(i, extent) for the packs of thread `first` of `count`.
template <class T, class Body>
__device__ __forceinline__ void over_packs(std::int64_t n, bool wide, std::int64_t first,
                                           std::int64_t count, const Body& body) {
  constexpr int kWidth = kPack<T>;
  for (std::int64_t i = first * kWidth; i < n; i += count * kWidth) {
    body(i, extent<kWidth>(i, n, wide));
  }
}

template <class T, class Body>
__device__ __forceinline__ void over_grid(std::int64_t n, bool wide, const Body& body) {
  over_packs<T>(n, wide, std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x,
                std::int64_t{gridDim.x} * blockDim.x, body);
}

unsigned blocks_over(const Context& ctx, std::int64_t n) {
  return std::max(1u, blocks_for(ctx, n, 4 * kThreads, 4));
}

template <class... T>
bool all_aligned(const T*... arrays) {
  return (aligned(arrays) && ...);
}

// ---- alpha --------------------------------------------------------------------------------------

template <class T>
struct Curvature {
  const T *u, *v;
  T* seed;
  CgState* state;
  std::int64_t n;
  bool wide;
  double* partials;
  unsigned* ticket;
};

// seed = -alpha scale v, and zeros without a step, whatever v is.
template <class T>
__device__ void write_seed(const Curvature<T>& a, double alpha, std::int64_t first,
                           std::int64_t count) {
  const T factor = static_cast<T>(-alpha * a.state->scale);
  over_packs<T>(a.n, a.wide, first, count, [&](std::int64_t i, Extent e) {
    T v[kPack<T>];
    load(v, a.v + i, e);
    for (T& x : v) x = alpha == 0 ? T(0) : factor * x;
    store(a.seed + i, v, e);
  });
}

template <class T>
__global__ void curvature_kernel(Curvature<T> a) {
  double sum[1] = {0};
  over_grid<T>(a.n, a.wide, [&](std::int64_t i, Extent e) {
    T u[kPack<T>], v[kPack<T>];
    load(u, a.u + i, e);
    load(v, a.v + i, e);
    for (int k = 0; k < kPack<T>; ++k) {
      sum[0] += static_cast<double>(u[k]) * static_cast<double>(v[k]);
    }
  });
  if (!grid_sums<1>(sum, a.partials, a.ticket)) return;
  __shared__ double alpha;
  if (threadIdx.x == 0) {
    math::cg_curvature(*a.state, sum[0]);
    alpha = a.state->alpha;
  }
  if (a.seed == nullptr || a.n > kSeedOfOneBlock) return;
  __syncthreads();
  write_seed(a, alpha, threadIdx.x, blockDim.x);
}

template <class T>
__global__ void seed_kernel(Curvature<T> a) {
  write_seed(a, a.state->alpha, std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x,
             std::int64_t{gridDim.x} * blockDim.x);
}

template <class T>
void cg_curvature(void* stream, const kernels::CgCurvature::Args& args) {
  const Context& ctx = context_of(stream);
  const T *const u = args.u.as<T>(), *const v = args.v.as<T>();
  T* const seed = args.seed.as<T>();
  const Curvature<T> a{u,
                       v,
                       seed,
                       args.state.as<CgState>(),
                       args.n,
                       all_aligned(u, v, seed),
                       static_cast<double*>(ctx.workspace),
                       ctx.tickets};
  const unsigned blocks = blocks_over(ctx, a.n);
  launch(ctx, &curvature_kernel<T>, blocks, kThreads, 0, a);
  if (seed == nullptr || a.n <= kSeedOfOneBlock) return;
  launch(ctx, &seed_kernel<T>, blocks, kThreads, 0, a);
}

// ---- the residual -------------------------------------------------------------------------------

template <class T>
struct Advance {
  const T *p, *q, *d;
  T* r;
  CgState* state;
  std::int64_t n;
  bool start, wide;
  double* partials;
  unsigned* ticket;
};

// r -= alpha (scale q + shift p), and the sums r'r, y'p and, with a diagonal, r'y and y'y.
template <bool kDiagonal, class T>
__global__ void advance_kernel(Advance<T> a) {
  const double alpha = a.start ? 0 : a.state->alpha;
  if (!a.start && alpha == 0) return;
  const T along_p = static_cast<T>(alpha * a.state->shift);
  const T along_q = static_cast<T>(alpha * a.state->scale);
  double sums[kDiagonal ? 4 : 2] = {};
  over_grid<T>(a.n, a.wide, [&](std::int64_t i, Extent e) {
    T p[kPack<T>], q[kPack<T>], d[kPack<T>], r[kPack<T>];
    load(p, a.p == nullptr ? nullptr : a.p + i, e);
    load(q, a.q == nullptr ? nullptr : a.q + i, e);
    if constexpr (kDiagonal) load(d, a.d + i, e);
    load(r, a.r + i, e);
    if (!a.start) {
      for (int k = 0; k < kPack<T>; ++k) r[k] -= along_q * q[k] + along_p * p[k];
      store(a.r + i, r, e);
    }
    for (int k = 0; k < kPack<T>; ++k) {
      const auto res = static_cast<double>(r[k]);
      const double y = kDiagonal ? static_cast<double>(d[k] * r[k]) : res;
      sums[0] += res * res;
      sums[1] += y * static_cast<double>(p[k]);
      if constexpr (kDiagonal) {
        sums[2] += res * y;
        sums[3] += y * y;
      }
    }
  });
  if (!grid_sums<kDiagonal ? 4 : 2>(sums, a.partials, a.ticket) || threadIdx.x != 0) return;
  CgSums s{sums[0], sums[0], sums[0], sums[1]};
  if constexpr (kDiagonal) s = {sums[0], sums[2], sums[3], sums[1]};
  a.start ? math::cg_start(*a.state, s) : math::cg_advance(*a.state, s);
}

template <class T>
void cg_advance(void* stream, const kernels::CgAdvance::Args& args) {
  const Context& ctx = context_of(stream);
  const T* const p = args.start ? nullptr : args.p.as<T>();
  const T *const q = args.start ? nullptr : args.q.as<T>(), *const d = args.d.as<T>();
  T* const r = args.r.as<T>();
  const Advance<T> a{p,
                     q,
                     d,
                     r,
                     args.state.as<CgState>(),
                     args.n,
                     args.start,
                     all_aligned(p, q, d, r),
                     static_cast<double*>(ctx.workspace),
                     ctx.tickets};
  launch(ctx, d == nullptr ? &advance_kernel<false, T> : &advance_kernel<true, T>,
         blocks_over(ctx, a.n), kThreads, 0, a);
}

// ---- the iterate and the next direction ---------------------------------------------------------

template <class T>
struct Direction {
  const T *r, *d;
  const CgState* state;
  T *x, *p;
  std::int64_t n;
  bool start, wide;
};

template <class T>
__global__ void direction_kernel(Direction<T> a) {
  if (!a.start && a.state->alpha == 0) return;
  const T alpha = static_cast<T>(a.state->alpha), beta = static_cast<T>(a.state->beta);
  T* const kept = math::place_to_keep<T>(*a.state, a.n);
  over_grid<T>(a.n, a.wide, [&](std::int64_t i, Extent e) {
    T y[kPack<T>], d[kPack<T>], p[kPack<T>], x[kPack<T>];
    load(y, a.r + i, e);
    load(d, a.d == nullptr ? nullptr : a.d + i, e);
    if (!a.start) {
      load(p, a.p + i, e);
      load(x, a.x + i, e);
    }
    for (int k = 0; k < kPack<T>; ++k) {
      if (a.d != nullptr) y[k] *= d[k];
      if (a.start) continue;
      x[k] += alpha * p[k];
      y[k] += beta * p[k];
    }
    if (!a.start) store(a.x + i, x, e);
    if (kept != nullptr) store(kept + i, x, {e.count, false});  // its rows begin anywhere
    store(a.p + i, y, e);
  });
}

template <class T>
void cg_direction(void* stream, const kernels::CgDirection::Args& args) {
  const Context& ctx = context_of(stream);
  const T *const r = args.r.as<T>(), *const d = args.d.as<T>();
  T *const x = args.x.as<T>(), *const p = args.p.as<T>();
  const Direction<T> a{r,      d,          args.state.as<CgState>(), x, p,
                       args.n, args.start, all_aligned(r, d, x, p)};
  launch(ctx, &direction_kernel<T>, blocks_over(ctx, a.n), kThreads, 0, a);
}

template <class T>
void register_for(KernelTable& table, DType dtype) {
  table.add<kernels::CgCurvature>(dtype, &cg_curvature<T>);
  table.add<kernels::CgAdvance>(dtype, &cg_advance<T>);
  table.add<kernels::CgDirection>(dtype, &cg_direction<T>);
}

}  // namespace

void register_cg(KernelTable& table) {
  register_for<float>(table, DType::f32);
  register_for<double>(table, DType::f64);
}

}  // namespace hesscore::cuda
