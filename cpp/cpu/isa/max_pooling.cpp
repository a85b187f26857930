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

template <class T, class Lanes>
HC_INLINE Positions<T> load_positions(const std::int32_t* p, Lanes lanes) {
  Positions<T> x{};
  for (int k = 0; k < lanes; ++k) x[k] = p[k];
  return x;
}

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
      for_channels<T>(g.c, [&](std::int64_t c, auto lanes) {
        Vec<T> best = splat(-static_cast<T>(INFINITY));
        Positions<T> at = Positions<T>{} - 1;
        for (std::int64_t i = rows.begin; i < rows.end; i += g.h.step()) {
          for (std::int64_t j = columns[p].begin; j < columns[p].end; j += g.w.step()) {
            const auto here = static_cast<std::int32_t>(i * g.w.in + j);
            const Vec<T> v = load_lanes(x + here * g.c + c, lanes);
            const auto wins = (v > best) | (v != v) | (at < 0);
            best = wins ? v : best;
            at = wins ? Positions<T>{} + here : at;
          }
        }
        put(y + c, best, a.y.accumulate, lanes);
        for (int k = 0; k < lanes; ++k) index[c + k] = static_cast<std::int32_t>(at[k]);
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
