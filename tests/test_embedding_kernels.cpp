// Kernels of embeddings against naive loops: all instruction sets, both dtypes, repeated tokens,
// empty rows, tokens that are no row, accumulation.
#include "kernel_tables.hpp"

using namespace hesscore;
using check::Guarded;
using kernels::embedding_group_size;

namespace {

struct Case {
  std::int64_t samples, positions, rows, columns, reps, skip;
  std::int64_t tokens() const { return samples * positions; }
};
constexpr Case kCases[] = {{1, 1, 1, 1, 1, -1},   {5, 3, 7, 4, 2, -1},      {40, 6, 9, 17, 3, 2},
                           {9, 1, 3000, 2, 1, 7}, {300, 5, 4, 64, 1, 0},    {2, 3, 5, 1300, 2, -1},
                           {700, 2, 1, 3, 1, -1}, {33, 4, 20000, 8, 1, -1}, {0, 3, 6, 5, 1, -1}};

// Mostly a few rows again and again; `wrong`: some that do not exist.
check::Array<std::int64_t> draw_tokens(const Case& c, bool wrong) {
  check::Array<std::int64_t> tokens(static_cast<std::size_t>(c.tokens()));
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    const auto i = static_cast<std::int64_t>(t);
    tokens[t] = (i * i * 7 + i / 3) % (i % 2 ? c.rows : std::min<std::int64_t>(c.rows, 3));
    if (wrong && i % 5 == 3) tokens[t] = i % 2 ? -1 - i : c.rows + i;
  }
  return tokens;
}

bool known(const Case& c, std::int64_t row) { return row >= 0 && row < c.rows; }

template <class Body>
void each_case(Body body) {
  check::for_tables([&](const KernelTable& table, auto zero) {
    for (const Case& c : kCases) {
      for (const bool wrong : {false, true}) body(table, c, draw_tokens(c, wrong), zero);
    }
  });
}

template <class T>
check::Array<std::int32_t> group(const KernelTable& table, const Case& c,
                                 const check::Array<std::int64_t>& tokens) {
  const std::int64_t size = embedding_group_size(c.rows, c.tokens());
  check::Array<std::int32_t> groups(static_cast<std::size_t>(size), -1);
  check::run<kernels::GroupTokens, T>(
      table, {In(tokens.data()), Out(groups.data()), c.tokens(), c.rows, c.skip});
  return groups;
}

}  // namespace

TEST("lookup of rows") {
  each_case([](const KernelTable& table, const Case& c, const auto& tokens, auto zero) {
    using T = decltype(zero);
    for (const bool acc : {false, true}) {
      const std::int64_t stride = c.rows * c.columns + 3;
      Guarded<T> w(c.reps * stride, 1), y(c.reps * c.tokens() * c.columns, 2);
      const Guarded<T> y0(y);
      check::run<kernels::Lookup, T>(table, {w.in(), In(tokens.data()), y.out(acc), c.tokens(),
                                             c.rows, c.columns, c.skip, c.reps, stride});
      for (std::int64_t i = 0; i < y.size(); ++i) {
        const std::int64_t r = i / (c.tokens() * c.columns), t = i / c.columns % c.tokens();
        const std::int64_t row = tokens[static_cast<std::size_t>(t)];
        if (!known(c, row)) {
          if (!std::isnan(y[i])) check::fail("lookup", __LINE__, "a missing row is not NaN");
          continue;
        }
        T expected = row == c.skip ? T(0) : w[r * stride + row * c.columns + i % c.columns];
        if (acc) expected += y0[i];
        if (y[i] != expected) check::fail("lookup", __LINE__, "wrong at " + std::to_string(i));
      }
    }
  });
}

TEST("tokens are grouped by row, in order") {
  each_case([](const KernelTable& table, const Case& c, const auto& tokens, auto zero) {
    using T = decltype(zero);
    const check::Array<std::int32_t> groups = group<T>(table, c, tokens);
    const std::int32_t* list = groups.data() + 2 * c.rows + 1;
    for (std::int64_t j = 0; j < c.rows; ++j) {
      std::vector<std::int32_t> expected;
      for (std::int64_t t = 0; t < c.tokens() && j != c.skip; ++t) {
        if (tokens[static_cast<std::size_t>(t)] == j) {
          expected.push_back(static_cast<std::int32_t>(t));
        }
      }
      const auto at = static_cast<std::size_t>(2 * j);
      const std::vector<std::int32_t> got(list + groups[at], list + groups[at + 1]);
      if (got != expected) check::fail("group_tokens", __LINE__, "row " + std::to_string(j));
    }
  });
}

TEST("sums and squares of what arrives at rows") {
  each_case([](const KernelTable& table, const Case& c, const auto& tokens, auto zero) {
    using T = decltype(zero);
    const check::Array<std::int32_t> groups = group<T>(table, c, tokens);
    const std::int64_t size = c.rows * c.columns, stride = size + 5, n = c.tokens();
    for (const bool acc : {false, true}) {
      Guarded<T> y(c.reps * n * c.columns, 1), w(c.reps * stride, 2), h(size, 3);
      const Guarded<T> w0(w), h0(h);
      const In grouped(groups.data());
      check::run<kernels::LookupTransposed, T>(
          table, {y.in(), grouped, w.out(acc), n, c.rows, c.columns, c.reps, stride});
      check::run<kernels::LookupSquares, T>(
          table, {y.in(), grouped, h.out(acc), n, c.rows, c.columns, c.positions, c.reps, 0.5});
      std::vector<double> sums(static_cast<std::size_t>(c.reps * size)),
          squares(static_cast<std::size_t>(size));
      for (std::int64_t r = 0; r < c.reps; ++r) {
        for (std::int64_t s = 0; s < c.samples; ++s) {
          std::vector<double> sample(static_cast<std::size_t>(size));
          for (std::int64_t t = s * c.positions; t < (s + 1) * c.positions; ++t) {
            const std::int64_t row = tokens[static_cast<std::size_t>(t)];
            if (!known(c, row) || row == c.skip) continue;
            for (std::int64_t k = 0; k < c.columns; ++k) {
              sample[static_cast<std::size_t>(row * c.columns + k)] +=
                  y[(r * n + t) * c.columns + k];
            }
          }
          for (std::size_t k = 0; k < sample.size(); ++k) {
            sums[static_cast<std::size_t>(r * size) + k] += sample[k];
            squares[k] += 0.5 * sample[k] * sample[k];
          }
        }
      }
      const double tolerance = 30 * check::kTolerance<T>;
      check::expect("lookup_squares", h, h0, acc, tolerance,
                    [&](auto i) { return squares[static_cast<std::size_t>(i)]; });
      for (std::int64_t i = 0; i < w.size(); ++i) {
        const std::int64_t r = i / stride, k = i % stride;
        const double before = acc || k >= size ? w0[i] : 0;
        const double sum = k < size ? sums[static_cast<std::size_t>(r * size + k)] : 0;
        if (check::close(w[i], before + sum, tolerance)) continue;
        check::fail("lookup_transposed", __LINE__, "wrong at " + std::to_string(i));
        break;
      }
    }
  });
}

TEST("what arrives at rows from single samples, and its norms") {
  each_case([](const KernelTable& table, const Case& c, const auto& tokens, auto zero) {
    using T = decltype(zero);
    const std::int64_t size = c.rows * c.columns, stride = size + 5;
    if (c.samples * stride > 2'000'000) return;
    for (const bool acc : {false, true}) {
      Guarded<T> y(c.tokens() * c.columns, 1), w(c.samples * stride, 2), norms(c.samples, 3);
      const Guarded<T> w0(w), norms0(norms);
      check::run<kernels::LookupPerSample, T>(
          table, {y.in(), In(tokens.data()), w.out(acc), c.samples, c.positions, c.rows, c.columns,
                  c.skip, stride});
      check::run<kernels::LookupNorms, T>(
          table, {y.in(), In(tokens.data()), norms.out(acc), c.samples, c.positions, c.rows,
                  c.columns, c.skip});
      std::vector<double> expected(static_cast<std::size_t>(w.size())),
          squares(static_cast<std::size_t>(c.samples));
      for (std::int64_t t = 0; t < c.tokens(); ++t) {
        const std::int64_t row = tokens[static_cast<std::size_t>(t)];
        if (!known(c, row) || row == c.skip) continue;
        for (std::int64_t k = 0; k < c.columns; ++k) {
          expected[static_cast<std::size_t>(t / c.positions * stride + row * c.columns + k)] +=
              static_cast<double>(y[t * c.columns + k]);
        }
      }
      for (std::size_t i = 0; i < expected.size(); ++i) {
        squares[i / static_cast<std::size_t>(stride)] += expected[i] * expected[i];
      }
      const double tolerance = 30 * check::kTolerance<T>;
      check::expect("lookup_norms", norms, norms0, acc, tolerance,
                    [&](auto s) { return squares[static_cast<std::size_t>(s)]; });
      for (std::int64_t i = 0; i < w.size(); ++i) {
        const double before = acc || i % stride >= size ? static_cast<double>(w0[i]) : 0;
        if (check::close(static_cast<double>(w[i]), before + expected[static_cast<std::size_t>(i)],
                         tolerance)) {
          continue;
        }
        check::fail("lookup_per_sample", __LINE__, "wrong at " + std::to_string(i));
        break;
      }
    }
  });
}

TEST("tokens side by side") {
  check::for_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    check::Array<std::int64_t> x{1, 2, 3, 4, 5, 1LL << 62}, y(10, -7);
    check::run<kernels::CopyTokens, T>(table, {In(x.data()), Out(y.data() + 1), 3, 2, 3});
    const std::vector<std::int64_t> expected{-7, 1, 2, -7, 3, 4, -7, 5, 1LL << 62, -7};
    CHECK(std::equal(expected.begin(), expected.end(), y.begin()));
  });
}
