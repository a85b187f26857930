// A product as its kernel sees it, and the kernels there are.
#pragma once

#include "backend/kernels.hpp"
#include "launch.cuh"
#include "product/choose.hpp"

namespace hesscore::cuda {

// What is done with a finished c, or with c and c2.
template <class T>
struct Then {
  kernels::Epilogue::Kind kind = kernels::Epilogue::none;
  std::int32_t act = 0;
  T alpha = 0;
  const T* x = nullptr;
  Sink<T> y, y2;

  Then() = default;
  Then(const Context& ctx, const kernels::Epilogue& e)
      : kind(e.kind),
        act(e.act.id),
        alpha(static_cast<T>(e.act.alpha)),
        x(e.x.as<T>()),
        y(ctx, e.y),
        y2(ctx, e.y2) {}
};

// c (m, n) (+)= scale * op(a) op(b) + bias, for `batch` of them. Dual: c2 with a2 and b * b, too.
// Grouped: the sum over segments of their squared products.
template <class T>
struct Problem {
  const T *a = nullptr, *a2 = nullptr, *b = nullptr, *bias = nullptr;
  Sink<T> c, c2, sum, sum2;
  std::int64_t stride_a = 0, stride_b = 0, stride_bias = 0, stride_c = 0, stride_sum = 0;
  std::int64_t lead_a = 0, lead_b = 0;  // from one to the next of the index not contiguous
  int m = 0, n = 0, batch = 1;
  // k in segments of `length`, `steps` in all (the last may be shorter); op(b) has `steps_b`, which
  // are read over and over.
  int length = 0, steps = 0, steps_b = 0;
  T scale = 1;
  bool trans_a = false, trans_b = false, square_a = false, square_b = false;
  bool wide_a = false, wide_b = false;  // may be copied 16 bytes at a time
  Then<T> then;
  // Split over blocks along k: the partial results, and a ticket for each tile.
  int splits = 1, chunks_per_split = 0;
  T* partials = nullptr;
  unsigned* tickets = nullptr;

  __host__ __device__ int segments() const { return (steps + length - 1) / length; }
};

// Tf32, Tf32x3 or Simt<double> (policy.cuh). Each is compiled in a file of its own.
template <class Policy, class T>
void run_single(const Context& ctx, const Problem<T>& p);
template <class Policy, class T>
void run_dual(const Context& ctx, const Problem<T>& p);
template <class Policy, class T>
void run_grouped(const Context& ctx, const Problem<T>& p);

}  // namespace hesscore::cuda
