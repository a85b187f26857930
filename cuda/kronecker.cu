// Patches as rows, and symmetric matrices made whole.
#include "backend/kernels.hpp"
#include "launch.cuh"
#include "register.hpp"

namespace hesscore::cuda {

namespace {

// A thread for each number of a patch: neighbours read and write channels side by side.
template <class T>
struct Patches {
  math::ConvGeometry g;
  const T* x;
  Sink<T> y;
  std::int64_t group;
  bool transposed;

  __device__ void operator()(std::int64_t e) const {
    const std::int64_t width = transposed ? g.group_o() : g.group_c();
    const std::int64_t rows = transposed ? g.h : g.oh, columns = transposed ? g.w : g.ow;
    const std::int64_t q = e % width, tap = e / width % g.taps(), pixel = e / (width * g.taps());
    const std::int64_t j = pixel % columns, line = pixel / columns, i = line % rows;
    const std::int64_t a = tap / g.kw, b = tap % g.kw;
    const std::int64_t r = transposed ? g.row_reading(i, a) : g.row(i, a);
    const std::int64_t c = transposed ? g.column_reading(j, b) : g.column(j, b);
    const std::int64_t h = transposed ? g.oh : g.h, w = transposed ? g.ow : g.w;
    T value = 0;
    if (r >= 0 && r < h && c >= 0 && c < w) {
      value = x[((line / rows * h + r) * w + c) * (transposed ? g.o : g.c) + group * width + q];
    }
    y.put(e, value);
  }
};

template <class T>
void unfold(void* stream, const kernels::Unfold::Args& a) {
  const Context& ctx = context_of(stream);
  const math::ConvGeometry& g = a.g;
  const std::int64_t pixels = a.transposed ? g.h * g.w : g.oh * g.ow;
  const std::int64_t width = a.transposed ? g.group_o() : g.group_c();
  for_each(ctx, g.n * pixels * g.taps() * width,
           Patches<T>{g, a.x.as<T>(), {ctx, a.y}, a.group, a.transposed});
}

template <class T>
struct Whole {
  const T *x, *sum;
  Sink<T> y;
  std::int64_t n, taps, stride;
  double scale, corner;

  __device__ std::int64_t source(std::int64_t i) const { return i % taps * (n / taps) + i / taps; }
  __device__ void operator()(std::int64_t e) const {
    const std::int64_t i = e / stride, j = e % stride;
    if (i == n && j == n) {
      y.put(e, static_cast<T>(corner));
    } else if (i == n || j == n) {
      y.put(e, static_cast<T>(scale * static_cast<double>(sum[source(i == n ? j : i)])));
    } else {
      const std::int64_t p = source(i), q = source(j);
      y.put(e, static_cast<T>(scale) * (p >= q ? x[p * n + q] : x[q * n + p]));
    }
  }
};

template <class T>
void mirror(void* stream, const kernels::Mirror::Args& a) {
  const Context& ctx = context_of(stream);
  const std::int64_t stride = a.sum ? a.n + 1 : a.n;
  for_each(
      ctx, stride * stride,
      Whole<T>{a.x.as<T>(), a.sum.as<T>(), {ctx, a.y}, a.n, a.taps, stride, a.scale, a.corner});
}

}  // namespace

void register_kronecker(KernelTable& table) {
  table.add<kernels::Unfold>(DType::f32, &unfold<float>);
  table.add<kernels::Unfold>(DType::f64, &unfold<double>);
  table.add<kernels::Mirror>(DType::f32, &mirror<float>);
  table.add<kernels::Mirror>(DType::f64, &mirror<double>);
}

}  // namespace hesscore::cuda
