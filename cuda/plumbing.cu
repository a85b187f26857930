// Fill, copy, multiply and axpby.
#include "backend/kernels.hpp"
#include "launch.cuh"
#include "register.hpp"

namespace hesscore::cuda {

namespace {

template <class T>
struct FillWith {
  Sink<T> y;
  T value;
  __device__ void operator()(std::int64_t i) const { y.put(i, value); }
};

template <class T>
struct CopyRows {
  const T* x;
  Sink<T> y;
  std::int64_t inner, stride_x, stride_y;
  T scale;
  __device__ void operator()(std::int64_t i) const {
    const std::int64_t row = i / inner, k = i % inner;
    y.put(row * stride_y + k, scale * x[row * stride_x + k]);
  }
};

template <class T>
struct Product {
  const T *a, *b;
  Sink<T> y;
  std::int64_t n;
  bool rep_a, rep_b, square_b;
  __device__ void operator()(std::int64_t k) const {
    const T factor = b[rep_b ? k : k % n];
    y.put(k, a[rep_a ? k : k % n] * (square_b ? factor * factor : factor));
  }
};

// b = 0 ignores what y held, be it NaN.
template <class T>
struct Combine {
  const T* x;
  T* y;
  T a, b;
  __device__ void operator()(std::int64_t i) const {
    y[i] = b == T(0) ? a * x[i] : a * x[i] + b * y[i];
  }
};

template <class T>
void fill(void* stream, const kernels::Fill::Args& a) {
  for_each(stream, a.n, FillWith<T>{Sink<T>(a.y), static_cast<T>(a.value)});
}

template <class T>
void copy(void* stream, const kernels::Copy::Args& a) {
  for_each(stream, a.outer * a.inner,
           CopyRows<T>{a.x.as<T>(), Sink<T>(a.y), a.inner, a.stride_x, a.stride_y,
                       static_cast<T>(a.scale)});
}

template <class T>
void multiply(void* stream, const kernels::Multiply::Args& a) {
  for_each(stream, a.n * a.reps,
           Product<T>{a.a.as<T>(), a.b.as<T>(), Sink<T>(a.y), a.n, a.rep_a, a.rep_b, a.square_b});
}

template <class T>
void axpby(void* stream, const kernels::Axpby::Args& a) {
  for_each(stream, a.n,
           Combine<T>{a.x.as<T>(), a.y.as<T>(), static_cast<T>(a.a), static_cast<T>(a.b)});
}

template <class T>
void register_for(KernelTable& table, DType dtype) {
  table.add<kernels::Fill>(dtype, &fill<T>);
  table.add<kernels::Copy>(dtype, &copy<T>);
  table.add<kernels::Multiply>(dtype, &multiply<T>);
  table.add<kernels::Axpby>(dtype, &axpby<T>);
}

}  // namespace

void register_plumbing(KernelTable& table) {
  register_for<float>(table, DType::f32);
  register_for<double>(table, DType::f64);
}

}  // namespace hesscore::cuda
