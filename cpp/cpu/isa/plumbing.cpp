// Copies, products and sums of arrays, random signs and masks.
#include <cstring>

#include "cpu/isa/column_sum.hpp"
#include "math/rng.hpp"

namespace hesscore::cpu::HC_ISA {
namespace {

template <class T>
void fill(void*, const kernels::Fill::Args& a) {
  const T value = static_cast<T>(a.value);
  for_blocks(a.n, 1, [&](std::int64_t i, std::int64_t n) {
    store(a.y.as<T>() + i, n, a.y.accumulate, [&](std::int64_t) { return value; });
  });
}

template <class T>
void copy(void*, const kernels::Copy::Args& a) {
  const T* x = a.x.as<T>();
  T* y = a.y.as<T>();
  const T scale = static_cast<T>(a.scale);
  const bool dense = a.stride_x == a.inner && a.stride_y == a.inner;
  const std::int64_t outer = dense ? 1 : a.outer, inner = dense ? a.outer * a.inner : a.inner;
  const auto piece = [&](std::int64_t o, std::int64_t i, std::int64_t n) {
    const T* from = x + o * a.stride_x + i;
    store(y + o * a.stride_y + i, n, a.y.accumulate,
          [&](std::int64_t k) { return scale * from[k]; });
  };
  if (inner >= kGrain) {
    for (std::int64_t o = 0; o < outer; ++o) {
      for_blocks(inner, 1, [&](std::int64_t i, std::int64_t n) { piece(o, i, n); });
    }
  } else if (inner > 0) {
    parallel_chunks(outer, kGrain / inner, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t o = begin; o < end; ++o) piece(o, 0, inner);
    });
  }
}

template <class T>
void multiply(void*, const kernels::Multiply::Args& a) {
  const std::int64_t step_a = a.rep_a ? a.n : 0, step_b = a.rep_b ? a.n : 0;
  for_blocks(a.n, a.reps, [&](std::int64_t i, std::int64_t n) {
    for (std::int64_t r = 0; r < a.reps; ++r) {
      const T *p = a.a.as<T>() + r * step_a + i, *q = a.b.as<T>() + r * step_b + i;
      T* y = a.y.as<T>() + r * a.n + i;
      if (a.square_b) {
        store(y, n, a.y.accumulate, [&](std::int64_t k) { return p[k] * q[k] * q[k]; });
      } else {
        store(y, n, a.y.accumulate, [&](std::int64_t k) { return p[k] * q[k]; });
      }
    }
  });
}

// y (+)= scale * sum_r a[r] * b[r]
template <class T>
void sum_of_products(const T* a, const T* b, Out y, std::int64_t n, std::int64_t reps, T scale) {
  for_blocks(n, reps, [&](std::int64_t i, std::int64_t count) {
    alignas(64) T sum[kBlock] = {};
    for (std::int64_t r = 0; r < reps; ++r) {
      const T *p = a + r * n + i, *q = b + r * n + i;
      store(sum, count, true, [&](std::int64_t k) { return p[k] * q[k]; });
    }
    store(y.as<T>() + i, count, y.accumulate, [&](std::int64_t k) { return scale * sum[k]; });
  });
}

template <class T>
void square_sum(void*, const kernels::SquareSum::Args& a) {
  sum_of_products(a.x.as<T>(), a.x.as<T>(), a.y, a.n, a.reps, static_cast<T>(a.scale));
}

template <class T>
void multiply_sum(void*, const kernels::MultiplySum::Args& a) {
  sum_of_products(a.a.as<T>(), a.b.as<T>(), a.y, a.n, a.reps, static_cast<T>(a.scale));
}

// kBlock factors of dropout, from the words of `quads` on
template <class T>
void dropout_mask(const kernels::Dropout::Args& a, std::int64_t quad, T* mask) {
  const auto* clock = a.clock.as<std::uint64_t>();
  const std::uint64_t seed = clock[0], step = clock[1];
  const math::DropoutRule<T> rule(a.p, a.square);
#pragma GCC ivdep
  for (std::int64_t k = 0; k < kBlock / 4; ++k) {
    const math::Random r = math::dropout_words(seed, step, a.node, quad + k);
    mask[4 * k] = rule(r.a);
    mask[4 * k + 1] = rule(r.b);
    mask[4 * k + 2] = rule(r.c);
    mask[4 * k + 3] = rule(r.d);
  }
}

template <class T>
void dropout(void*, const kernels::Dropout::Args& a) {
  for_blocks(a.n, a.reps + 8, [&](std::int64_t i, std::int64_t n) {
    alignas(64) T mask[kBlock];
    dropout_mask(a, i / 4, mask);
    for (std::int64_t r = 0; r < a.reps; ++r) {
      const T* x = a.x.as<T>() + r * a.n + i;
      store(a.y.as<T>() + r * a.n + i, n, a.y.accumulate,
            [&](std::int64_t k) { return x[k] * mask[k]; });
    }
  });
}

template <class T>
void rademacher(void*, const kernels::Rademacher::Args& a) {
  const std::uint64_t seed = *a.clock.as<std::uint64_t>();
  for_blocks(a.n, 1, [&](std::int64_t i, std::int64_t n) {
    alignas(64) T signs[kBlock];
    for (int k = 0; k < kBlock / 128; ++k) {
      const auto counter = static_cast<std::uint64_t>(i / 128 + k);
      const math::Random r = math::draw(math::Purpose::probe, seed, counter, a.stream);
      const std::uint32_t words[] = {r.a, r.b, r.c, r.d};
      for (int w = 0; w < 4; ++w) {
        T* to = signs + 128 * k + 32 * w;
        for (int bit = 0; bit < 32; ++bit) to[bit] = math::random_sign<T>(words[w], bit);
      }
    }
    store(a.y.as<T>() + i, n, a.y.accumulate, [&](std::int64_t k) { return signs[k]; });
  });
}

template <class T>
void gather(void*, const kernels::Gather::Args& a) {
  const auto* order = a.index.as<std::int64_t>() + a.record.as<math::StepRecord>()->first_row;
  const auto row = static_cast<std::size_t>(a.bytes);
  parallel_chunks(a.rows, 1 + 4 * kGrain / (a.bytes + 1), [&](std::int64_t i, std::int64_t end) {
    std::byte* to = a.y.as<std::byte>() + static_cast<std::size_t>(i) * row;
    for (; i < end; ++i, to += row) {
      std::memcpy(to, a.x.as<std::byte>() + static_cast<std::size_t>(order[i]) * row, row);
    }
  });
}

template <class T>
void row_project(void*, const kernels::RowProject::Args& a) {
  const std::int64_t rep = a.rows * a.m, work = a.samples * a.reps * a.m;
  parallel_chunks(a.rows, kGrain / (work < 1 ? 1 : work) + 1,
                  [&](std::int64_t i, std::int64_t end) {
                    for (std::int64_t r = 0; r < a.reps; ++r) {
                      for (std::int64_t n = i; n < end; ++n) {
                        const T* dz = a.dz.as<T>() + r * rep + n * a.m;
                        T* out = a.out.as<T>() + r * rep + n * a.m;
                        if (!a.out.accumulate)
                          store(out, a.m, false, [](std::int64_t) { return T(0); });
                        for (std::int64_t s = 0; s < a.samples; ++s) {
                          const T* u = a.u.as<T>() + s * rep + n * a.m;
                          const T along = dot<T>(u, dz, a.m);
                          store(out, a.m, true, [&](std::int64_t k) { return u[k] * along; });
                        }
                      }
                    }
                  });
}

}  // namespace

void register_plumbing(KernelTable& table) {
  HC_ADD(table, Fill, fill);
  HC_ADD(table, Copy, copy);
  HC_ADD(table, Multiply, multiply);
  HC_ADD(table, Gather, gather);
  HC_ADD(table, SquareSum, square_sum);
  HC_ADD(table, MultiplySum, multiply_sum);
  HC_ADD_REHEARSED(table, ColumnSum, column_sum);
  HC_ADD(table, Dropout, dropout);
  HC_ADD(table, Rademacher, rademacher);
  HC_ADD(table, RowProject, row_project);
}

}  // namespace hesscore::cpu::HC_ISA
