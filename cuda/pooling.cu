// Sums and means over windows of images, and their transposes: every element gathers what it needs,
// in a fixed order.
#include "backend/kernels.hpp"
#include "register.hpp"
#include "windows.cuh"

namespace hesscore::cuda {

namespace {

template <class T, int kWidth>
struct SumBody {
  math::WindowGeometry g;
  const T* x;
  Sink<T> y;

  __device__ void operator()(std::int64_t e) const {
    const Place<kWidth> p = place_of<kWidth>(e, g.h.out, g.w.out, g.c);
    const std::int64_t top = g.h.begin(p.i), bottom = g.h.end(p.i);
    const std::int64_t left = g.w.begin(p.j), right = g.w.end(p.j);
    const T coefficient = g.coefficient<T>(p.i, p.j, false);
    T sum[kWidth] = {}, v[kWidth];
    for (std::int64_t i = top; i < bottom; ++i) {
      const T* from = x + p.image * g.x_image() + i * g.w.in * g.c + p.c;
      for (std::int64_t j = left; j < right; ++j) {
        load(v, from + j * g.c, kWhole<kWidth>);
#pragma unroll
        for (int k = 0; k < kWidth; ++k) sum[k] += v[k];
      }
    }
#pragma unroll
    for (int k = 0; k < kWidth; ++k) sum[k] *= coefficient;
    put(y, e * kWidth, sum, kWhole<kWidth>);
  }
};

template <class T, int kWidth>
struct SpreadBody {
  math::WindowGeometry g;
  bool square;
  const T* y;
  Sink<T> x;

  __device__ void operator()(std::int64_t e) const {
    const Place<kWidth> p = place_of<kWidth>(e, g.h.in, g.w.in, g.c);
    const std::int64_t top = g.h.first(p.i), bottom = g.h.last(p.i);
    const std::int64_t left = g.w.first(p.j), right = g.w.last(p.j);
    T sum[kWidth] = {}, v[kWidth];
    for (std::int64_t i = top; i <= bottom; ++i) {
      const T* from = y + p.image * g.y_image() + i * g.w.out * g.c + p.c;
      for (std::int64_t j = left; j <= right; ++j) {
        const T coefficient = g.coefficient<T>(i, j, square);
        load(v, from + j * g.c, kWhole<kWidth>);
#pragma unroll
        for (int k = 0; k < kWidth; ++k) sum[k] += coefficient * v[k];
      }
    }
    put(x, e * kWidth, sum, kWhole<kWidth>);
  }
};

template <class T>
void window_sum(void* stream, const kernels::WindowSum::Args& a) {
  const Context& ctx = context_of(stream);
  const Sink<T> y{ctx, a.y};
  for_packs<SumBody, T>(ctx, a.g.n * a.g.y_image(), a.g.c, aligned(a.x.as<T>()) && aligned(y.data),
                        a.g, a.x.as<T>(), y);
}

template <class T>
void window_spread(void* stream, const kernels::WindowSpread::Args& a) {
  const Context& ctx = context_of(stream);
  const Sink<T> x{ctx, a.x};
  for_packs<SpreadBody, T>(ctx, a.g.n * a.g.x_image(), a.g.c,
                           aligned(a.y.as<T>()) && aligned(x.data), a.g, a.square, a.y.as<T>(), x);
}

template <class T>
void register_for(KernelTable& table, DType dtype) {
  table.add<kernels::WindowSum>(dtype, &window_sum<T>);
  table.add<kernels::WindowSpread>(dtype, &window_spread<T>);
}

}  // namespace

void register_pooling(KernelTable& table) {
  register_for<float>(table, DType::f32);
  register_for<double>(table, DType::f64);
}

}  // namespace hesscore::cuda
