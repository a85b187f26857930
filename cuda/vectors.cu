// The vector algebra of solvers, and the optimizers' updates.
#include <algorithm>

#include "backend/kernels.hpp"
#include "group.cuh"
#include "math/updates.hpp"
#include "packs.cuh"
#include "register.hpp"

namespace hesscore::cuda {

namespace {

constexpr unsigned kThreads = 256;

template <class T>
struct Scaled {
  T a;
  __device__ void operator()(const T (&x)[1], T (&y)[1]) const { y[0] = a * x[0]; }
};

template <class T>
struct Combined {
  T a, b;
  __device__ void operator()(const T (&x)[2], T (&y)[1]) const { y[0] = a * x[0] + b * x[1]; }
};

template <class T>
struct Raised {
  T shift, exponent;
  __device__ void operator()(const T (&x)[1], T (&y)[1]) const {
    y[0] = math::power(T(fabs(x[0])) + shift, exponent);
  }
};

template <class T>
void axpby(void* stream, const kernels::Axpby::Args& args) {
  const Context& ctx = context_of(stream);
  const T a = static_cast<T>(args.a), b = static_cast<T>(args.b);
  const T *x = args.x.as<T>(), *y = args.y.as<T>();
  const Sink<T> out(ctx, args.y);
  if (b == 0) {  // y may hold anything
    map(ctx, Arrays<T, 0, 1, 1>{args.n, 1, {x}, {}, {out}, 0}, Scaled<T>{a});
  } else {
    map(ctx, Arrays<T, 0, 2, 1>{args.n, 1, {x, y}, {}, {out}, 0}, Combined<T>{a, b});
  }
}

template <class T>
void power(void* stream, const kernels::Power::Args& a) {
  const Context& ctx = context_of(stream);
  map(ctx, Arrays<T, 0, 1, 1>{a.n, 1, {a.x.as<T>()}, {}, {{ctx, a.y}}, 0},
      Raised<T>{static_cast<T>(a.shift), static_cast<T>(a.exponent)});
}

template <class T>
struct Products {
  const T *x, *y;
  __device__ double operator()(std::int64_t i, Extent e) const {
    T a[kPack<T>], b[kPack<T>];
    load(a, x + i, e);
    load(b, y + i, e);
    double sum = 0;
#pragma unroll
    for (int k = 0; k < kPack<T>; ++k) sum += static_cast<double>(a[k]) * static_cast<double>(b[k]);
    return sum;
  }
};

template <class T, math::Root kRoot>
struct CurvatureAlong {
  math::UpdateSpec spec;
  const T *m, *u;
  __device__ double operator()(std::int64_t i, Extent e) const {
    T a[kPack<T>], b[kPack<T>];
    load(a, m + i, e);
    load(b, u + i, e);
    const math::Adam<T, kRoot> rule(spec);
    double sum = 0;
#pragma unroll
    for (int k = 0; k < kPack<T>; ++k) sum += static_cast<double>(rule.curvature(a[k], b[k]));
    return sum;
  }
};

template <class T>
struct NotFinite {
  const T* x;
  __device__ double operator()(std::int64_t i, Extent e) const {
    T a[kPack<T>];
    load(a, x + i, e);
    bool bad = false;
#pragma unroll
    for (int k = 0; k < kPack<T>; ++k) bad |= !(a[k] - a[k] == T(0));
    return bad ? 1 : 0;
  }
};

// partials[gridDim.x] = the sum of term(pack) over all packs.
template <class Term>
__global__ void __launch_bounds__(kThreads)
    total_kernel(Term term, std::int64_t n, int width, bool wide, double* partials,
                 unsigned* ticket) {
  double sum[1] = {};
  const std::int64_t step = std::int64_t{gridDim.x} * kThreads * width;
#pragma unroll 4
  for (std::int64_t i = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) * width; i < n;
       i += step) {
    const bool whole = i + width <= n;
    sum[0] += term(i, Extent{whole ? width : static_cast<int>(n - i), wide && whole});
  }
  if (grid_sums(sum, partials, ticket) && threadIdx.x == 0) partials[gridDim.x] = sum[0];
}

template <class T, class Term>
double total(const Context& ctx, std::int64_t n, bool wide, const Term& term) {
  if (n == 0) return 0;
  const std::int64_t fit = std::min<std::int64_t>(1024, ctx.workspace_bytes / sizeof(double) - 1);
  const std::int64_t blocks = std::min(parts(n, kThreads * 4 * kPack<T>), fit);
  auto* sums = static_cast<double*>(ctx.workspace);
  launch(ctx, &total_kernel<Term>, static_cast<unsigned>(blocks), kThreads, 0, term, n, kPack<T>,
         wide, sums, ctx.tickets);
  double result = 0;
  check(cudaMemcpyAsync(&result, sums + blocks, sizeof result, cudaMemcpyDeviceToHost, ctx.stream));
  check(cudaStreamSynchronize(ctx.stream));
  return result;
}

template <class T>
void dot(void* stream, const kernels::Dot::Args& a) {
  const T *x = a.x.as<T>(), *y = a.y.as<T>();
  *a.result = total<T>(context_of(stream), a.n, aligned(x) && aligned(y), Products<T>{x, y});
}

template <class T>
void all_finite(void* stream, const kernels::AllFinite::Args& a) {
  const T* x = a.x.as<T>();
  *a.result = total<T>(context_of(stream), a.n, aligned(x), NotFinite<T>{x}) == 0 ? 1 : 0;
}

template <class T>
void step_curvature(void* stream, const kernels::StepCurvature::Args& a) {
  const T *m = a.m.as<T>(), *u = a.u.as<T>();
  math::with_root(a.spec, [&](auto root) {
    const CurvatureAlong<T, root()> term{a.spec, m, u};
    *a.result = total<T>(context_of(stream), a.n, aligned(m) && aligned(u), term);
  });
}

template <class T>
struct State {
  T *w, *m, *u;
  const T *g, *d;
  std::int64_t n;
  bool wide;
  T* mean;
  const double* square;
};

template <class T>
struct Plain : math::Sgd<T> {
  using math::Sgd<T>::Sgd;
  __device__ void at(T& w, T&, T&, T g, const T*) const { this->step(w, g); }
};
template <class T>
struct Momentum : math::Sgd<T> {
  using math::Sgd<T>::Sgd;
  __device__ void at(T& w, T& m, T&, T g, const T*) const { this->step(w, m, g); }
};
template <class T, math::Root kRoot>
struct Adaptive : math::Adam<T, kRoot> {
  using math::Adam<T, kRoot>::Adam;
  __device__ void at(T& w, T& m, T& u, T g, const T* d) const { this->step(w, m, u, g, d); }
};

template <class T>
struct Clipped : math::Sophia<T> {
  using math::Sophia<T>::Sophia;
  __device__ void at(T& w, T& m, T& u, T g, const T* d) const { this->step(w, m, u, g, d); }
};

// The first loads wait neither for the alarm nor for the record.
template <class Rule, class T>
__global__ void __launch_bounds__(kThreads)
    update_kernel(State<T> s, math::UpdateSpec spec, const math::StepRecord* record,
                  const int* alarm, std::int64_t* count) {
  constexpr int kWidth = kPack<T>;
  const auto at = [](auto* p, std::int64_t i) { return p == nullptr ? p : p + i; };
  const std::int64_t thread = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const std::int64_t step = std::int64_t{gridDim.x} * kThreads * kWidth;
  std::int64_t i = thread * kWidth;
  T w[kWidth], m[kWidth], u[kWidth], g[kWidth], d[kWidth];
  const auto fetch = [&] {
    const Extent e = extent<kWidth>(i, s.n, s.wide);
    load(w, s.w + i, e);
    load(g, s.g + i, e);
    load(m, at(s.m, i), e);
    load(u, at(s.u, i), e);
    load(d, at(s.d, i), e);
  };
  if (i < s.n) fetch();
  if (record != nullptr && *alarm != 0) return;
  if (thread == 0 && count != nullptr) ++*count;
  if (record != nullptr) spec = math::at_step(spec, *record);
  const Rule rule(spec);
  const math::Clip<T> clip(spec, s.square != nullptr ? *s.square : 0);
  while (i < s.n) {
#pragma unroll
    for (int k = 0; k < kWidth; ++k) {
      s.d != nullptr ? rule.at(w[k], m[k], u[k], clip(g[k]), &d[k])
                     : rule.at(w[k], m[k], u[k], clip(g[k]), nullptr);
    }
    const Extent e = extent<kWidth>(i, s.n, s.wide);
    store(s.w + i, w, e);
    if (s.m != nullptr) store(s.m + i, m, e);
    if (s.u != nullptr) store(s.u + i, u, e);
    if (s.mean != nullptr) {
      const math::Averaged<T> average(spec);
      load(m, s.mean + i, e);
#pragma unroll
      for (int k = 0; k < kWidth; ++k) average.step(m[k], w[k]);
      store(s.mean + i, m, e);
    }
    i += step;
    if (i < s.n) fetch();
  }
}

template <class Rule, class T>
void update_by(const Context& ctx, const State<T>& s, const kernels::Update::Args& a) {
  const unsigned blocks = std::max(1u, blocks_for(ctx, s.n, kThreads * kPack<T>, 32));
  launch(ctx, &update_kernel<Rule, T>, blocks, kThreads, 0, s, a.spec,
         a.record.as<math::StepRecord>(), ctx.alarm, a.count.as<std::int64_t>());
}

template <class T>
void update(void* stream, const kernels::Update::Args& a) {
  const Context& ctx = context_of(stream);
  const bool sgd = a.spec.kind == math::UpdateKind::sgd, plain = sgd && a.spec.momentum == 0;
  State<T> s{.w = a.w.as<T>(),
             .m = plain ? nullptr : a.m.as<T>(),
             .u = sgd ? nullptr : a.u.as<T>(),
             .g = a.g.as<T>(),
             .d = sgd ? nullptr : a.d.as<T>(),
             .n = a.n,
             .wide = false,
             .mean = a.mean.as<T>(),
             .square = a.square.as<double>()};
  s.wide = aligned(s.w) && aligned(s.m) && aligned(s.u) && aligned(s.g) && aligned(s.d) &&
           aligned(s.mean);
  if (sgd) {
    return s.m == nullptr ? update_by<Plain<T>>(ctx, s, a) : update_by<Momentum<T>>(ctx, s, a);
  }
  if (a.spec.kind == math::UpdateKind::sophia) return update_by<Clipped<T>>(ctx, s, a);
  math::with_root(a.spec, [&](auto root) { update_by<Adaptive<T, root()>>(ctx, s, a); });
}

template <class T>
void register_for(KernelTable& table, DType dtype) {
  table.add<kernels::Axpby>(dtype, &axpby<T>);
  table.add<kernels::Dot>(dtype, &dot<T>);
  table.add<kernels::AllFinite>(dtype, &all_finite<T>);
  table.add<kernels::Power>(dtype, &power<T>);
  table.add<kernels::Update>(dtype, &update<T>);
  table.add<kernels::StepCurvature>(dtype, &step_curvature<T>);
}

}  // namespace

void register_vectors(KernelTable& table) {
  register_for<float>(table, DType::f32);
  register_for<double>(table, DType::f64);
}

}  // namespace hesscore::cuda
