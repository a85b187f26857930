// Maximum pooling: the choice, and the maps that follow it.
#include <cmath>

#include "cpu/isa/windows.hpp"

namespace hesscore::cpu::HC_ISA {
namespace {

// Lanes of positions beside lanes of T, and the int32 that they are in memory.
template <class T>
struct PositionType;
template <>
struct PositionType<float> {
  typedef std::int32_t Type __attribute__((vector_size(kVectorBytes)));
};
template <>
struct PositionType<double> {
  typedef std::int64_t Type __attribute__((vector_size(kVectorBytes)));
};
template <class T>
using Positions = typename PositionType<T>::Type;

// The int32 of each lane.
template <class T>
struct Indices {
  typedef std::int32_t Type __attribute__((vector_size(4 * kLanes<T>), aligned(4), may_alias));
};

template <class T>
HC_INLINE Positions<T> load_positions(const std::int32_t* p, AllLanes<T>) {
  return __builtin_convertvector(*reinterpret_cast<const typename Indices<T>::Type*>(p),
                                 Positions<T>);
}
template <class T>
HC_INLINE Positions<T> load_positions(const std::int32_t* p, int n) {
  Positions<T> x{};
  for (int k = 0; k < n; ++k) x[k] = p[k];
  return x;
}

template <class T>
HC_INLINE void put_positions(std::int32_t* p, Positions<T> x, AllLanes<T>) {
  using Type = typename Indices<T>::Type;
  *reinterpret_cast<Type*>(p) = __builtin_convertvector(x, Type);
}
template <class T>
HC_INLINE void put_positions(std::int32_t* p, Positions<T> x, int n) {
  for (int k = 0; k < n; ++k) p[k] = static_cast<std::int32_t>(x[k]);
}

// Where v > best, or v is not a number, it becomes the best and `here` its position.
#if defined(__AVX512F__)
HC_INLINE void take_larger(Vec<float>& best, Positions<float>& at, Vec<float> v, int here) {
  const auto wins = static_cast<__mmask16>(_mm512_cmp_ps_mask(v, best, _CMP_GT_OQ) |
                                           _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q));
  best = (Vec<float>)_mm512_mask_mov_ps(best, wins, v);
  at = (Positions<float>)_mm512_mask_set1_epi32((__m512i)at, wins, here);
}
HC_INLINE void take_larger(Vec<double>& best, Positions<double>& at, Vec<double> v, int here) {
  const auto wins = static_cast<__mmask8>(_mm512_cmp_pd_mask(v, best, _CMP_GT_OQ) |
                                          _mm512_cmp_pd_mask(v, v, _CMP_UNORD_Q));
  best = (Vec<double>)_mm512_mask_mov_pd(best, wins, v);
  at = (Positions<double>)_mm512_mask_set1_epi64((__m512i)at, wins, here);
}
#else
template <class V, class P>
HC_INLINE void take_larger(V& best, P& at, V v, int here) {
  const auto wins = (v > best) | (v != v);
  best = wins ? v : best;
  at = wins ? P{} + here : at;
}
#endif

template <class T>
void max_pool(void*, const kernels::MaxPool::Args& a) {
  const math::WindowGeometry& g = a.g;
  const Range* columns = all_ranges(g.w, true);
  const std::int64_t work = (g.w.out + g.x_image() / (g.h.out * g.c)) * g.c;
  for_rows(g.n * g.h.out, work, [&](std::int64_t row) {
    const Range rows = inputs_of(g.h, row % g.h.out);
    const T* x = a.x.as<T>() + row / g.h.out * g.x_image();
    T* y = a.y.as<T>() + row * g.w.out * g.c;
    auto* index = a.index.as<std::int32_t>() + row * g.w.out * g.c;
    for (std::int64_t p = 0; p < g.w.out; ++p, y += g.c, index += g.c) {
      const bool empty = rows.begin >= rows.end || columns[p].begin >= columns[p].end;
      const auto first = empty ? -1 : static_cast<int>(rows.begin * g.w.in + columns[p].begin);
      for_channels<T>(g.c, [&](std::int64_t c, auto lanes) {
        Vec<T> best = splat(-static_cast<T>(INFINITY));
        Positions<T> at = Positions<T>{} + first;
        for (std::int64_t i = rows.begin; i < rows.end; i += g.h.step()) {
          for (std::int64_t j = columns[p].begin; j < columns[p].end; j += g.w.step()) {
            const auto here = static_cast<std::int32_t>(i * g.w.in + j);
            take_larger(best, at, load_lanes(x + here * g.c + c, lanes), here);
          }
        }
        put(y + c, best, a.y.accumulate, lanes);
        put_positions<T>(index + c, at, lanes);
      });
    }
  });
}

template <class T>
void max_pool_tangent(void*, const kernels::MaxPoolTangent::Args& a) {
  const math::WindowGeometry& g = a.g;
  const std::int64_t line = g.w.out * g.c, image = g.h.out;
  for_rows(a.reps * g.n * image, 2 * line, [&](std::int64_t row) {
    const T* x = a.x.as<T>() + row / image * g.x_image();
    T* y = a.y.as<T>() + row * line;
    const auto* index = a.index.as<std::int32_t>() + row % (g.n * image) * line;
    for (std::int64_t p = 0; p < g.w.out; ++p, y += g.c, index += g.c) {
      store(y, g.c, a.y.accumulate,
            [&](std::int64_t c) { return index[c] < 0 ? T(0) : x[index[c] * g.c + c]; });
    }
  });
}

template <class T>
void max_pool_adjoint(void*, const kernels::MaxPoolAdjoint::Args& a) {
  const math::WindowGeometry& g = a.g;
  const Range* columns = all_ranges(g.w, false);
  const std::int64_t work = (g.w.in + 2 * g.y_image() / (g.h.in * g.c)) * g.c;
  for_rows(a.reps * g.n * g.h.in, work, [&](std::int64_t row) {
    const std::int64_t image = row / g.h.in, i = row % g.h.in;
    const Range rows = outputs_of(g.h, i);
    const T* y = a.y.as<T>() + image * g.y_image();
    const auto* index = a.index.as<std::int32_t>() + image % g.n * g.y_image();
    T* x = a.x.as<T>() + row * g.w.in * g.c;
    for (std::int64_t j = 0; j < g.w.in; ++j, x += g.c) {
      const auto here = static_cast<std::int32_t>(i * g.w.in + j);
      for_channels<T>(g.c, [&](std::int64_t c, auto lanes) {
        Vec<T> sum{};
        for (std::int64_t o = rows.begin; o < rows.end; ++o) {
          for (std::int64_t p = columns[j].begin; p < columns[j].end; ++p) {
            const std::int64_t from = (o * g.w.out + p) * g.c + c;
            const auto chosen = load_positions<T>(index + from, lanes) == here;
            sum += chosen ? load_lanes(y + from, lanes) : Vec<T>{};
          }
        }
        put(x + c, sum, a.x.accumulate, lanes);
      });
    }
  });
}

}  // namespace

void register_max_pooling(KernelTable& table) {
  HC_ADD(table, MaxPool, max_pool);
  HC_ADD(table, MaxPoolTangent, max_pool_tangent);
  HC_ADD(table, MaxPoolAdjoint, max_pool_adjoint);
}

}  // namespace hesscore::cpu::HC_ISA
