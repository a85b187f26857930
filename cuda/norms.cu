// Normalisations: statistics and passes.
#include "backend/kernels.hpp"
#include "norm.cuh"
#include "register.hpp"

namespace hesscore::cuda {

namespace {

// ---- statistics --------------------------------------------------------------------------------

// The mean in two parts and r, of three arrays `planes` apart.
template <class T>
__device__ void put_mean(T* to, std::int64_t planes, std::int64_t i, double mean) {
  const T high = static_cast<T>(mean);
  to[i] = high;
  to[planes + i] = static_cast<T>(mean - static_cast<double>(high));
}

// Means; or without any, zeros.
template <class T>
struct PutMeans {
  const double* means;
  T* to;
  std::int64_t planes;
  __device__ void operator()(std::int64_t i) const {
    put_mean(to, planes, i, means != nullptr ? means[i] : 0.0);
    to[2 * planes + i] = T(1);
  }
};

template <class T>
struct PutVariances {
  const double* variances;
  T* to;
  std::int64_t planes;
  double* batch;
  double eps, count;
  __device__ void operator()(std::int64_t i) const {
    to[2 * planes + i] = static_cast<T>(1 / sqrt(variances[i] + eps));
    if (batch == nullptr) return;
    batch[i] = static_cast<double>(to[i]) + static_cast<double>(to[planes + i]);
    batch[planes + i] = variances[i] * count / (count - 1);
  }
};

template <class T, class Pass>
NormCall<T, Pass> call_of(const math::NormGeometry& g, const T* x, const T* statistics) {
  NormCall<T, Pass> d{};
  d.g = g;
  d.pass.inverse = g.fixed ? T(0) : T(1) / static_cast<T>(g.count());
  d.pass.centre = g.centred ? T(1) : T(0);
  d.x = x;
  d.statistics = statistics;
  d.reps = 1;
  d.planes = g.statistics();
  return d;
}

// Two passes: the mean, then the mean square of what differs from it.
template <class T>
void norm_statistics(void* stream, const kernels::NormStatistics::Args& a) {
  const Context& ctx = context_of(stream);
  if (a.g.size() == 0) return;
  auto* const means = static_cast<double*>(ctx.workspace);
  const auto room = static_cast<std::int64_t>(ctx.workspace_bytes / sizeof(double));
  const std::int64_t planes = a.g.statistics();
  const std::int64_t unit = a.g.groups + (norm_by_rows(a.g) ? 0 : a.g.columns());
  const std::int64_t samples = std::clamp<std::int64_t>(room / unit, 1, a.g.samples);
  for (std::int64_t first = 0; first < a.g.samples; first += samples) {
    math::NormGeometry g = a.g;
    g.samples = std::min(samples, a.g.samples - first);
    const T* const x = a.x.as<T>() + first * g.sample();
    T* const to = a.statistics.as<T>() + first * g.groups;
    double* const batch = a.batch ? a.batch.as<double>() + first * g.groups : nullptr;
    double* const partial = means + g.statistics();
    const std::int64_t left = room - g.statistics();
    if (g.centred) {
      auto d = call_of<T, math::NormPowerPass<T, 1>>(g, x, nullptr);
      d.means = means;
      norm_results(ctx, d, partial, left);
    }
    for_each(ctx, g.statistics(), PutMeans<T>{g.centred ? means : nullptr, to, planes});
    auto d = call_of<T, math::NormPowerPass<T, 2>>(g, x, to);
    d.means = means;
    d.planes = planes;
    norm_results(ctx, d, partial, left);
    for_each(ctx, g.statistics(),
             PutVariances<T>{means, to, planes, batch, a.eps, static_cast<double>(g.count())});
  }
}

template <class T>
struct PutFixed {
  const double *mean, *variance;
  T* to;
  std::int64_t n;
  double eps;
  __device__ void operator()(std::int64_t i) const {
    put_mean(to, n, i, mean[i]);
    to[2 * n + i] = static_cast<T>(1 / sqrt(variance[i] + eps));
  }
};

template <class T>
void norm_fixed(void* stream, const kernels::NormFixed::Args& a) {
  for_each(
      context_of(stream), a.n,
      PutFixed<T>{a.mean.as<double>(), a.variance.as<double>(), a.statistics.as<T>(), a.n, a.eps});
}

// One block, for all read the count before it changes.
__global__ void __launch_bounds__(kNormThreads)
    norm_track_kernel(const double* batch, double* mean, double* variance, double* count,
                      std::int64_t n, double momentum, const int* alarm) {
  if (*alarm != 0) return;
  const double now = *count + 1, part = momentum < 0 ? 1 / now : momentum;
  __syncthreads();
  if (threadIdx.x == 0) *count = now;
  for (std::int64_t i = threadIdx.x; i < n; i += kNormThreads) {
    mean[i] = (1 - part) * mean[i] + part * batch[i];
    variance[i] = (1 - part) * variance[i] + part * batch[n + i];
  }
}

void norm_track(void* stream, const kernels::NormTrack::Args& a) {
  const Context& ctx = context_of(stream);
  launch(ctx, &norm_track_kernel, 1, kNormThreads, 0, a.batch.as<double>(), a.mean.as<double>(),
         a.variance.as<double>(), a.count.as<double>(), a.n, a.momentum, ctx.alarm);
}

// ---- passes ------------------------------------------------------------------------------------

template <class T, class Pass, class Args>
NormCall<T, Pass> call_of(const Args& a) {
  auto d = call_of<T, Pass>(a.g, a.x.template as<T>(), a.statistics.template as<T>());
  d.w = a.w.template as<T>();
  return d;
}

template <class T>
void norm_forward(void* stream, const kernels::NormForward::Args& a) {
  const Context& ctx = context_of(stream);
  auto d = call_of<T, math::NormForwardPass<T>>(a);
  d.b = a.b.as<T>();
  d.out[0] = {ctx, a.y};
  norm_run(ctx, d);
}

template <class T>
void norm_tangent(void* stream, const kernels::NormTangent::Args& a) {
  const Context& ctx = context_of(stream);
  auto d = call_of<T, math::NormTangentPass<T>>(a);
  d.dw = a.dw.as<T>();
  d.b = a.db.as<T>();
  d.in[0] = a.dx.as<T>();
  d.stacked[0] = true;
  d.reps = a.reps;
  d.stride = a.stride;
  d.out[0] = {ctx, a.dy};
  norm_run(ctx, d);
}

template <class T>
void norm_adjoint(void* stream, const kernels::NormAdjoint::Args& a) {
  const Context& ctx = context_of(stream);
  auto d = call_of<T, math::NormAdjointPass<T>>(a);
  d.in[0] = a.gy.as<T>();
  d.stacked[0] = true;
  d.reps = a.reps;
  d.stride = a.stride;
  d.out[0] = {ctx, a.gx};
  d.sum[0] = {ctx, a.gw};
  d.sum[1] = {ctx, a.gb};
  norm_run(ctx, d);
}

template <class T>
void norm_second(void* stream, const kernels::NormSecond::Args& a) {
  const Context& ctx = context_of(stream);
  auto d = call_of<T, math::NormSecondPass<T>>(a);
  d.dw = a.dw.as<T>();
  d.in[0] = a.gy.as<T>();
  d.in[1] = a.dx.as<T>();
  d.in[2] = a.dgy.as<T>();
  d.stacked[1] = d.stacked[2] = true;
  d.reps = a.reps;
  d.stride = a.stride;
  d.out[0] = {ctx, a.dgx};
  d.sum[0] = {ctx, a.hw};
  d.sum[1] = {ctx, a.hb};
  norm_run(ctx, d);
}

template <class T>
void norm_diagonal(void* stream, const kernels::NormDiagonal::Args& a) {
  const Context& ctx = context_of(stream);
  auto d = call_of<T, math::NormDiagonalPass<T>>(a);
  d.pass.second = a.gauss_newton ? T(0) : T(1);
  d.pass.flat = a.flat;
  d.in[0] = a.gy.as<T>();
  d.in[1] = a.hy.as<T>();
  d.out[0] = {ctx, a.gx};
  d.out[1] = {ctx, a.hx};
  d.sum[0] = {ctx, a.gw};
  d.sum[1] = {ctx, a.gb};
  d.sum[2] = {ctx, a.hw};
  d.sum[3] = {ctx, a.hb};
  norm_run(ctx, d);
}

template <class T>
void register_for(KernelTable& table, DType dtype) {
  table.add<kernels::NormStatistics>(dtype, &norm_statistics<T>);
  table.add<kernels::NormFixed>(dtype, &norm_fixed<T>);
  table.add<kernels::NormTrack>(dtype, &norm_track);
  table.add<kernels::NormForward>(dtype, &norm_forward<T>);
  table.add<kernels::NormTangent>(dtype, &norm_tangent<T>);
  table.add<kernels::NormAdjoint>(dtype, &norm_adjoint<T>);
  table.add<kernels::NormSecond>(dtype, &norm_second<T>);
  table.add<kernels::NormDiagonal>(dtype, &norm_diagonal<T>);
}

}  // namespace

void register_norms(KernelTable& table) {
  register_for<float>(table, DType::f32);
  register_for<double>(table, DType::f64);
}

}  // namespace hesscore::cuda
