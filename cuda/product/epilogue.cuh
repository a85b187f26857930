// What happens to a finished tile: bias, accumulation, the alarm, and the activation.
#pragma once

#include "math/activations.hpp"
#include "product/problem.hpp"

namespace hesscore::cuda {

// math::dispatch() on the device
template <class F>
__device__ __forceinline__ void with_rule(std::int32_t act, const F& f) {
  switch (static_cast<math::Act>(act)) {
#define X(Type, name)   \
  case math::Act::name: \
    return f(math::Type{});
    HC_ACTIVATIONS(X)
#undef X
  }
}

// Element i, whose products are v and v2.
template <class Rule, class T>
__device__ __forceinline__ void put_activated(const Then<T>& then, std::int64_t i, T v, T v2) {
  using kernels::Epilogue;
  const math::Jet<T> jet = Rule::at(then.kind == Epilogue::value ? v : then.x[i], then.alpha);
  if (then.kind == Epilogue::value) {
    then.y.put(i, jet.f);
  } else if (then.kind == Epilogue::slope) {
    then.y.put(i, jet.d * v);
  } else {
    const T flat = jet.d * jet.d * v2;
    if (then.y) then.y.put(i, jet.d * v);
    then.y2.put(i, then.kind == Epilogue::diagonal ? flat + jet.dd * v : flat);
  }
}

// A tile in shared memory, each row `stride` apart; c2's `second` numbers further.
template <class T>
struct Finished {
  T* at;
  int stride, second, rows, columns;
  int row, column;  // of its first element in c
  int item;         // of the batch
};

// Not inlined: none of the accumulators is alive here, and the activations are compiled once.
template <bool kDual, class T>
__device__ __noinline__ void finish(const Problem<T>& p, Finished<T> tile) {
  const int column = static_cast<int>(threadIdx.x) % tile.columns;
  const int first = static_cast<int>(threadIdx.x) / tile.columns;
  const int step = static_cast<int>(blockDim.x) / tile.columns;
  const int rows = min(tile.rows, p.m - tile.row);
  if (tile.column + column >= p.n) return;
  const std::int64_t corner =
      tile.item * p.stride_c + std::int64_t{tile.row} * p.n + tile.column + column;
  const T bias = p.bias ? p.bias[tile.item * p.stride_bias + tile.column + column] : T(0);
  T* mine = tile.at + column;
  for (int r = first; r < rows; r += step) {
    T& v = mine[r * tile.stride];
    v = p.c.put(corner + std::int64_t{r} * p.n, p.scale * v + bias);
    if constexpr (kDual) {
      T& v2 = mine[r * tile.stride + tile.second];
      v2 = p.c2.put(corner + std::int64_t{r} * p.n, v2);
    }
  }
  if (p.then.kind == kernels::Epilogue::none) return;
  with_rule(p.then.act, [&](auto rule) {
    for (int r = first; r < rows; r += step) {
      const T* v = mine + r * tile.stride;
      put_activated<decltype(rule)>(p.then, corner + std::int64_t{r} * p.n, *v,
                                    kDual ? v[tile.second] : T(0));
    }
  });
}

}  // namespace hesscore::cuda
