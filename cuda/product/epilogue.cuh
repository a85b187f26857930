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

// A tile in shared memory, `width` numbers in a row, each row `stride` apart; c2's `second` numbers
// further. c has `rows` and `columns` from here on, and their bias.
template <class T>
struct Finished {
  T* at;
  int stride, second, width, rows, columns;
  const T* bias;
};

// Where the tile's rows and columns are in c: row after row.
struct InRows {
  std::int64_t corner;
  int lead;

  __device__ __forceinline__ std::int64_t column(int j) const { return corner + j; }
  __device__ __forceinline__ std::int64_t row(int i) const { return std::int64_t{i} * lead; }
};

// Not inlined: none of the accumulators is alive here, and the activations are compiled once.
template <bool kDual, class T, class Where>
__device__ __noinline__ void finish(const Problem<T>& p, Finished<T> tile, Where where) {
  const int column = static_cast<int>(threadIdx.x) % tile.width;
  const int first = static_cast<int>(threadIdx.x) / tile.width;
  const int step = static_cast<int>(blockDim.x) / tile.width;
  if (column >= tile.columns) return;
  const std::int64_t start = where.column(column);
  const T bias = tile.bias ? tile.bias[column] : T(0);
  T* mine = tile.at + column;
  for (int r = first; r < tile.rows; r += step) {
    T& v = mine[r * tile.stride];
    v = p.c.put(start + where.row(r), p.scale * v + bias);
    if constexpr (kDual) {
      T& v2 = mine[r * tile.stride + tile.second];
      v2 = p.c2.put(start + where.row(r), v2);
    }
  }
  if (p.then.kind == kernels::Epilogue::none) return;
  with_rule(p.then.act, [&](auto rule) {
    for (int r = first; r < tile.rows; r += step) {
      const T* v = mine + r * tile.stride;
      put_activated<decltype(rule)>(p.then, start + where.row(r), *v,
                                    kDual ? v[tile.second] : T(0));
    }
  });
}

}  // namespace hesscore::cuda
