// Normalisations: statistics and passes.
#include <cmath>

#include "cpu/isa/norm.hpp"

namespace hesscore::cpu::HC_ISA {
namespace {

// The mean in two parts, and r.
template <class T>
void put_statistics(T* to, std::int64_t n, std::int64_t i, double mean, double variance,
                    double eps) {
  const T high = static_cast<T>(mean);
  to[i] = high;
  to[n + i] = static_cast<T>(mean - static_cast<double>(high));
  to[2 * n + i] = static_cast<T>(1 / std::sqrt(variance + eps));
}

// Two passes: the mean, then the mean square of what differs from it.
template <class T>
void norm_statistics(void*, const kernels::NormStatistics::Args& a) {
  const std::int64_t n = a.g.statistics(), count = a.g.count();
  T* const to = a.statistics.as<T>();
  store(to, 3 * n, false, [&](std::int64_t i) { return i < 2 * n ? T(0) : T(1); });
  double* const batch = a.batch.as<double>();
  auto* const mean = static_cast<double*>(scratch(14, n * std::int64_t{sizeof(double)}));
  std::fill_n(mean, n, 0.0);
  if (a.g.centred) {
    Normalise<T, math::NormPowerPass<T, 1>> first(a.g);
    first.x = a.x.as<T>();
    std::copy_n(first.means(), n, mean);
    for (std::int64_t i = 0; i < n; ++i) put_statistics(to, n, i, mean[i], 1, 0);
  }
  Normalise<T, math::NormPowerPass<T, 2>> second(a.g);
  second.x = a.x.as<T>();
  second.statistics = to;
  const double* const variance = second.means();
  for (std::int64_t i = 0; i < n; ++i) {
    put_statistics(to, n, i, mean[i], variance[i], a.eps);
    if (batch == nullptr) continue;
    batch[i] = mean[i];
    batch[n + i] = variance[i] * static_cast<double>(count) / static_cast<double>(count - 1);
  }
}

template <class T>
void norm_fixed(void*, const kernels::NormFixed::Args& a) {
  const auto *mean = a.mean.as<double>(), *variance = a.variance.as<double>();
  for (std::int64_t i = 0; i < a.n; ++i) {
    put_statistics(a.statistics.as<T>(), a.n, i, mean[i], variance[i], a.eps);
  }
}

template <class T>
void norm_track(void*, const kernels::NormTrack::Args& a) {
  const auto* batch = a.batch.as<double>();
  auto *mean = a.mean.as<double>(), *variance = a.variance.as<double>();
  const double count = *a.count.as<double>() += 1;
  const double part = a.momentum < 0 ? 1 / count : a.momentum;
  for (std::int64_t i = 0; i < a.n; ++i) {
    mean[i] = (1 - part) * mean[i] + part * batch[i];
    variance[i] = (1 - part) * variance[i] + part * batch[a.n + i];
  }
}

template <class T, class Pass, class Args>
Normalise<T, Pass> normalise(const Args& a) {
  Normalise<T, Pass> n(a.g);
  n.pass.inverse = a.g.fixed ? T(0) : T(1) / static_cast<T>(a.g.count());
  n.pass.centre = a.g.centred ? T(1) : T(0);
  n.x = a.x.template as<T>();
  n.statistics = a.statistics.template as<T>();
  n.w = a.w.template as<T>();
  return n;
}

template <class T>
void norm_forward(void*, const kernels::NormForward::Args& a) {
  auto n = normalise<T, math::NormForwardPass<T>>(a);
  n.b = a.b.as<T>();
  n.out[0] = a.y;
  n.run();
}

template <class T>
void norm_tangent(void*, const kernels::NormTangent::Args& a) {
  auto n = normalise<T, math::NormTangentPass<T>>(a);
  n.dw = a.dw.as<T>();
  n.b = a.db.as<T>();
  n.in[0] = a.dx.as<T>();
  n.stacked[0] = true;
  n.reps = a.reps;
  n.stride = a.stride;
  n.out[0] = a.dy;
  n.run();
}

template <class T>
void norm_adjoint(void*, const kernels::NormAdjoint::Args& a) {
  auto n = normalise<T, math::NormAdjointPass<T>>(a);
  n.in[0] = a.gy.as<T>();
  n.stacked[0] = true;
  n.reps = a.reps;
  n.stride = a.stride;
  n.out[0] = a.gx;
  n.sum[0] = a.gw;
  n.sum[1] = a.gb;
  n.run();
}

template <class T>
void norm_second(void*, const kernels::NormSecond::Args& a) {
  auto n = normalise<T, math::NormSecondPass<T>>(a);
  n.dw = a.dw.as<T>();
  n.in[0] = a.gy.as<T>();
  n.in[1] = a.dx.as<T>();
  n.in[2] = a.dgy.as<T>();
  n.stacked[1] = n.stacked[2] = true;
  n.reps = a.reps;
  n.stride = a.stride;
  n.out[0] = a.dgx;
  n.sum[0] = a.hw;
  n.sum[1] = a.hb;
  n.run();
}

template <class T>
void norm_diagonal(void*, const kernels::NormDiagonal::Args& a) {
  auto n = normalise<T, math::NormDiagonalPass<T>>(a);
  n.pass.second = a.gauss_newton ? T(0) : T(1);
  n.pass.flat = a.flat;
  n.in[0] = a.gy.as<T>();
  n.in[1] = a.hy.as<T>();
  n.out[0] = a.gx;
  n.out[1] = a.hx;
  n.sum[0] = a.gw;
  n.sum[1] = a.gb;
  n.sum[2] = a.hw;
  n.sum[3] = a.hb;
  n.run();
}

}  // namespace

void register_norms(KernelTable& table) {
  HC_ADD(table, NormStatistics, norm_statistics);
  HC_ADD(table, NormFixed, norm_fixed);
  HC_ADD(table, NormTrack, norm_track);
  HC_ADD(table, NormForward, norm_forward);
  HC_ADD(table, NormTangent, norm_tangent);
  HC_ADD(table, NormAdjoint, norm_adjoint);
  HC_ADD(table, NormSecond, norm_second);
  HC_ADD(table, NormDiagonal, norm_diagonal);
}

}  // namespace hesscore::cpu::HC_ISA
