// The vector algebra of solvers, and the optimizers' updates.
#include <cmath>

#include "cpu/isa/reduce.hpp"
#include "math/updates.hpp"

namespace hesscore::cpu::HC_ISA {
namespace {

template <class T>
void axpby(void*, const kernels::Axpby::Args& args) {
  const T* x = args.x.as<T>();
  T* y = args.y.as<T>();
  const T a = static_cast<T>(args.a), b = static_cast<T>(args.b);
  for_blocks(args.n, 1, [&](std::int64_t i, std::int64_t n) {
    const T* in = x + i;
    T* out = y + i;
    if (b == 0) {  // y may hold anything
      store(out, n, false, [&](std::int64_t k) { return a * in[k]; });
    } else {
      store(out, n, false, [&](std::int64_t k) { return a * in[k] + b * out[k]; });
    }
  });
}

template <class T>
void dot_product(void*, const kernels::Dot::Args& a) {
  const T *x = a.x.as<T>(), *y = a.y.as<T>();
  *a.result = sum_chunks(a.n, kGrain, [&](std::int64_t begin, std::int64_t end) {
    return dot<double>(x + begin, y + begin, end - begin);
  });
}

template <class T>
void all_finite(void*, const kernels::AllFinite::Args& a) {
  const T* x = a.x.as<T>();
  const double bad = sum_chunks(a.n, kGrain, [&](std::int64_t begin, std::int64_t end) {
    T sum = 0;  // 0 x is 0 or NaN
    T lanes[32] = {};
    std::int64_t i = begin;
    for (; i + 32 <= end; i += 32) {
      for (int k = 0; k < 32; ++k) lanes[k] += x[i + k] * T(0);
    }
    for (; i < end; ++i) sum += x[i] * T(0);
    for (const T lane : lanes) sum += lane;
    return static_cast<double>(sum);
  });
  *a.result = bad == 0 ? 1 : 0;
}

template <class T>
void power(void*, const kernels::Power::Args& a) {
  const T* x = a.x.as<T>();
  const T shift = static_cast<T>(a.shift), exponent = static_cast<T>(a.exponent);
  for_blocks(a.n, 4, [&](std::int64_t i, std::int64_t n) {
    store(a.y.as<T>() + i, n, a.y.accumulate,
          [&](std::int64_t k) { return math::power(std::fabs(x[i + k]) + shift, exponent); });
  });
}

template <class T>
math::Clip<T> clip_of(const kernels::Update::Args& a) {
  return {a.spec, a.square ? *a.square.as<double>() : 0};
}

template <class T>
void average(const kernels::Update::Args& a, std::int64_t first, std::int64_t n) {
  if (!a.mean) return;
  const math::Averaged<T> rule(a.spec);
  T* mean = a.mean.as<T>() + first;
  const T* w = a.w.as<T>() + first;
#pragma GCC ivdep
  for (std::int64_t i = 0; i < n; ++i) rule.step(mean[i], w[i]);
}

template <class T>
void sgd(const kernels::Update::Args& a) {
  for_blocks(a.n, 1, [&](std::int64_t first, std::int64_t n) {
    const math::Sgd<T> rule(a.spec);
    const math::Clip<T> clip = clip_of<T>(a);
    T *w = a.w.as<T>() + first, *m = advance(a.m.as<T>(), first);
    const T* g = a.g.as<T>() + first;
    if (!a.m || a.spec.momentum == 0) {
#pragma GCC ivdep
      for (std::int64_t i = 0; i < n; ++i) rule.step(w[i], clip(g[i]));
    } else {
#pragma GCC ivdep
      for (std::int64_t i = 0; i < n; ++i) rule.step(w[i], m[i], clip(g[i]));
    }
    average<T>(a, first, n);
  });
}

template <class T, class Rule>
void with_moments(const kernels::Update::Args& a) {
  for_blocks(a.n, 1, [&](std::int64_t first, std::int64_t n) {
    const Rule rule(a.spec);
    const math::Clip<T> clip = clip_of<T>(a);
    T *w = a.w.as<T>() + first, *m = a.m.as<T>() + first, *u = a.u.as<T>() + first;
    const T *g = a.g.as<T>() + first, *d = advance(a.d.as<T>(), first);
    if (!a.d) {
#pragma GCC ivdep
      for (std::int64_t i = 0; i < n; ++i) rule.step(w[i], m[i], u[i], clip(g[i]), nullptr);
    } else {
#pragma GCC ivdep
      for (std::int64_t i = 0; i < n; ++i) rule.step(w[i], m[i], u[i], clip(g[i]), d + i);
    }
    average<T>(a, first, n);
  });
}

template <class T>
void apply(const kernels::Update::Args& a) {
  if (a.spec.kind == math::UpdateKind::sgd) return sgd<T>(a);
  if (a.spec.kind == math::UpdateKind::sophia) return with_moments<T, math::Sophia<T>>(a);
  math::with_root(a.spec, [&](auto root) { with_moments<T, math::Adam<T, root()>>(a); });
}

template <class T>
void step_curvature(void*, const kernels::StepCurvature::Args& a) {
  const T *m = a.m.as<T>(), *u = a.u.as<T>();
  math::with_root(a.spec, [&](auto root) {
    const math::Adam<T, root()> rule(a.spec);
    *a.result = sum_chunks(a.n, kGrain, [&](std::int64_t begin, std::int64_t end) {
      double sum = 0;
      for (std::int64_t i = begin; i < end; ++i) sum += rule.curvature(m[i], u[i]);
      return sum;
    });
  });
}

template <class T>
void update(void*, const kernels::Update::Args& args) {
  kernels::Update::Args a = args;
  if (a.record) a.spec = math::at_step(a.spec, *a.record.as<math::StepRecord>());
  apply<T>(a);
  if (a.count) ++*a.count.as<std::int64_t>();
}

}  // namespace

void register_vectors(KernelTable& table) {
  HC_ADD(table, Axpby, axpby);
  HC_ADD(table, Dot, dot_product);
  HC_ADD(table, AllFinite, all_finite);
  HC_ADD(table, Power, power);
  HC_ADD(table, Update, update);
  HC_ADD(table, StepCurvature, step_curvature);
}

}  // namespace hesscore::cpu::HC_ISA
