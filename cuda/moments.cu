// Moments of samples from their sums, and square roots.
#include "backend/kernels.hpp"
#include "math/moments.hpp"
#include "packs.cuh"
#include "register.hpp"

namespace hesscore::cuda {

namespace {

template <class T>
struct MeanAndVariance {  // sum, square -> mean, variance
  T scale;
  __device__ void operator()(const T (&x)[2], T (&y)[2]) const {
    y[0] = scale * x[0];
    y[1] = math::variance(x[1], y[0]);
  }
};

template <class T>
struct Root {
  __device__ void operator()(const T (&x)[1], T (&y)[1]) const { y[0] = std::sqrt(x[0]); }
};

template <class T>
void moments(void* stream, const kernels::Moments::Args& a) {
  const Context& ctx = context_of(stream);
  map(ctx,
      Arrays<T, 0, 2, 2>{
          a.n, 1, {a.sum.as<T>(), a.square.as<T>()}, {}, {{ctx, a.mean}, {ctx, a.variance}}, 0},
      MeanAndVariance<T>{static_cast<T>(a.scale)});
}

template <class T>
void square_root(void* stream, const kernels::SquareRoot::Args& a) {
  const Context& ctx = context_of(stream);
  map(ctx, Arrays<T, 0, 1, 1>{a.n, 1, {a.x.as<T>()}, {}, {{ctx, a.y}}, 0}, Root<T>{});
}

template <class T>
void register_for(KernelTable& table, DType dtype) {
  table.add<kernels::Moments>(dtype, &moments<T>);
  table.add<kernels::SquareRoot>(dtype, &square_root<T>);
}

}  // namespace

void register_moments(KernelTable& table) {
  register_for<float>(table, DType::f32);
  register_for<double>(table, DType::f64);
}

}  // namespace hesscore::cuda
