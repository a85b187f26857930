// Conjugate gradients that never ask the host: the three kernels of an iteration.
#include <cstdint>
#include <initializer_list>

#include "backend/kernels.hpp"
#include "group.cuh"
#include "register.hpp"

namespace hesscore::cuda {

namespace {

using math::CgState;
using math::CgSums;

constexpr unsigned kThreads = 256;
// Seeds up to this length are written by the block that finds alpha; beyond, by all blocks after
// it.
constexpr std::int64_t kSeedOfOneBlock = 8192;

// Sixteen bytes of an array, loaded at once where it is aligned. Which thread has which elements
// does not depend on that, so that sums do not either.
template <class T, int kWidth>
struct alignas(sizeof(T) * kWidth) Pack {
  T at[kWidth];
};

template <int kWidth>
struct Width {
  static constexpr int value = kWidth;
};

template <bool kAligned, class T, int kWidth>
__device__ __forceinline__ Pack<T, kWidth> load(const T* x, std::int64_t i, Width<kWidth>) {
  Pack<T, kWidth> pack;
  if constexpr (kAligned) {
    pack = *reinterpret_cast<const Pack<T, kWidth>*>(x + i);
  } else {
    for (int k = 0; k < kWidth; ++k) pack.at[k] = x[i + k];
  }
  return pack;
}

template <bool kAligned, class T, int kWidth>
__device__ __forceinline__ void save(T* x, std::int64_t i, const Pack<T, kWidth>& pack) {
  if constexpr (kAligned) {
    *reinterpret_cast<Pack<T, kWidth>*>(x + i) = pack;
  } else {
    for (int k = 0; k < kWidth; ++k) x[i + k] = pack.at[k];
  }
}

// body(i, Width) for the packs of thread `first` of `stride`, and for what is left one by one.
template <class T, class Body>
__device__ __forceinline__ void over(std::int64_t n, std::int64_t first, std::int64_t stride,
                                     const Body& body) {
  constexpr int kWidth = 16 / sizeof(T);
  const std::int64_t packs = n / kWidth;
  for (std::int64_t i = first; i < packs; i += stride) body(i * kWidth, Width<kWidth>());
  for (std::int64_t i = packs * kWidth + first; i < n; i += stride) body(i, Width<1>());
}

__device__ __forceinline__ std::int64_t thread_of_grid() {
  return std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
}
__device__ __forceinline__ std::int64_t threads_of_grid() {
  return std::int64_t{gridDim.x} * blockDim.x;
}

unsigned blocks_over(const Context& ctx, std::int64_t n) {
  const unsigned blocks = blocks_for(ctx, n, 4 * kThreads, 4);
  return blocks == 0 ? 1 : blocks;
}

bool aligned(std::initializer_list<const void*> arrays) {
  for (const void* p : arrays) {
    if (reinterpret_cast<std::uintptr_t>(p) % 16 != 0) return false;
  }
  return true;
}

// ---- alpha ------------------------------------------------------------------------------------

template <class T>
struct Curvature {
  const T *u, *v;
  T* seed;
  CgState* state;
  std::int64_t n;
  double* partials;
  unsigned* ticket;
};

template <bool kAligned, class T>
__device__ void write_seed(const Curvature<T>& a, double alpha, std::int64_t first,
                           std::int64_t stride) {
  const T factor = static_cast<T>(-alpha * a.state->scale);
  over<T>(a.n, first, stride, [&](std::int64_t i, auto width) {
    auto v = load<kAligned>(a.v, i, width);
    for (T& x : v.at) x = alpha == 0 ? T(0) : factor * x;
    save<kAligned>(a.seed, i, v);
  });
}

template <bool kAligned, class T>
__global__ void curvature_kernel(Curvature<T> a) {
  double sum[1] = {0};
  over<T>(a.n, thread_of_grid(), threads_of_grid(), [&](std::int64_t i, auto width) {
    const auto u = load<kAligned>(a.u, i, width), v = load<kAligned>(a.v, i, width);
    for (int k = 0; k < width.value; ++k) {
      sum[0] += static_cast<double>(u.at[k]) * static_cast<double>(v.at[k]);
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
  write_seed<kAligned>(a, alpha, threadIdx.x, blockDim.x);
}

template <bool kAligned, class T>
__global__ void seed_kernel(Curvature<T> a) {
  write_seed<kAligned>(a, a.state->alpha, thread_of_grid(), threads_of_grid());
}

template <class T>
void cg_curvature(void* stream, const kernels::CgCurvature::Args& args) {
  const Context& ctx = context_of(stream);
  const Curvature<T> a{args.u.as<T>(),
                       args.v.as<T>(),
                       args.seed.as<T>(),
                       args.state.as<CgState>(),
                       args.n,
                       static_cast<double*>(ctx.workspace),
                       ctx.tickets};
  const bool packs = aligned({a.u, a.v, a.seed});
  const unsigned blocks = blocks_over(ctx, a.n);
  launch(ctx, packs ? &curvature_kernel<true, T> : &curvature_kernel<false, T>, blocks, kThreads, 0,
         a);
  if (a.seed == nullptr || a.n <= kSeedOfOneBlock) return;
  launch(ctx, packs ? &seed_kernel<true, T> : &seed_kernel<false, T>, blocks, kThreads, 0, a);
}

// ---- the residual -----------------------------------------------------------------------------

template <class T>
struct Advance {
  const T *p, *q, *d;
  T* r;
  CgState* state;
  std::int64_t n;
  bool start;
  double* partials;
  unsigned* ticket;
};

// r -= alpha (scale q + shift p)
template <bool kAligned, class T, int kWidth>
__device__ __forceinline__ Pack<T, kWidth> new_residual(const Advance<T>& a, T along_p, T along_q,
                                                        std::int64_t i, const Pack<T, kWidth>& p,
                                                        Width<kWidth> width) {
  Pack<T, kWidth> r = load<kAligned>(static_cast<const T*>(a.r), i, width);
  if (a.start) return r;
  for (int k = 0; k < kWidth; ++k) r.at[k] -= along_p * p.at[k];
  if (a.q != nullptr) {
    const auto q = load<kAligned>(a.q, i, width);
    for (int k = 0; k < kWidth; ++k) r.at[k] -= along_q * q.at[k];
  }
  save<kAligned>(a.r, i, r);
  return r;
}

// Sums r'r, y'p and, with a diagonal, r'y and y'y.
template <bool kAligned, bool kDiagonal, class T>
__global__ void advance_kernel(Advance<T> a) {
  const double alpha = a.start ? 0 : a.state->alpha;
  if (!a.start && alpha == 0) return;
  const T along_p = static_cast<T>(alpha * a.state->shift);
  const T along_q = static_cast<T>(alpha * a.state->scale);
  double sums[kDiagonal ? 4 : 2] = {};
  over<T>(a.n, thread_of_grid(), threads_of_grid(), [&](std::int64_t i, auto width) {
    Pack<T, width.value> p{}, d{};
    if (!a.start) p = load<kAligned>(a.p, i, width);
    if constexpr (kDiagonal) d = load<kAligned>(a.d, i, width);
    const auto r = new_residual<kAligned>(a, along_p, along_q, i, p, width);
    for (int k = 0; k < width.value; ++k) {
      const double res = static_cast<double>(r.at[k]);
      const double y = kDiagonal ? static_cast<double>(d.at[k] * r.at[k]) : res;
      sums[0] += res * res;
      sums[1] += y * static_cast<double>(p.at[k]);
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

template <class T, bool kDiagonal>
void launch_advance(const Context& ctx, const Advance<T>& a) {
  const bool packs = aligned({a.p, a.q, a.d, a.r});
  launch(ctx, packs ? &advance_kernel<true, kDiagonal, T> : &advance_kernel<false, kDiagonal, T>,
         blocks_over(ctx, a.n), kThreads, 0, a);
}

template <class T>
void cg_advance(void* stream, const kernels::CgAdvance::Args& args) {
  const Context& ctx = context_of(stream);
  const Advance<T> a{args.p.as<T>(),
                     args.q.as<T>(),
                     args.d.as<T>(),
                     args.r.as<T>(),
                     args.state.as<CgState>(),
                     args.n,
                     args.start,
                     static_cast<double*>(ctx.workspace),
                     ctx.tickets};
  a.d == nullptr ? launch_advance<T, false>(ctx, a) : launch_advance<T, true>(ctx, a);
}

// ---- the iterate and the next direction -------------------------------------------------------

template <class T>
struct Direction {
  const T *r, *d;
  const CgState* state;
  T *x, *p;
  std::int64_t n;
  bool start;
};

template <bool kAligned, class T>
__global__ void direction_kernel(Direction<T> a) {
  if (!a.start && a.state->alpha == 0) return;
  const T alpha = static_cast<T>(a.state->alpha), beta = static_cast<T>(a.state->beta);
  over<T>(a.n, thread_of_grid(), threads_of_grid(), [&](std::int64_t i, auto width) {
    auto y = load<kAligned>(a.r, i, width);
    if (a.d != nullptr) {
      const auto d = load<kAligned>(a.d, i, width);
      for (int k = 0; k < width.value; ++k) y.at[k] *= d.at[k];
    }
    if (!a.start) {
      const auto p = load<kAligned>(static_cast<const T*>(a.p), i, width);
      auto x = load<kAligned>(static_cast<const T*>(a.x), i, width);
      for (int k = 0; k < width.value; ++k) {
        x.at[k] += alpha * p.at[k];
        y.at[k] += beta * p.at[k];
      }
      save<kAligned>(a.x, i, x);
    }
    save<kAligned>(a.p, i, y);
  });
}

template <class T>
void cg_direction(void* stream, const kernels::CgDirection::Args& args) {
  const Context& ctx = context_of(stream);
  const Direction<T> a{args.r.as<T>(), args.d.as<T>(), args.state.as<CgState>(),
                       args.x.as<T>(), args.p.as<T>(), args.n,
                       args.start};
  const bool packs = aligned({a.r, a.d, a.x, a.p});
  launch(ctx, packs ? &direction_kernel<true, T> : &direction_kernel<false, T>,
         blocks_over(ctx, a.n), kThreads, 0, a);
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
