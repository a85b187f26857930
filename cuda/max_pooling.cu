// Maximum pooling: the choice, and the maps that follow it.
#include <cmath>

#include "backend/kernels.hpp"
#include "register.hpp"
#include "windows.cuh"

namespace hesscore::cuda {

namespace {

template <class T, int kWidth>
struct ChoiceBody {
  math::WindowGeometry g;
  const T* x;
  Sink<T> y;
  std::int32_t* index;

  __device__ void operator()(std::int64_t e) const {
    const Place<kWidth> p = place_of<kWidth>(e, g.h.out, g.w.out, g.c);
    const std::int64_t top = g.h.begin(p.i), bottom = g.h.end(p.i);
    const std::int64_t left = g.w.begin(p.j), right = g.w.end(p.j);
    T best[kWidth], v[kWidth];
    std::int32_t at[kWidth];
#pragma unroll
    for (int k = 0; k < kWidth; ++k) best[k] = -static_cast<T>(INFINITY), at[k] = -1;
    for (std::int64_t i = top; i < bottom; i += g.h.step()) {
      const T* from = x + p.image * g.x_image() + i * g.w.in * g.c + p.c;
      for (std::int64_t j = left; j < right; j += g.w.step()) {
        load(v, from + j * g.c, kWhole<kWidth>);
#pragma unroll
        for (int k = 0; k < kWidth; ++k) {
          if (!(v[k] > best[k] || v[k] != v[k] || at[k] < 0)) continue;
          best[k] = v[k];
          at[k] = static_cast<std::int32_t>(i * g.w.in + j);
        }
      }
    }
    put(y, e * kWidth, best, kWhole<kWidth>);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) index[e * kWidth + k] = at[k];
  }
};

template <class T, int kWidth>
struct TangentBody {
  math::WindowGeometry g;
  const T* x;
  const std::int32_t* index;
  Sink<T> y;

  __device__ void operator()(std::int64_t e) const {
    const std::int64_t packs = g.c / kWidth, size = g.n * g.y_image() / kWidth;
    const std::int64_t at = e / packs, c = (e - at * packs) * kWidth;
    const T* image = x + at / (g.h.out * g.w.out) * g.x_image() + c;
    T v[kWidth];
#pragma unroll
    for (int k = 0; k < kWidth; ++k) {
      const std::int32_t from = index[e % size * kWidth + k];
      v[k] = from < 0 ? T(0) : image[from * g.c + k];
    }
    put(y, e * kWidth, v, kWhole<kWidth>);
  }
};

template <class T, int kWidth>
struct AdjointBody {
  math::WindowGeometry g;
  const T* y;
  const std::int32_t* index;
  Sink<T> x;

  __device__ void operator()(std::int64_t e) const {
    const Place<kWidth> p = place_of<kWidth>(e, g.h.in, g.w.in, g.c);
    const auto here = static_cast<std::int32_t>(p.i * g.w.in + p.j);
    const std::int64_t top = g.h.first(p.i), bottom = g.h.last(p.i);
    const std::int64_t left = g.w.first(p.j), right = g.w.last(p.j);
    T sum[kWidth] = {}, v[kWidth];
    for (std::int64_t i = top; i <= bottom; ++i) {
      for (std::int64_t j = left; j <= right; ++j) {
        const std::int64_t at = (i * g.w.out + j) * g.c + p.c;
        load(v, y + p.image * g.y_image() + at, kWhole<kWidth>);
        const std::int32_t* chosen = index + p.image % g.n * g.y_image() + at;
#pragma unroll
        for (int k = 0; k < kWidth; ++k) sum[k] += chosen[k] == here ? v[k] : T(0);
      }
    }
    put(x, e * kWidth, sum, kWhole<kWidth>);
  }
};

template <class T>
void max_pool(void* stream, const kernels::MaxPool::Args& a) {
  const Context& ctx = context_of(stream);
  const Sink<T> y{ctx, a.y};
  for_packs<ChoiceBody, T>(ctx, a.g.n * a.g.y_image(), a.g.c,
                           aligned(a.x.as<T>()) && aligned(y.data), a.g, a.x.as<T>(), y,
                           a.index.as<std::int32_t>());
}

template <class T>
void max_pool_tangent(void* stream, const kernels::MaxPoolTangent::Args& a) {
  const Context& ctx = context_of(stream);
  const Sink<T> y{ctx, a.y};
  for_packs<TangentBody, T>(ctx, a.reps * a.g.n * a.g.y_image(), a.g.c, aligned(y.data), a.g,
                            a.x.as<T>(), a.index.as<std::int32_t>(), y);
}

template <class T>
void max_pool_adjoint(void* stream, const kernels::MaxPoolAdjoint::Args& a) {
  const Context& ctx = context_of(stream);
  const Sink<T> x{ctx, a.x};
  for_packs<AdjointBody, T>(ctx, a.reps * a.g.n * a.g.x_image(), a.g.c,
                            aligned(a.y.as<T>()) && aligned(x.data), a.g, a.y.as<T>(),
                            a.index.as<std::int32_t>(), x);
}

template <class T>
void register_for(KernelTable& table, DType dtype) {
  table.add<kernels::MaxPool>(dtype, &max_pool<T>);
  table.add<kernels::MaxPoolTangent>(dtype, &max_pool_tangent<T>);
  table.add<kernels::MaxPoolAdjoint>(dtype, &max_pool_adjoint<T>);
}

}  // namespace

void register_max_pooling(KernelTable& table) {
  register_for<float>(table, DType::f32);
  register_for<double>(table, DType::f64);
}

}  // namespace hesscore::cuda
