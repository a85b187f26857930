// Krylov methods: inner products into states, and vectors combined by numbers out of them.
#include "backend/keys/krylov.hpp"

#include "cpu/isa/reduce.hpp"

namespace hesscore::cpu::HC_ISA {
namespace {

// A chunk of y stays in the cache while the rows of x go by.
template <class T>
void row_dots(void*, const kernels::RowDots::Args& a) {
  const T *x = a.x.as<T>(), *y = a.y.as<T>();
  const std::int64_t chunks = (a.n + kGrain - 1) / kGrain, pairs = a.rows * a.terms;
  auto* sums = static_cast<double*>(scratch(8, chunks * pairs * std::int64_t{sizeof(double)}));
  parallel_for(chunks * a.rows, [&](std::int64_t task) {
    const std::int64_t r = task % a.rows, chunk = task / a.rows, begin = chunk * kGrain;
    const std::int64_t n = a.n - begin < kGrain ? a.n - begin : kGrain;
    double* const to = sums + (chunk * a.rows + r) * a.terms;
    for (std::int64_t t = 0; t < a.terms; ++t) {
      to[t] = dot<double>(x + r * a.row_x + t * a.term_x + begin, y + r * a.row_y + begin, n);
    }
  });
  for (std::int64_t r = 0; r < a.rows; ++r) {
    for (std::int64_t t = 0; t < a.terms; ++t) {
      double& to = a.result.as<double>()[r * a.row_result + t];
      double sum = a.result.accumulate ? to : 0;
      for (std::int64_t c = 0; c < chunks; ++c) sum += sums[(c * a.rows + r) * a.terms + t];
      to = sum;
    }
  }
}

template <class T>
void combine_block(const kernels::Combine::Args& a, std::int64_t r, std::int64_t i,
                   std::int64_t n) {
  const double* const c = a.c.as<double>() + r * a.row_c;
  const T* x = a.x.as<T>() + r * a.row_x + i;
  T* const y = a.y.as<T>() + r * a.row_y + i;
  T b = a.y.accumulate ? T(1) : T(0);
  if (a.b) b = static_cast<T>(a.b.as<double>()[r * a.row_b]);
  for (std::int64_t t = 0; t < a.terms; ++t, x += a.term_x) {
    const T factor = static_cast<T>(a.sign * c[t]);
    if (factor == 0) continue;
    if (b == 0) {
      store(y, n, false, [&](std::int64_t k) { return factor * x[k]; });
    } else if (b == 1) {
      store(y, n, true, [&](std::int64_t k) { return factor * x[k]; });
    } else {
      store(y, n, false, [&](std::int64_t k) { return b * y[k] + factor * x[k]; });
    }
    b = 1;
  }
  if (b == 0) {
    store(y, n, false, [](std::int64_t) { return T(0); });
  } else if (b != 1) {
    store(y, n, false, [&](std::int64_t k) { return b * y[k]; });
  }
}

template <class T>
void combine(void*, const kernels::Combine::Args& a) {
  for_blocks(a.n, a.rows * a.terms + 1, [&](std::int64_t i, std::int64_t n) {
    for (std::int64_t r = 0; r < a.rows; ++r) combine_block<T>(a, r, i, n);
  });
}

template <class T>
void krylov_step(void*, const kernels::KrylovStep::Args& a) {
  for (std::int64_t r = 0; r < a.rows; ++r) math::take_step(a.phase, a.states.ptr, r);
}

}  // namespace

void register_krylov(KernelTable& table) {
  HC_ADD(table, RowDots, row_dots);
  HC_ADD(table, Combine, combine);
  HC_ADD(table, KrylovStep, krylov_step);
}

}  // namespace hesscore::cpu::HC_ISA
