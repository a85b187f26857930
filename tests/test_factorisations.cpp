// Cholesky factors, solves and symmetric eigenproblems of every table against plain loops.
#include "kernel_tables.hpp"

namespace hc = hesscore;
using check::Guarded;
using check::kTolerance;

namespace {

constexpr std::int64_t kSides[] = {1, 2, 3, 7, 16, 31, 33, 64, 65};
constexpr double kUntouched = 77;

// Lower triangle of a symmetric matrix, with diagonal at least `diagonal`; nothing above it.
template <class T>
Guarded<T> symmetric(std::int64_t n, double diagonal) {
  Guarded<T> a(n * n, static_cast<int>(n));
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      T& x = a[i * n + j];
      x = j > i ? T(kUntouched) : static_cast<T>(static_cast<double>(x) / std::sqrt(double(n)));
      if (j == i) x += static_cast<T>(diagonal);
    }
  }
  return a;
}

template <class T>
double at(const Guarded<T>& a, std::int64_t n, std::int64_t i, std::int64_t j) {
  return static_cast<double>(i > j ? a[i * n + j] : a[j * n + i]);
}

// L of a = L L', in float64.
template <class T>
std::vector<double> factor(const Guarded<T>& a, std::int64_t n) {
  std::vector<double> l(static_cast<std::size_t>(n * n));
  const auto entry = [&](std::int64_t i, std::int64_t j) -> double& {
    return l[static_cast<std::size_t>(i * n + j)];
  };
  for (std::int64_t j = 0; j < n; ++j) {
    for (std::int64_t i = j; i < n; ++i) {
      double sum = at(a, n, i, j);
      for (std::int64_t k = 0; k < j; ++k) sum -= entry(i, k) * entry(j, k);
      entry(i, j) = i == j ? std::sqrt(sum) : sum / entry(j, j);
    }
  }
  return l;
}

template <class T>
void check_cholesky(const hc::KernelTable& table, std::int64_t n) {
  Guarded<T> a = symmetric<T>(n, 6);
  const std::vector<double> l = factor(a, n);
  Guarded<std::int32_t> info(1, 0);
  info[0] = -1;
  check::run<hc::kernels::Cholesky, T>(table, {.a = a.out(), .info = info.out(), .n = n});
  CHECK(info[0] == 0);
  check::expect("cholesky", a, a, false, kTolerance<T>, [&](std::int64_t i) {
    return i % n > i / n ? kUntouched : l[static_cast<std::size_t>(i)];
  });

  const std::int64_t rows = 3;
  const Guarded<T> x(rows * n, 5);
  Guarded<T> b(rows * n, 0);
  const Guarded<T> original = symmetric<T>(n, 6);
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t i = 0; i < n; ++i) {
      double sum = 0;
      for (std::int64_t j = 0; j < n; ++j) {
        sum += at(original, n, i, j) * static_cast<double>(x[r * n + j]);
      }
      b[r * n + i] = static_cast<T>(sum);
    }
  }
  check::run<hc::kernels::CholeskySolve, T>(table,
                                            {.l = a.in(), .b = b.out(), .n = n, .rows = rows});
  check::expect("cholesky_solve", b, b, false, 4 * kTolerance<T>,
                [&](std::int64_t i) { return x[i]; });
}

template <class T>
void check_eigen(const hc::KernelTable& table, std::int64_t n) {
  const Guarded<T> a = symmetric<T>(n, 0);
  Guarded<T> v = a, values(n, 1);
  Guarded<std::int32_t> info(1, 0);
  info[0] = -1;
  check::run<hc::kernels::SymmetricEigen, T>(
      table, {.a = v.out(), .values = values.out(), .info = info.out(), .n = n});
  CHECK(info[0] == 0);
  double worst = 0;  // of A v = lambda v, of orthonormality, of the order
  for (std::int64_t k = 0; k < n; ++k) {
    if (k > 0) CHECK(values[k - 1] <= values[k]);
    for (std::int64_t i = 0; i < n; ++i) {
      double residual = -static_cast<double>(values[k]) * static_cast<double>(v[k * n + i]);
      double dot = i == k ? -1 : 0;
      for (std::int64_t j = 0; j < n; ++j) {
        residual += at(a, n, i, j) * static_cast<double>(v[k * n + j]);
        dot += static_cast<double>(v[k * n + j]) * static_cast<double>(v[i * n + j]);
      }
      worst = std::fmax(worst, std::fmax(std::abs(residual), std::abs(dot)));
    }
  }
  CHECK(worst < 8 * kTolerance<T>);
}

}  // namespace

TEST("cholesky: factor and solve") {
  check::for_tables([](const hc::KernelTable& table, auto zero) {
    for (const std::int64_t n : kSides) check_cholesky<decltype(zero)>(table, n);
  });
}

TEST("cholesky: the first minor that is not positive definite") {
  check::for_tables([](const hc::KernelTable& table, auto zero) {
    using T = decltype(zero);
    const std::int64_t n = 33;
    for (const std::int64_t bad : {1, 2, 17, 33}) {
      Guarded<T> a = symmetric<T>(n, 6);
      a[(bad - 1) * n + bad - 1] = T(-1);
      Guarded<std::int32_t> info(1, 0);
      check::run<hc::kernels::Cholesky, T>(table, {.a = a.out(), .info = info.out(), .n = n});
      CHECK(info[0] == bad);
    }
  });
}

TEST("symmetric eigenproblems") {
  check::for_tables([](const hc::KernelTable& table, auto zero) {
    for (const std::int64_t n : kSides) check_eigen<decltype(zero)>(table, n);
  });
}

TEST("matrices without rows") {
  check::for_tables([](const hc::KernelTable& table, auto zero) {
    using T = decltype(zero);
    Guarded<T> a(0, 0), values(0, 0);
    Guarded<std::int32_t> info(1, 0);
    info[0] = -1;
    check::run<hc::kernels::Cholesky, T>(table, {.a = a.out(), .info = info.out(), .n = 0});
    CHECK(info[0] == 0);
    info[0] = -1;
    check::run<hc::kernels::SymmetricEigen, T>(
        table, {.a = a.out(), .values = values.out(), .info = info.out(), .n = 0});
    CHECK(info[0] == 0);
  });
}
