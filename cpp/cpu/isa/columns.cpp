// Columns of Jacobians and what is read off along them.
#include "cpu/isa/elementwise.hpp"
#include "cpu/isa/reduce.hpp"

namespace hesscore::cpu::HC_ISA {
namespace {

template <class T>
void advance_counter(void*, const kernels::AdvanceCounter::Args& a) {
  auto* counter = a.counter.as<std::int64_t>();
  *counter = a.restart ? 0 : *counter + a.by;
}

// body(r, first row, end) for every rep, in blocks of rows of `width` numbers
template <class F>
void for_rows(std::int64_t reps, std::int64_t rows, std::int64_t width, F body) {
  const std::int64_t block = kGrain / (width < 1 ? 1 : width) + 1,
                     blocks = (rows + block - 1) / block;
  parallel_for(reps * blocks, [&](std::int64_t task) {
    const std::int64_t begin = task % blocks * block, end = begin + block;
    body(task / blocks, begin, end < rows ? end : rows);
  });
}

template <class T>
void weight_tangents(void*, const kernels::WeightTangents::Args& a) {
  const math::WeightColumns& c = a.columns;
  const std::int64_t first = *a.first.as<std::int64_t>(), rows = c.rows(), units = c.units();
  const T* x = a.x.as<T>();
  for_rows(a.reps, rows, units, [&](std::int64_t r, std::int64_t row, std::int64_t end) {
    T* y = a.y.as<T>() + (r * rows + row) * units;
    if (!a.y.accumulate) store(y, (end - row) * units, false, [](std::int64_t) { return T(0); });
    if (first + r >= c.count()) return;
    const auto column = c.column(first + r);
    for (y += column.unit; row < end; ++row, y += units) {
      if (c.constant) {
        *y += T(1);
      } else if (const std::int64_t from = c.source(row, column); from >= 0) {
        *y += x[from * c.factors() + column.factor];
      }
    }
  });
}

template <class T>
void weight_adjoints(void*, const kernels::WeightAdjoints::Args& a) {
  const math::WeightColumns& c = a.columns;
  const std::int64_t first = *a.first.as<std::int64_t>(), rows = c.rows(), units = c.units();
  const T* x = a.x.as<T>();
  parallel_for(a.reps, [&](std::int64_t r) {
    if (first + r >= c.count()) return;
    const auto column = c.column(first + r);
    const T* y = a.y.as<T>() + r * rows * units + column.unit;
    double sum = 0;
    for (std::int64_t row = 0; row < rows; ++row, y += units) {
      if (c.constant) {
        sum += static_cast<double>(*y);
      } else if (const std::int64_t from = c.source(row, column); from >= 0) {
        sum += static_cast<double>(*y) * static_cast<double>(x[from * c.factors() + column.factor]);
      }
    }
    store(a.w.as<T>() + first + r, 1, a.w.accumulate, [&](int) { return static_cast<T>(sum); });
  });
}

template <class T>
void spread_rows(void*, const kernels::SpreadRows::Args& a) {
  const std::int64_t first = *a.first.as<std::int64_t>();
  for_rows(a.reps, a.rows, a.width, [&](std::int64_t r, std::int64_t row, std::int64_t end) {
    const std::int64_t k = first + r;
    T* y = a.y.as<T>() + (r * a.rows + row) * a.width;
    if (!a.m || k >= a.count) {
      if (!a.y.accumulate)
        store(y, (end - row) * a.width, false, [](std::int64_t) { return T(0); });
      if (k >= a.count) return;
      for (y += k; row < end; ++row, y += a.width) *y += T(1);
      return;
    }
    const T* from = a.m.as<T>() + k * a.width;
    for (; row < end; ++row, y += a.width) {
      store(y, a.width, a.y.accumulate, [&](std::int64_t j) { return from[j]; });
    }
  });
}

template <class T>
void pick_rows(void*, const kernels::PickRows::Args& a) {
  const std::int64_t first = *a.first.as<std::int64_t>();
  for_rows(a.reps, a.rows, a.width, [&](std::int64_t r, std::int64_t row, std::int64_t end) {
    const std::int64_t k = first + r;
    if (k >= a.count) return;
    const T* m = a.m ? a.m.as<T>() + k * a.width : nullptr;
    const T* y = a.y.as<T>() + (r * a.rows + row) * a.width;
    T* d = a.d.as<T>() + row * a.count + k;
    for (; row < end; ++row, y += a.width, d += a.count) {
      const T value = m == nullptr ? y[k] : dot<T>(m, y, a.width);
      *d = a.d.accumulate ? *d + value : value;
    }
  });
}

}  // namespace

void register_columns(KernelTable& table) {
  HC_ADD(table, AdvanceCounter, advance_counter);
  HC_ADD(table, WeightTangents, weight_tangents);
  HC_ADD(table, WeightAdjoints, weight_adjoints);
  HC_ADD(table, SpreadRows, spread_rows);
  HC_ADD(table, PickRows, pick_rows);
}

}  // namespace hesscore::cpu::HC_ISA
