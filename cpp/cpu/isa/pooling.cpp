// Sums and means over windows of images, and their transposes: every element gathers what it needs,
// in a fixed order.
#include "cpu/isa/windows.hpp"

namespace hesscore::cpu::HC_ISA {
namespace {

template <class T>
void window_sum(void*, const kernels::WindowSum::Args& a) {
  const math::WindowGeometry& g = a.g;
  const Range* columns = all_ranges(g.w, true);
  const std::int64_t work = (g.w.out + g.x_image() / (g.h.out * g.c)) * g.c;
  for_rows(g.n * g.h.out, work, [&](std::int64_t row) {
    const std::int64_t o = row % g.h.out;
    const Range rows = inputs_of(g.h, o);
    const T* x = a.x.as<T>() + row / g.h.out * g.x_image();
    T* y = a.y.as<T>() + row * g.w.out * g.c;
    Coefficients<T> coefficients(g, false);
    for (std::int64_t p = 0; p < g.w.out; ++p, y += g.c) {
      const T coefficient = coefficients.at(o, p);
      for_channels<T>(g.c, [&](std::int64_t c, auto lanes) {
        Vec<T> sum{};
        for (std::int64_t i = rows.begin; i < rows.end; ++i) {
          const T* from = x + (i * g.w.in + columns[p].begin) * g.c + c;
          for (std::int64_t j = columns[p].begin; j < columns[p].end; ++j, from += g.c) {
            sum += load_lanes(from, lanes);
          }
        }
        put(y + c, sum * coefficient, a.y.accumulate, lanes);
      });
    }
  });
}

template <class T>
void window_spread(void*, const kernels::WindowSpread::Args& a) {
  const math::WindowGeometry& g = a.g;
  const Range* columns = all_ranges(g.w, false);
  const std::int64_t work = (g.w.in + g.y_image() / (g.h.in * g.c)) * g.c;
  for_rows(g.n * g.h.in, work, [&](std::int64_t row) {
    const Range rows = outputs_of(g.h, row % g.h.in);
    const T* y = a.y.as<T>() + row / g.h.in * g.y_image();
    T* x = a.x.as<T>() + row * g.w.in * g.c;
    Coefficients<T> coefficients(g, a.square);
    for (std::int64_t j = 0; j < g.w.in; ++j, x += g.c) {
      for_channels<T>(g.c, [&](std::int64_t c, auto lanes) {
        Vec<T> sum{};
        for (std::int64_t o = rows.begin; o < rows.end; ++o) {
          const T* from = y + (o * g.w.out + columns[j].begin) * g.c + c;
          for (std::int64_t p = columns[j].begin; p < columns[j].end; ++p, from += g.c) {
            sum += load_lanes(from, lanes) * coefficients.at(o, p);
          }
        }
        put(x + c, sum, a.x.accumulate, lanes);
      });
    }
  });
}

}  // namespace

void register_pooling(KernelTable& table) {
  HC_ADD(table, WindowSum, window_sum);
  HC_ADD(table, WindowSpread, window_spread);
}

}  // namespace hesscore::cpu::HC_ISA
