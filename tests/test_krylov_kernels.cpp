// Inner products into states and combinations by numbers out of them, against naive loops: all
// instruction sets, both dtypes, odd sizes, shared operands, rows that are done.
#include <limits>

#include "backend/keys/krylov.hpp"
#include "kernel_tables.hpp"

using namespace hesscore;
using check::Guarded;
using check::kTolerance;

namespace {

const std::int64_t kSizes[] = {1, 7, 513, 33001};

template <class F>
void for_cases(F body) {
  check::for_tables([&](const KernelTable& table, auto zero) {
    for (const std::int64_t n : kSizes) {
      for (const std::int64_t rows : {1, 3}) {
        for (const std::int64_t terms : {1, 2, 5}) body(table, zero, n, rows, terms);
      }
    }
  });
}

}  // namespace

TEST("row dots of all terms of a row, which may be shared") {
  for_cases([](const KernelTable& table, auto zero, std::int64_t n, std::int64_t rows,
               std::int64_t terms) {
    using T = decltype(zero);
    for (const bool accumulate : {false, true}) {
      for (const bool shared : {false, true}) {
        Guarded<T> x(rows * terms * n, 1), y(rows * n, 2);
        Guarded<double> result(rows * (terms + 2), 3);
        const Guarded<double> before(result);
        check::run<kernels::RowDots, T>(table, {.x = x.in(),
                                                .y = y.in(),
                                                .result = result.out(accumulate),
                                                .n = n,
                                                .rows = rows,
                                                .terms = terms,
                                                .row_x = shared ? 0 : terms * n,
                                                .term_x = n,
                                                .row_y = shared ? 0 : n,
                                                .row_result = terms + 2});
        for (std::int64_t r = 0; r < rows; ++r) {
          for (std::int64_t t = 0; t < terms + 2; ++t) {
            const std::int64_t at = r * (terms + 2) + t;
            double sum = t < terms && !accumulate ? 0 : before[at];
            for (std::int64_t i = 0; t < terms && i < n; ++i) {
              sum += static_cast<double>(x[(shared ? t : r * terms + t) * n + i]) *
                     static_cast<double>(y[(shared ? 0 : r * n) + i]);
            }
            CHECK_CLOSE(result[at], sum, 1e-11);
          }
        }
      }
    }
  });
}

TEST("combinations: every way to treat what was there") {
  for_cases([](const KernelTable& table, auto zero, std::int64_t n, std::int64_t rows,
               std::int64_t terms) {
    using T = decltype(zero);
    for (const int kind : {0, 1, 2}) {  // overwrite, add, multiply
      Guarded<T> x(rows * terms * n, 1), y(rows * n, 2);
      Guarded<double> c(rows * (terms + 1), 3);
      const Guarded<T> before(y);
      check::run<kernels::Combine, T>(table, {.x = x.in(),
                                              .c = c.in(),
                                              .b = kind == 2 ? In(c.data() + terms) : In(),
                                              .y = y.out(kind == 1),
                                              .n = n,
                                              .rows = rows,
                                              .terms = terms,
                                              .row_x = terms * n,
                                              .term_x = n,
                                              .row_y = n,
                                              .row_c = terms + 1,
                                              .row_b = terms + 1,
                                              .sign = -1});
      check::expect("combined", y, before, false, 8 * kTolerance<T>, [&](std::int64_t at) {
        const std::int64_t r = at / n;
        const double b = kind == 2 ? c[r * (terms + 1) + terms] : kind;
        double sum = kind == 0 ? 0 : b * static_cast<double>(before[at]);
        for (std::int64_t t = 0; t < terms; ++t) {
          sum -= c[r * (terms + 1) + t] * static_cast<double>(x[(r * terms + t) * n + at % n]);
        }
        return sum;
      });
    }
  });
}

TEST("what is multiplied by zero is not read") {
  check::for_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    const std::int64_t n = 1037;
    Guarded<T> x(2 * n, 1), y(2 * n, 2);
    Guarded<double> numbers(4, 3);  // (0, 1): as it was; (0, 0): zeros
    numbers[0] = numbers[2] = numbers[3] = 0;
    numbers[1] = 1;
    for (std::int64_t i = 0; i < 2 * n; ++i) x[i] = std::numeric_limits<T>::quiet_NaN();
    for (std::int64_t i = n; i < 2 * n; ++i) y[i] = std::numeric_limits<T>::quiet_NaN();
    const Guarded<T> before(y);
    check::run<kernels::Combine, T>(table, {.x = x.in(),
                                            .c = numbers.in(),
                                            .b = In(numbers.data() + 1),
                                            .y = y.out(),
                                            .n = n,
                                            .rows = 2,
                                            .row_x = n,
                                            .row_y = n,
                                            .row_c = 2,
                                            .row_b = 2});
    check::expect("rows", y, before, false, 0,
                  [&](std::int64_t i) { return i < n ? before[i] : T(0); });
  });
}

TEST("steps advance every state by itself") {
  check::for_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    check::Array<math::LanczosState> states(3);
    check::Array<double> numbers(6);
    for (std::size_t k = 0; k < 3; ++k) {
      states[k] = {.tolerance = 1e-12, .alpha = 2, .squared = static_cast<double>(k * k)};
      states[k].alphas = numbers.data() + 2 * k;
      states[k].betas = numbers.data() + 2 * k + 1;
    }
    for (const auto phase : {math::KrylovPhase::lanczos_alpha, math::KrylovPhase::lanczos_beta}) {
      check::run<kernels::KrylovStep, T>(table,
                                         {.states = Out(states.data()), .rows = 3, .phase = phase});
    }
    for (std::size_t k = 0; k < 3; ++k) {
      CHECK(states[k].step == 1 && states[k].norm == 2 + static_cast<double>(k));
      CHECK(numbers[2 * k] == 2 && numbers[2 * k + 1] == static_cast<double>(k));
      CHECK(states[k].done == (k == 0 ? 1 : 0));
    }
    CHECK(states[2].inverse == 0.5 && states[0].length == 1);
  });
}
