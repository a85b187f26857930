// The element-wise rules: forward, tangent, second order and diagonal, from one jet per activation.
#include "backend/kernels.hpp"
#include "launch.cuh"
#include "math/activations.hpp"
#include "register.hpp"

namespace hesscore::cuda {

namespace {

template <class Rule, class T>
struct Forward {
  const T* x;
  Sink<T> y;
  T alpha;
  __device__ void operator()(std::int64_t i) const { y.put(i, Rule::at(x[i], alpha).f); }
};

template <class Rule, class T>
struct Tangent {
  const T *x, *dx;
  Sink<T> dy;
  std::int64_t n, reps;
  T alpha;
  __device__ void operator()(std::int64_t i) const {
    const T d = Rule::at(x[i], alpha).d;
    for (std::int64_t k = i; k < n * reps; k += n) dy.put(k, d * dx[k]);
  }
};

template <class Rule, class T>
struct Second {
  const T *x, *dx, *gy, *dgy;
  Sink<T> dgx;
  std::int64_t n, reps;
  T alpha;
  __device__ void operator()(std::int64_t i) const {
    const math::Jet<T> jet = Rule::at(x[i], alpha);
    const T curved = jet.dd * gy[i];
    for (std::int64_t k = i; k < n * reps; k += n) dgx.put(k, jet.d * dgy[k] + curved * dx[k]);
  }
};

template <class Rule, class T>
struct Diagonal {
  const T *x, *gy, *hy;
  Sink<T> gx, hx;
  bool gauss_newton;
  T alpha;
  __device__ void operator()(std::int64_t i) const {
    const math::Jet<T> jet = Rule::at(x[i], alpha);
    const T flat = jet.d * jet.d * hy[i];
    const T g = gy ? gy[i] : T(0);
    if (gx.data) gx.put(i, jet.d * g);
    hx.put(i, gauss_newton ? flat : flat + jet.dd * g);
  }
};

template <class T>
void map_forward(void* stream, const kernels::MapForward::Args& a) {
  math::dispatch(a.act.id, [&](auto rule) {
    for_each(stream, a.n,
             Forward<decltype(rule), T>{a.x.as<T>(), Sink<T>(a.y), static_cast<T>(a.act.alpha)});
  });
}

template <class T>
void map_tangent(void* stream, const kernels::MapTangent::Args& a) {
  math::dispatch(a.act.id, [&](auto rule) {
    for_each(stream, a.n,
             Tangent<decltype(rule), T>{a.x.as<T>(), a.dx.as<T>(), Sink<T>(a.dy), a.n, a.reps,
                                        static_cast<T>(a.act.alpha)});
  });
}

template <class T>
void map_second(void* stream, const kernels::MapSecond::Args& a) {
  math::dispatch(a.act.id, [&](auto rule) {
    for_each(stream, a.n,
             Second<decltype(rule), T>{a.x.as<T>(), a.dx.as<T>(), a.gy.as<T>(), a.dgy.as<T>(),
                                       Sink<T>(a.dgx), a.n, a.reps, static_cast<T>(a.act.alpha)});
  });
}

template <class T>
void map_diagonal(void* stream, const kernels::MapDiagonal::Args& a) {
  math::dispatch(a.act.id, [&](auto rule) {
    for_each(
        stream, a.n,
        Diagonal<decltype(rule), T>{a.x.as<T>(), a.gy.as<T>(), a.hy.as<T>(), Sink<T>(a.gx),
                                    Sink<T>(a.hx), a.gauss_newton, static_cast<T>(a.act.alpha)});
  });
}

template <class T>
void register_for(KernelTable& table, DType dtype) {
  table.add<kernels::MapForward>(dtype, &map_forward<T>);
  table.add<kernels::MapTangent>(dtype, &map_tangent<T>);
  table.add<kernels::MapSecond>(dtype, &map_second<T>);
  table.add<kernels::MapDiagonal>(dtype, &map_diagonal<T>);
}

}  // namespace

void register_maps(KernelTable& table) {
  register_for<float>(table, DType::f32);
  register_for<double>(table, DType::f64);
}

}  // namespace hesscore::cuda
