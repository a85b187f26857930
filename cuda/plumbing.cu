// Fill, copy, multiply, and the gathering of rows.
#include "backend/kernels.hpp"
#include "packs.cuh"
#include "register.hpp"

namespace hesscore::cuda {

namespace {

template <class T>
struct Constant {
  T value;
  __device__ void operator()(const T (&)[1], T (&y)[1]) const { y[0] = value; }
};

template <class T>
struct Scaled {
  T scale;
  __device__ void operator()(const T (&x)[1], T (&y)[1]) const { y[0] = scale * x[0]; }
};

template <class T>
struct Times {
  bool square_first, square_second;
  __device__ void operator()(const T (&x)[2], T (&y)[1]) const {
    const T product = x[0] * x[1];
    y[0] = square_first ? product * x[0] : (square_second ? product * x[1] : product);
  }
};

template <class T>
void fill(void* stream, const kernels::Fill::Args& a) {
  const Context& ctx = context_of(stream);
  map(ctx, Arrays<T, 0, 1, 1>{a.n, 1, {nullptr}, {}, {{ctx, a.y}}, 0},
      Constant<T>{static_cast<T>(a.value)});
}

template <class T>
void copy(void* stream, const kernels::Copy::Args& a) {
  const Context& ctx = context_of(stream);
  const bool dense = a.stride_x == a.inner && a.stride_y == a.inner;
  map(ctx,
      Arrays<T, 0, 1, 1>{dense ? a.outer * a.inner : a.inner,
                         dense ? 1 : a.outer,
                         {a.x.as<T>()},
                         {a.stride_x},
                         {{ctx, a.y}},
                         a.stride_y},
      Scaled<T>{static_cast<T>(a.scale)});
}

// The factor without reps, if there is one, comes first and is read once.
template <class T>
void multiply(void* stream, const kernels::Multiply::Args& a) {
  const Context& ctx = context_of(stream);
  const T *p = a.a.as<T>(), *q = a.b.as<T>();
  if (a.reps == 1 || (a.rep_a && a.rep_b)) {
    const Arrays<T, 0, 2, 1> all{a.n * a.reps, 1, {p, q}, {}, {{ctx, a.y}}, 0};
    return map(ctx, all, Times<T>{false, a.square_b});
  }
  Arrays<T, 1, 2, 1> arrays{a.n, a.reps, {p, q}, {0, a.rep_b ? a.n : 0}, {{ctx, a.y}}, a.n};
  if (a.rep_a) {
    arrays.in[0] = q, arrays.in[1] = p;
    arrays.in_step[1] = a.n;
  }
  map(ctx, arrays, Times<T>{a.rep_a && a.square_b, !a.rep_a && a.square_b});
}

// Rows of `units` Units each.
template <class Unit>
__global__ void __launch_bounds__(Sheet::kThreads)
    gather_kernel(const Unit* __restrict__ x, const std::int64_t* __restrict__ index,
                  const math::StepRecord* __restrict__ record, Unit* __restrict__ y,
                  std::int64_t rows, std::int64_t units, Sheet sheet) {
  const Part part = part_of(sheet, rows);
  const std::int64_t i = part.column;
  if (i >= units) return;
  index += record->first_row;
#pragma unroll 4
  for (std::int64_t r = part.first; r < part.end; r += part.step) {
    y[r * units + i] = x[index[r] * units + i];
  }
}

template <class Unit>
void gather_units(const Context& ctx, const kernels::Gather::Args& a) {
  const std::int64_t units = a.bytes / std::int64_t{sizeof(Unit)};
  if (units == 0 || a.rows == 0) return;
  const Sheet sheet = share(ctx, units, a.rows);
  launch(ctx, &gather_kernel<Unit>, sheet.tiles * sheet.slices, Sheet::kThreads, 0, a.x.as<Unit>(),
         a.index.as<std::int64_t>(), a.record.as<math::StepRecord>(), a.y.as<Unit>(), a.rows, units,
         sheet);
}

void gather(void* stream, const kernels::Gather::Args& a) {
  const Context& ctx = context_of(stream);
  const auto at = reinterpret_cast<std::uintptr_t>(a.x.ptr) |
                  reinterpret_cast<std::uintptr_t>(a.y.ptr) | static_cast<std::uintptr_t>(a.bytes);
  if (at % 16 == 0) return gather_units<Pack<std::uint32_t, 4>>(ctx, a);
  if (at % 4 == 0) return gather_units<std::uint32_t>(ctx, a);
  gather_units<std::uint8_t>(ctx, a);
}

template <class T>
void register_for(KernelTable& table, DType dtype) {
  table.add<kernels::Fill>(dtype, &fill<T>);
  table.add<kernels::Copy>(dtype, &copy<T>);
  table.add<kernels::Multiply>(dtype, &multiply<T>);
  table.add<kernels::Gather>(dtype, &gather);
}

}  // namespace

void register_plumbing(KernelTable& table) {
  register_for<float>(table, DType::f32);
  register_for<double>(table, DType::f64);
}

}  // namespace hesscore::cuda
