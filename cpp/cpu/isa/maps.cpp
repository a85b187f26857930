// Element-wise activations. The derivatives of a block are computed once, whatever the number of
// tangents that use them.
#include "cpu/isa/elementwise.hpp"
#include "cpu/isa/rule.hpp"
#include "math/activations.hpp"

namespace hesscore::cpu::HC_ISA {
namespace {

template <class A, class T>
void values(const T* x, T alpha, std::int64_t n, T* f) {
#pragma GCC ivdep
  for (std::int64_t i = 0; i < n; ++i) f[i] = A::at(x[i], alpha).f;
}

template <class A, class T>
void slopes(const T* x, T alpha, std::int64_t n, T* d) {
#pragma GCC ivdep
  for (std::int64_t i = 0; i < n; ++i) d[i] = A::at(x[i], alpha).d;
}

template <class A, class T>
void linearize(T* x, T alpha, std::int64_t n, T* f) {
#pragma GCC ivdep
  for (std::int64_t i = 0; i < n; ++i) {
    const math::Jet<T> jet = A::at(x[i], alpha);
    f[i] = jet.f;
    x[i] = jet.d;
  }
}

template <class A, class T>
void slopes_and_curvatures(const T* x, T alpha, std::int64_t n, T* d, T* dd) {
#pragma GCC ivdep
  for (std::int64_t i = 0; i < n; ++i) {
    const math::Jet<T> jet = A::at(x[i], alpha);
    d[i] = jet.d;
    dd[i] = jet.dd;
  }
}

template <class T>
void map_forward(void*, const kernels::MapForward::Args& a) {
  const Rule<T> rule(a.act);
  const T* x = a.x.as<T>();
  T* y = a.y.as<T>();
  for_blocks(a.n, 1, [&](std::int64_t i, std::int64_t n) {
    if (!a.y.accumulate) return rule.values(x + i, rule.alpha, n, y + i);
    alignas(64) T f[kBlock];
    rule.values(x + i, rule.alpha, n, f);
    store(y + i, n, true, [&](std::int64_t k) { return f[k]; });
  });
}

template <class T>
void map_linearize(void*, const kernels::MapLinearize::Args& a) {
  const Rule<T> rule(a.act);
  T *x = a.x.as<T>(), *y = a.y.as<T>();
  for_blocks(a.n, 1,
             [&](std::int64_t i, std::int64_t n) { rule.linearize(x + i, rule.alpha, n, y + i); });
}

template <class T>
void map_tangent(void*, const kernels::MapTangent::Args& a) {
  const Rule<T> rule(a.act);
  const T *x = a.x.as<T>(), *dx = a.dx.as<T>();
  T* dy = a.dy.as<T>();
  for_blocks(a.n, a.reps, [&](std::int64_t i, std::int64_t n) {
    alignas(64) T d[kBlock];
    rule.slopes(x + i, rule.alpha, n, d);
    for (std::int64_t r = 0; r < a.reps; ++r) {
      const T* in = dx + r * a.n + i;
      store(dy + r * a.n + i, n, a.dy.accumulate, [&](std::int64_t k) { return d[k] * in[k]; });
    }
  });
}

template <class T>
void map_second(void*, const kernels::MapSecond::Args& a) {
  const Rule<T> rule(a.act);
  const T *x = a.x.as<T>(), *dx = a.dx.as<T>(), *gy = a.gy.as<T>(), *dgy = a.dgy.as<T>();
  T* dgx = a.dgx.as<T>();
  for_blocks(a.n, a.reps, [&](std::int64_t i, std::int64_t n) {
    alignas(64) T d[kBlock], dd[kBlock];
    rule.both(x + i, rule.alpha, n, d, dd);
    store(dd, n, false, [&](std::int64_t k) { return dd[k] * gy[i + k]; });
    for (std::int64_t r = 0; r < a.reps; ++r) {
      const T *tangent = dx + r * a.n + i, *adjoint = dgy + r * a.n + i;
      store(dgx + r * a.n + i, n, a.dgx.accumulate,
            [&](std::int64_t k) { return d[k] * adjoint[k] + dd[k] * tangent[k]; });
    }
  });
}

// h before g: gx may be gy in place.
template <class T>
void map_diagonal(void*, const kernels::MapDiagonal::Args& a) {
  const Rule<T> rule(a.act);
  const T *x = a.x.as<T>(), *gy = a.gy.as<T>(), *hy = a.hy.as<T>();
  T *gx = a.gx.as<T>(), *hx = a.hx.as<T>();
  const bool second = hx != nullptr && !a.gauss_newton;
  for_blocks(a.n, 1, [&](std::int64_t i, std::int64_t n) {
    alignas(64) T d[kBlock], dd[kBlock];
    const T *g = advance(gy, i), *h = advance(hy, i);
    if (second) {
      rule.both(x + i, rule.alpha, n, d, dd);
      store(hx + i, n, a.hx.accumulate,
            [&](std::int64_t k) { return d[k] * d[k] * h[k] + dd[k] * g[k]; });
    } else {
      rule.slopes(x + i, rule.alpha, n, d);
    }
    if (hx != nullptr && !second) {
      store(hx + i, n, a.hx.accumulate, [&](std::int64_t k) { return d[k] * d[k] * h[k]; });
    }
    if (gx != nullptr) {
      store(gx + i, n, a.gx.accumulate, [&](std::int64_t k) { return d[k] * g[k]; });
    }
  });
}

}  // namespace

template <class T>
Rule<T>::Rule(const kernels::Activation& a) : alpha(static_cast<T>(a.alpha)) {
  math::dispatch(a.id, [this](auto act) {
    using A = decltype(act);
    values = &HC_ISA::values<A, T>;
    slopes = &HC_ISA::slopes<A, T>;
    linearize = &HC_ISA::linearize<A, T>;
    both = &slopes_and_curvatures<A, T>;
  });
}

template <class T>
void Finish<T>::operator()(std::int64_t begin, std::int64_t n) const {
  using kernels::Epilogue;
  for (std::int64_t i = begin, end = begin + n; i < end; i += kBlock) {
    const std::int64_t m = end - i < kBlock ? end - i : kBlock;
    if (kind == Epilogue::value) {
      rule.values(c + i, rule.alpha, m, y + i);
      continue;
    }
    if (kind == Epilogue::value_and_slope) {
      rule.linearize(c + i, rule.alpha, m, y + i);
      continue;
    }
    const T *g = c + i, *h = advance(c2, i);
    if (kind == Epilogue::times) {
      store(y + i, m, false, [&](std::int64_t k) { return x[i + k] * g[k]; });
      continue;
    }
    alignas(64) T d[kBlock], dd[kBlock];
    if (kind == Epilogue::diagonal) {
      rule.both(x + i, rule.alpha, m, d, dd);
      store(y2 + i, m, false, [&](std::int64_t k) { return d[k] * d[k] * h[k] + dd[k] * g[k]; });
    } else {
      rule.slopes(x + i, rule.alpha, m, d);
    }
    if (kind == Epilogue::diagonal_gauss_newton) {
      store(y2 + i, m, false, [&](std::int64_t k) { return d[k] * d[k] * h[k]; });
    }
    store(y + i, m, false, [&](std::int64_t k) { return d[k] * g[k]; });
  }
}

template struct Rule<float>;
template struct Rule<double>;
template struct Finish<float>;
template struct Finish<double>;

void register_maps(KernelTable& table) {
  HC_ADD(table, MapForward, map_forward);
  HC_ADD(table, MapLinearize, map_linearize);
  HC_ADD(table, MapTangent, map_tangent);
  HC_ADD(table, MapSecond, map_second);
  HC_ADD(table, MapDiagonal, map_diagonal);
}

}  // namespace hesscore::cpu::HC_ISA
