// Embeddings: rows looked up by number, tokens grouped by row, sums over the tokens of a row.
#include <algorithm>
#include <cstring>
#include <limits>

#include "cpu/isa/reduce.hpp"

namespace hesscore::cpu::HC_ISA {
namespace {

template <class T>
void lookup(void*, const kernels::Lookup::Args& a) {
  const auto* tokens = a.x.as<std::int64_t>();
  parallel_chunks(a.n, kGrain / (a.columns * a.reps) + 1, [&](std::int64_t i, std::int64_t end) {
    for (; i < end; ++i) {
      const std::int64_t row = tokens[i];
      const bool known = row >= 0 && row < a.rows;
      const T missing = known ? T(0) : std::numeric_limits<T>::quiet_NaN();
      for (std::int64_t r = 0; r < a.reps; ++r) {
        T* y = a.y.as<T>() + (r * a.n + i) * a.columns;
        if (!known || row == a.skip) {
          store(y, a.columns, a.y.accumulate, [&](std::int64_t) { return missing; });
        } else {
          const T* w = a.w.as<T>() + r * a.stride_w + row * a.columns;
          store(y, a.columns, a.y.accumulate, [&](std::int64_t k) { return w[k]; });
        }
      }
    }
  });
}

// Counting sort. While the list is filled, the end of a row is where its next token goes.
template <class T>
void group_tokens(void*, const kernels::GroupTokens::Args& a) {
  const auto* tokens = a.x.as<std::int64_t>();
  auto* bounds = a.groups.as<std::int32_t>();
  std::int32_t* list = bounds + 2 * a.rows + 1;
  const auto belongs = [&](std::int64_t row) { return row >= 0 && row < a.rows && row != a.skip; };
  std::memset(bounds, 0, static_cast<std::size_t>(2 * a.rows + 1) * sizeof *bounds);
  for (std::int64_t i = 0; i < a.n; ++i) {
    if (belongs(tokens[i])) ++bounds[2 * tokens[i] + 1];
  }
  std::int32_t begin = 0;
  for (std::int64_t j = 0; j < a.rows; ++j) {
    const std::int32_t count = bounds[2 * j + 1];
    bounds[2 * j] = bounds[2 * j + 1] = begin;
    begin += count;
  }
  for (std::int64_t i = 0; i < a.n; ++i) {
    if (belongs(tokens[i])) list[bounds[2 * tokens[i] + 1]++] = static_cast<std::int32_t>(i);
  }
}

// The tokens of a row.
struct Group {
  const std::int32_t *begin, *end;
  Group(const std::int32_t* groups, std::int64_t rows, std::int64_t row)
      : begin(groups + 2 * rows + 1 + groups[2 * row]),
        end(groups + 2 * rows + 1 + groups[2 * row + 1]) {}
};

// body(first, end) over the rows, in chunks of equal expected work
template <class Args, class F>
void for_rows(const Args& a, const F& body) {
  const std::int64_t rows = a.rows < 1 ? 1 : a.rows;
  const std::int64_t work = a.columns * a.reps * (1 + a.n / rows);
  parallel_chunks(a.rows, kGrain / (work < 1 ? 1 : work) + 1, body);
}

template <class T>
void lookup_transposed(void*, const kernels::LookupTransposed::Args& a) {
  for_rows(a, [&](std::int64_t first, std::int64_t end) {
    for (std::int64_t r = 0; r < a.reps; ++r) {
      const T* y = a.y.as<T>() + r * a.n * a.columns;
      for (std::int64_t j = first; j < end; ++j) {
        T* w = a.w.as<T>() + r * a.stride_w + j * a.columns;
        if (!a.w.accumulate) store(w, a.columns, false, [](std::int64_t) { return T(0); });
        const Group group(a.groups.as<std::int32_t>(), a.rows, j);
        for (const std::int32_t* t = group.begin; t < group.end; ++t) {
          const T* from = y + *t * a.columns;
          store(w, a.columns, true, [&](std::int64_t k) { return from[k]; });
        }
      }
    }
  });
}

// The token after those of t's sample.
const std::int32_t* end_of_sample(const std::int32_t* t, const Group& group,
                                  std::int64_t positions) {
  const std::int64_t end = (*t / positions + 1) * positions;
  do ++t;
  while (t < group.end && *t < end);
  return t;
}

// sum[k] += the square of the sum over each sample's tokens, kBlock columns at most.
template <class T>
void add_squares(const T* y, const kernels::LookupSquares::Args& a, const Group& group,
                 std::int64_t columns, T* sum) {
  const std::int32_t* t = group.begin;
  while (t < group.end) {
    const T* from = y + *t * a.columns;
    const std::int32_t* end = end_of_sample(t, group, a.positions);
    if (++t == end) {
      store(sum, columns, true, [&](std::int64_t k) { return from[k] * from[k]; });
      continue;
    }
    alignas(64) T sample[kBlock];
    store(sample, columns, false, [&](std::int64_t k) { return from[k]; });
    for (; t < end; ++t) {
      from = y + *t * a.columns;
      store(sample, columns, true, [&](std::int64_t k) { return from[k]; });
    }
    store(sum, columns, true, [&](std::int64_t k) { return sample[k] * sample[k]; });
  }
}

template <class T>
void lookup_squares(void*, const kernels::LookupSquares::Args& a) {
  const T scale = static_cast<T>(a.scale);
  for_rows(a, [&](std::int64_t first, std::int64_t end) {
    for (std::int64_t j = first; j < end; ++j) {
      const Group group(a.groups.as<std::int32_t>(), a.rows, j);
      T* w = a.w.as<T>() + j * a.columns;
      if (group.begin == group.end) {
        if (!a.w.accumulate) store(w, a.columns, false, [](std::int64_t) { return T(0); });
        continue;
      }
      for (std::int64_t c = 0; c < a.columns; c += kBlock) {
        const std::int64_t columns = a.columns - c < kBlock ? a.columns - c : kBlock;
        alignas(64) T sum[kBlock];
        store(sum, columns, false, [](std::int64_t) { return T(0); });
        for (std::int64_t r = 0; r < a.reps; ++r) {
          add_squares(a.y.as<T>() + r * a.n * a.columns + c, a, group, columns, sum);
        }
        store(w + c, columns, a.w.accumulate, [&](std::int64_t k) { return scale * sum[k]; });
      }
    }
  });
}

// body(first, end) over the samples, in chunks of equal work
template <class Args, class F>
void for_samples(const Args& a, std::int64_t work, const F& body) {
  parallel_chunks(a.samples, kGrain / (work < 1 ? 1 : work) + 1, body);
}

template <class T>
void lookup_per_sample(void*, const kernels::LookupPerSample::Args& a) {
  const std::int64_t size = a.rows * a.columns;
  for_samples(a, size + a.positions * a.columns, [&](std::int64_t s, std::int64_t end) {
    for (; s < end; ++s) {
      const auto* tokens = a.x.as<std::int64_t>() + s * a.positions;
      const T* y = a.y.as<T>() + s * a.positions * a.columns;
      T* w = a.w.as<T>() + s * a.stride_w;
      if (!a.w.accumulate) store(w, size, false, [](std::int64_t) { return T(0); });
      for (std::int64_t t = 0; t < a.positions; ++t, y += a.columns) {
        if (tokens[t] < 0 || tokens[t] >= a.rows || tokens[t] == a.skip) continue;
        store(w + tokens[t] * a.columns, a.columns, true, [&](std::int64_t k) { return y[k]; });
      }
    }
  });
}

// The square of what arrives at the row of token t, if it is the first there; kBlock columns at
// most.
template <class T>
T square_of_row(const std::int64_t* tokens, const T* y, std::int64_t t, std::int64_t positions,
                std::int64_t columns, std::int64_t stride) {
  alignas(64) T sum[kBlock];
  store(sum, columns, false, [&](std::int64_t k) { return y[t * stride + k]; });
  for (std::int64_t u = t + 1; u < positions; ++u) {
    if (tokens[u] != tokens[t]) continue;
    store(sum, columns, true, [&](std::int64_t k) { return y[u * stride + k]; });
  }
  return dot<T>(sum, sum, columns);
}

template <class T>
void lookup_norms(void*, const kernels::LookupNorms::Args& a) {
  const std::int64_t work = a.positions * (a.columns + a.positions);
  for_samples(a, work, [&](std::int64_t s, std::int64_t end) {
    for (; s < end; ++s) {
      const auto* tokens = a.x.as<std::int64_t>() + s * a.positions;
      const T* y = a.y.as<T>() + s * a.positions * a.columns;
      T norm = 0;
      for (std::int64_t t = 0; t < a.positions; ++t) {
        const bool known = tokens[t] >= 0 && tokens[t] < a.rows && tokens[t] != a.skip;
        if (!known || std::find(tokens, tokens + t, tokens[t]) < tokens + t) continue;
        for (std::int64_t c = 0; c < a.columns; c += kBlock) {
          const std::int64_t columns = a.columns - c < kBlock ? a.columns - c : kBlock;
          norm += square_of_row(tokens, y + c, t, a.positions, columns, a.columns);
        }
      }
      T& to = a.norms.as<T>()[s];
      to = a.norms.accumulate ? to + norm : norm;
    }
  });
}

template <class T>
void copy_tokens(void*, const kernels::CopyTokens::Args& a) {
  for (std::int64_t o = 0; o < a.outer; ++o) {
    std::memcpy(a.y.as<std::int64_t>() + o * a.stride_y, a.x.as<std::int64_t>() + o * a.inner,
                static_cast<std::size_t>(a.inner) * sizeof(std::int64_t));
  }
}

}  // namespace

void register_embeddings(KernelTable& table) {
  HC_ADD(table, Lookup, lookup);
  HC_ADD(table, GroupTokens, group_tokens);
  HC_ADD(table, LookupTransposed, lookup_transposed);
  HC_ADD(table, LookupSquares, lookup_squares);
  HC_ADD(table, LookupPerSample, lookup_per_sample);
  HC_ADD(table, LookupNorms, lookup_norms);
  HC_ADD(table, CopyTokens, copy_tokens);
}

}  // namespace hesscore::cpu::HC_ISA
