// The element-wise rules: forward, tangent, second order and diagonal, from one jet per activation.
#include "backend/kernels.hpp"
#include "math/activations.hpp"
#include "packs.cuh"
#include "register.hpp"

namespace hesscore::cuda {

namespace {

template <class Rule, class T>
struct Forward {
  T alpha;
  __device__ void operator()(const T (&x)[1], T (&y)[1]) const { y[0] = Rule::at(x[0], alpha).f; }
};

template <class Rule, class T>
struct Tangent {  // x, dx -> dy
  T alpha;
  __device__ void operator()(const T (&x)[2], T (&y)[1]) const {
    y[0] = Rule::at(x[0], alpha).d * x[1];
  }
};

template <class Rule, class T>
struct Second {  // x, gy, dx, dgy -> dgx
  T alpha;
  __device__ void operator()(const T (&x)[4], T (&y)[1]) const {
    const math::Jet<T> jet = Rule::at(x[0], alpha);
    y[0] = jet.d * x[3] + jet.dd * x[1] * x[2];
  }
};

template <class Rule, class T>
struct Diagonal {  // x, gy, hy -> gx, hx
  T alpha;
  bool gauss_newton;
  __device__ void operator()(const T (&x)[3], T (&y)[2]) const {
    const math::Jet<T> jet = Rule::at(x[0], alpha);
    const T flat = jet.d * jet.d * x[2];
    y[0] = jet.d * x[1];
    y[1] = gauss_newton ? flat : flat + jet.dd * x[1];
  }
};

template <class T>
void map_forward(void* stream, const kernels::MapForward::Args& a) {
  const Context& ctx = context_of(stream);
  const Arrays<T, 0, 1, 1> arrays{a.n, 1, {a.x.as<T>()}, {}, {{ctx, a.y}}, 0};
  math::dispatch(a.act.id, [&](auto rule) {
    map(ctx, arrays, Forward<decltype(rule), T>{static_cast<T>(a.act.alpha)});
  });
}

template <class T>
void map_tangent(void* stream, const kernels::MapTangent::Args& a) {
  const Context& ctx = context_of(stream);
  const Arrays<T, 1, 2, 1> arrays{a.n,      a.reps,        {a.x.as<T>(), a.dx.as<T>()},
                                  {0, a.n}, {{ctx, a.dy}}, a.n};
  math::dispatch(a.act.id, [&](auto rule) {
    map(ctx, arrays, Tangent<decltype(rule), T>{static_cast<T>(a.act.alpha)});
  });
}

template <class T>
void map_second(void* stream, const kernels::MapSecond::Args& a) {
  const Context& ctx = context_of(stream);
  const Arrays<T, 2, 4, 1> arrays{a.n,
                                  a.reps,
                                  {a.x.as<T>(), a.gy.as<T>(), a.dx.as<T>(), a.dgy.as<T>()},
                                  {0, 0, a.n, a.n},
                                  {{ctx, a.dgx}},
                                  a.n};
  math::dispatch(a.act.id, [&](auto rule) {
    map(ctx, arrays, Second<decltype(rule), T>{static_cast<T>(a.act.alpha)});
  });
}

template <class T>
void map_diagonal(void* stream, const kernels::MapDiagonal::Args& a) {
  const Context& ctx = context_of(stream);
  const Arrays<T, 0, 3, 2> arrays{
      a.n, 1, {a.x.as<T>(), a.gy.as<T>(), a.hy.as<T>()}, {}, {{ctx, a.gx}, {ctx, a.hx}}, 0};
  math::dispatch(a.act.id, [&](auto rule) {
    map(ctx, arrays, Diagonal<decltype(rule), T>{static_cast<T>(a.act.alpha), a.gauss_newton});
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
