// Sums and means over windows of images, and their transposes: every element gathers what it needs,
// in a fixed order.
#include "cpu/isa/windows.hpp"

namespace hesscore::cpu::HC_ISA {
namespace {

// Windows that neither overlap nor reach over the start: every input is in at most one.
bool is_apart(const math::WindowAxis& a) {
  return a.kind == math::Windows::strided && a.kernel == a.stride && a.pad == 0 && a.dilation == 1;
}

// Rows are added up in full vectors, then columns, in full vectors again, each of which overwrites
// what the one before it left beyond its channels.
template <class T>
void sum_apart(const kernels::WindowSum::Args& a) {
  const math::WindowGeometry& g = a.g;
  const Range* columns = all_ranges(g.w, true);
  const std::int64_t length = g.w.in * g.c, numbers = length + g.w.out * g.c + 2 * kLanes<T>;
  for_rows(g.n * g.h.out, g.h.stride * length, [&](std::int64_t row) {
    const std::int64_t o = row % g.h.out;
    const Range rows = inputs_of(g.h, o);
    const T* x = a.x.as<T>() + row / g.h.out * g.x_image();
    T* line = static_cast<T*>(scratch(15, numbers * std::int64_t{sizeof(T)}));
    T* sums = line + length + kLanes<T>;
    for_channels<T>(length, [&](std::int64_t k, auto lanes) {
      Vec<T> sum{};
      for (std::int64_t i = rows.begin; i < rows.end; ++i) {
        sum += load_lanes(x + i * length + k, lanes);
      }
      store(line + k, sum);
    });
    Coefficients<T> coefficients(g, false);
    for (std::int64_t p = 0; p < g.w.out; ++p) {
      const T coefficient = coefficients.at(o, p);
      for (std::int64_t c = 0; c < g.c; c += kLanes<T>) {
        Vec<T> sum{};
        for (std::int64_t j = columns[p].begin; j < columns[p].end; ++j) {
          sum += load(line + j * g.c + c);
        }
        store(sums + p * g.c + c, sum * coefficient);
      }
    }
    store(a.y.as<T>() + row * g.w.out * g.c, g.w.out * g.c, a.y.accumulate,
          [&](std::int64_t k) { return sums[k]; });
  });
}

template <class T>
void window_sum(void*, const kernels::WindowSum::Args& a) {
  const math::WindowGeometry& g = a.g;
  if (is_apart(g.h) && is_apart(g.w)) return sum_apart<T>(a);
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

// Row o of the outputs, spread over a line of inputs: full vectors, each of which overwrites what
// the one before it left beyond its channels.
template <class T>
void spread_line(const math::WindowGeometry& g, const Range* columns, const T* y, std::int64_t o,
                 Coefficients<T>& coefficients, T* line) {
  std::int64_t end = 0;
  for (std::int64_t p = 0; p < g.w.out; ++p, y += g.c) {
    const T coefficient = coefficients.at(o, p);
    end = columns[p].end;
    for (std::int64_t j = columns[p].begin; j < end; ++j) {
      for_channels<T>(g.c, [&](std::int64_t c, auto lanes) {
        store(line + j * g.c + c, load_lanes(y + c, lanes) * coefficient);
      });
    }
  }
  store(line + end * g.c, (g.w.in - end) * g.c, false, [](std::int64_t) { return T(0); });
}

// By rows of outputs; rows of inputs after the last window belong to the last one.
template <class T>
void spread_apart(const kernels::WindowSpread::Args& a) {
  const math::WindowGeometry& g = a.g;
  const Range* columns = all_ranges(g.w, true);
  const std::int64_t length = g.w.in * g.c;
  for_rows(g.n * g.h.out, g.h.stride * length, [&](std::int64_t row) {
    const std::int64_t image = row / g.h.out, o = row % g.h.out;
    const Range rows = inputs_of(g.h, o);
    T* line = static_cast<T*>(scratch(15, (length + kLanes<T>)*std::int64_t{sizeof(T)}));
    Coefficients<T> coefficients(g, a.square);
    spread_line(g, columns, a.y.as<T>() + row * g.w.out * g.c, o, coefficients, line);
    T* x = a.x.as<T>() + image * g.x_image();
    for (std::int64_t i = rows.begin; i < rows.end; ++i) {
      store(x + i * length, length, a.x.accumulate, [&](std::int64_t k) { return line[k]; });
    }
    if (o + 1 < g.h.out) return;
    store(x + rows.end * length, (g.h.in - rows.end) * length, a.x.accumulate,
          [](std::int64_t) { return T(0); });
  });
}

template <class T>
void window_spread(void*, const kernels::WindowSpread::Args& a) {
  const math::WindowGeometry& g = a.g;
  if (is_apart(g.h) && is_apart(g.w) && g.h.out > 0) return spread_apart<T>(a);
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
