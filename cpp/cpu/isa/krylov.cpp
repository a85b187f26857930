// Krylov methods: inner products into states, and vectors combined by numbers out of them.
#include "backend/keys/krylov.hpp"

#include "cpu/isa/reduce.hpp"

namespace hesscore::cpu::HC_ISA {
namespace {

constexpr int kTogether = 4;           // terms that are added at once
constexpr std::int64_t kPiece = 4096;  // elements of y that stay in the cache while terms go by

// to[t] += sum_i x[t, i] y_i for kTerms terms, with y in float64 already. Terms side by side are as
// many streams from memory.
template <int kTerms, class T>
void add_dots(const T* x, std::int64_t term_x, const double* y, std::int64_t n, double* to) {
  constexpr int kLanes = 16;
  double lanes[kTerms][kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int t = 0; t < kTerms; ++t) {
      const T* const from = x + t * term_x + i;
      for (int k = 0; k < kLanes; ++k) lanes[t][k] += static_cast<double>(from[k]) * y[i + k];
    }
  }
  for (int t = 0; t < kTerms; ++t) {
    double sum = 0;
    for (std::int64_t k = i; k < n; ++k) sum += static_cast<double>(x[t * term_x + k]) * y[k];
    for (const double lane : lanes[t]) sum += lane;
    to[t] += sum;
  }
}

// A piece of y stays in the cache, in float64, while the terms go by.
template <class T>
void dots_of_chunk(const T* x, std::int64_t term_x, const T* y, std::int64_t terms, std::int64_t n,
                   double* to) {
  if (terms == 1) {
    to[0] = dot<double>(x, y, n);
    return;
  }
  for (std::int64_t t = 0; t < terms; ++t) to[t] = 0;
  double piece[kPiece];
  for (std::int64_t i = 0; i < n; i += kPiece) {
    const std::int64_t length = n - i < kPiece ? n - i : kPiece;
    for (std::int64_t k = 0; k < length; ++k) piece[k] = static_cast<double>(y[i + k]);
    std::int64_t t = 0;
    for (; t + kTogether <= terms; t += kTogether) {
      add_dots<kTogether>(x + t * term_x + i, term_x, piece, length, to + t);
    }
    for (; t < terms; ++t) add_dots<1>(x + t * term_x + i, term_x, piece, length, to + t);
  }
}

template <class T>
void row_dots(void*, const kernels::RowDots::Args& a) {
  const T *x = a.x.as<T>(), *y = a.y.as<T>();
  const std::int64_t chunks = (a.n + kGrain - 1) / kGrain, pairs = a.rows * a.terms;
  auto* sums = static_cast<double*>(scratch(8, chunks * pairs * std::int64_t{sizeof(double)}));
  parallel_for(chunks * a.rows, [&](std::int64_t task) {
    const std::int64_t r = task % a.rows, chunk = task / a.rows, begin = chunk * kGrain;
    const std::int64_t n = a.n - begin < kGrain ? a.n - begin : kGrain;
    dots_of_chunk(x + r * a.row_x + begin, a.term_x, y + r * a.row_y + begin, a.terms, n,
                  sums + (chunk * a.rows + r) * a.terms);
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

// y = b y + sum of c_t x_t for the t of one group
template <int kTerms, class T>
void add_terms(T* y, std::int64_t n, T b, const T* const (&x)[kTogether], const T (&c)[kTogether]) {
  const auto sum = [&](std::int64_t k) {
    T value = c[0] * x[0][k];
    for (int t = 1; t < kTerms; ++t) value += c[t] * x[t][k];
    return value;
  };
  if (b == 0) {
    store(y, n, false, sum);
  } else if (b == 1) {
    store(y, n, true, sum);
  } else {
    store(y, n, false, [&](std::int64_t k) { return b * y[k] + sum(k); });
  }
}

template <class T>
void combine_block(const kernels::Combine::Args& a, std::int64_t r, std::int64_t i,
                   std::int64_t n) {
  const double* const c = a.c.as<double>() + r * a.row_c;
  const T* const x = a.x.as<T>() + r * a.row_x + i;
  T* const y = a.y.as<T>() + r * a.row_y + i;
  T b = a.y.accumulate ? T(1) : T(0);
  if (a.b) b = static_cast<T>(a.b.as<double>()[r * a.row_b]);
  const T* terms[kTogether];
  T factors[kTogether];
  int count = 0;
  for (std::int64_t t = 0; t < a.terms; ++t) {
    const T factor = static_cast<T>(a.sign * c[t]);
    if (factor == 0) continue;
    terms[count] = x + t * a.term_x;
    factors[count++] = factor;
    if (count < kTogether) continue;
    add_terms<kTogether>(y, n, b, terms, factors);
    count = 0;
    b = 1;
  }
  if (count == 1) add_terms<1>(y, n, b, terms, factors);
  if (count == 2) add_terms<2>(y, n, b, terms, factors);
  if (count == 3) add_terms<3>(y, n, b, terms, factors);
  if (count > 0) return;
  if (b == 0) {
    store(y, n, false, [](std::int64_t) { return T(0); });
  } else if (b != 1) {
    store(y, n, false, [&](std::int64_t k) { return b * y[k]; });
  }
}

// With many terms their rows are read in longer pieces than a block: each begins a page elsewhere.
template <class T>
void combine(void*, const kernels::Combine::Args& a) {
  const std::int64_t size = a.terms > kTogether ? kPiece : kGrain / a.rows + 1;
  const std::int64_t block = a.terms > kTogether ? kPiece : kBlock;
  parallel_chunks(a.n, (size + block - 1) / block * block, [&](std::int64_t i, std::int64_t end) {
    for (; i < end; i += block) {
      const std::int64_t n = end - i < block ? end - i : block;
      for (std::int64_t r = 0; r < a.rows; ++r) combine_block<T>(a, r, i, n);
    }
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
