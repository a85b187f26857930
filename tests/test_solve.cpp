// Conjugate gradients against dense Cholesky solutions, and its ways to stop.
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "check.hpp"
#include "hesscore/solve.hpp"

using namespace hesscore;

namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
using Numbers = std::vector<double>;

Vector vector_of(const Numbers& values, DType dtype = DType::f64) {
  Vector v(device("cpu"), dtype, static_cast<std::int64_t>(values.size()));
  v.from_host(values);
  return v;
}

// A matrix in float64, applied in the dtype asked for.
class Dense : public LinearOperator {
 public:
  Dense(Numbers a, std::size_t n, DType dtype = DType::f64)
      : a_(std::move(a)), n_(n), dtype_(dtype) {}
  std::int64_t size() const override { return static_cast<std::int64_t>(n_); }
  DType dtype() const override { return dtype_; }
  Device& device() const override { return hesscore::device("cpu"); }
  void apply(const void* v, void* out, std::int64_t count) const override {
    ++applied;
    for (std::int64_t k = 0; k < count; ++k) {
      if (dtype_ == DType::f64) row<double>(v, out, static_cast<std::size_t>(k));
      if (dtype_ == DType::f32) row<float>(v, out, static_cast<std::size_t>(k));
    }
  }
  mutable int applied = 0;

 private:
  template <class T>
  void row(const void* v, void* out, std::size_t k) const {
    for (std::size_t i = 0; i < n_; ++i) {
      double sum = 0;
      for (std::size_t j = 0; j < n_; ++j) {
        sum += a_[i * n_ + j] * static_cast<double>(static_cast<const T*>(v)[k * n_ + j]);
      }
      static_cast<T*>(out)[k * n_ + i] = static_cast<T>(sum);
    }
  }
  Numbers a_;
  std::size_t n_;
  DType dtype_;
};

Numbers random_numbers(std::size_t n, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal;
  Numbers values(n);
  for (double& v : values) v = normal(generator);
  return values;
}

// Q'Q + shift I; with `scale`, rows and columns are scaled by 10^(-scale .. scale).
Numbers random_spd(std::size_t n, unsigned seed, double shift = 0.1, double scale = 0) {
  const Numbers q = random_numbers(n * n, seed);
  Numbers a(n * n);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      for (std::size_t k = 0; k < n; ++k) a[i * n + j] += q[k * n + i] * q[k * n + j];
      if (i == j) a[i * n + j] += shift;
      const double position = static_cast<double>(i + j + 1) / static_cast<double>(n) - 1;
      a[i * n + j] *= std::pow(10.0, scale * position);
    }
  }
  return a;
}

Numbers cholesky_solve(Numbers a, Numbers b) {
  const std::size_t n = b.size();
  for (std::size_t j = 0; j < n; ++j) {
    for (std::size_t k = 0; k < j; ++k) a[j * n + j] -= a[j * n + k] * a[j * n + k];
    a[j * n + j] = std::sqrt(a[j * n + j]);
    for (std::size_t i = j + 1; i < n; ++i) {
      for (std::size_t k = 0; k < j; ++k) a[i * n + j] -= a[i * n + k] * a[j * n + k];
      a[i * n + j] /= a[j * n + j];
    }
  }
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t k = 0; k < i; ++k) b[i] -= a[i * n + k] * b[k];
    b[i] /= a[i * n + i];
  }
  for (std::size_t i = n; i-- > 0;) {
    for (std::size_t k = i + 1; k < n; ++k) b[i] -= a[k * n + i] * b[k];
    b[i] /= a[i * n + i];
  }
  return b;
}

double distance(const Numbers& a, const Numbers& b) {
  double d = 0, s = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    d += (a[i] - b[i]) * (a[i] - b[i]);
    s += b[i] * b[i];
  }
  return std::sqrt(d / s);
}

double quadratic(const Numbers& a, const Numbers& b, const Numbers& x) {
  double phi = 0;
  const std::size_t n = b.size();
  for (std::size_t i = 0; i < n; ++i) {
    double ax = 0;
    for (std::size_t j = 0; j < n; ++j) ax += a[i * n + j] * x[j];
    phi += x[i] * (ax / 2 - b[i]);
  }
  return phi;
}

DiagonalOperator jacobi(const Numbers& a, std::size_t n, DType dtype = DType::f64) {
  Numbers d(n);
  for (std::size_t i = 0; i < n; ++i) d[i] = 1 / a[i * n + i];
  return DiagonalOperator(vector_of(d, dtype));
}

}  // namespace

TEST("the solution is Cholesky's") {
  for (const std::size_t n : {1u, 2u, 7u, 40u}) {
    const Numbers a = random_spd(n, 1), b = random_numbers(n, 2);
    const Dense A(a, n);
    Vector x = vector_of(Numbers(n));
    const SolveReport report = cg(A, vector_of(b), x, {.rtol = 1e-12});
    CHECK(report.status == Status::converged);
    CHECK(distance(x.to_host(), cholesky_solve(a, b)) < 1e-9);
    CHECK(report.history.size() == static_cast<std::size_t>(report.iterations) + 1);
    CHECK(report.residual == report.history.back());
  }
}

TEST("float32 reaches its own accuracy") {
  const std::size_t n = 30;
  const Numbers a = random_spd(n, 3, 5.0), b = random_numbers(n, 4);
  Vector x = vector_of(Numbers(n), DType::f32);
  const SolveReport report =
      cg(Dense(a, n, DType::f32), vector_of(b, DType::f32), x, {.rtol = 1e-6});
  CHECK(report.status == Status::converged);
  CHECK(distance(x.to_host(), cholesky_solve(a, b)) < 1e-5);
}

TEST("a good start saves iterations, and no product is spent on a zero start") {
  const std::size_t n = 25;
  const Numbers a = random_spd(n, 5), b = random_numbers(n, 6), solution = cholesky_solve(a, b);
  const Dense A(a, n);
  Vector x = vector_of(Numbers(n));
  const SolveReport cold = cg(A, vector_of(b), x, {.rtol = 1e-8});
  CHECK(A.applied == cold.iterations);
  Numbers near = solution;
  for (double& v : near) v *= 1 + 1e-7;
  x.from_host(near);
  const SolveReport warm = cg(A, vector_of(b), x, {.rtol = 1e-8});
  CHECK(warm.iterations < cold.iterations);
  CHECK(distance(x.to_host(), solution) < 1e-6);
  x.from_host(solution);
  CHECK(cg(A, vector_of(b), x, {.rtol = 1e-8}).iterations == 0);
}

TEST("a diagonal preconditioner undoes bad scaling") {
  const std::size_t n = 30;
  const Numbers a = random_spd(n, 7, 10, 2), b = random_numbers(n, 8);
  const Dense A(a, n);
  const DiagonalOperator M = jacobi(a, n);
  Vector plain = vector_of(Numbers(n)), x = vector_of(Numbers(n));
  const SolveReport without = cg(A, vector_of(b), plain, {.rtol = 1e-10, .maxiter = 1000});
  const SolveReport with = cg(A, vector_of(b), x, {.rtol = 1e-10, .preconditioner = &M});
  CHECK(with.status == Status::converged);
  CHECK(with.iterations * 2 < without.iterations);
  CHECK(distance(x.to_host(), cholesky_solve(a, b)) < 1e-8);
}

// The first inner product must be r'y, not r'r: with r'r the first step is wrong by the scale of M
// and the iteration diverges. Scaling M by any constant must not change the iterates.
TEST("the first inner product knows the preconditioner") {
  const std::size_t n = 12;
  const Numbers a = random_spd(n, 9, 1, 1), b = random_numbers(n, 10);
  Numbers d(n);
  for (std::size_t i = 0; i < n; ++i) d[i] = 1e4 / a[i * n + i];
  const DiagonalOperator M = jacobi(a, n), scaled(vector_of(d));
  const Dense A(a, n);
  Vector x = vector_of(Numbers(n)), y = vector_of(Numbers(n));
  const SolveReport first = cg(A, vector_of(b), x, {.maxiter = 3, .preconditioner = &M});
  const SolveReport second = cg(A, vector_of(b), y, {.maxiter = 3, .preconditioner = &scaled});
  CHECK(distance(x.to_host(), y.to_host()) < 1e-12);
  for (std::size_t i = 1; i < first.model.size(); ++i) CHECK(first.model[i] < first.model[i - 1]);
  CHECK(second.iterations == 3);
}

TEST("the model is tracked exactly") {
  const std::size_t n = 20;
  const Numbers a = random_spd(n, 11), b = random_numbers(n, 12);
  const Dense A(a, n);
  Vector x = vector_of(random_numbers(n, 13));
  CgOptions options{.rtol = 1e-9};
  std::vector<double> seen{quadratic(a, b, x.to_host())};
  options.callback = [&](std::int64_t, double, const View& at) {
    const auto* p = static_cast<const double*>(at.data);
    seen.push_back(quadratic(a, b, Numbers(p, p + n)));
    return false;
  };
  const SolveReport report = cg(A, vector_of(b), x, options);
  CHECK(seen.size() == report.model.size());
  for (std::size_t i = 0; i < seen.size(); ++i) CHECK_CLOSE(seen[i], report.model[i], 1e-9);
}

TEST("a zero right-hand side has a zero solution") {
  const Dense A(random_spd(5, 14), 5);
  Vector x = vector_of({1, 2, 3, 4, 5});
  const SolveReport report = cg(A, vector_of(Numbers(5)), x);
  CHECK(report.status == Status::converged && report.iterations == 0 && A.applied == 0);
  CHECK(x.to_host() == Numbers(5));
}

TEST("negative curvature at once gives the direction") {
  const Dense A({-1, 0, 0, 2}, 2);
  const Vector b = vector_of({3, 0.1});
  Vector x = vector_of({0, 0});
  const SolveReport report = cg(A, b, x);
  CHECK(report.status == Status::negative_curvature);
  CHECK(x.to_host() == b.to_host());
  CHECK(report.message.find("not positive definite") != std::string::npos);
}

TEST("negative curvature later keeps the last iterate, which lowers the model") {
  const Numbers a{4, 0, 0, 0, 1, 0, 0, 0, -0.5}, b{4, 1, 0.3};
  Vector x = vector_of({0, 0, 0});
  const SolveReport report = cg(Dense(a, 3), vector_of(b), x);
  CHECK(report.status == Status::negative_curvature && report.iterations >= 1);
  CHECK_CLOSE(quadratic(a, b, x.to_host()), report.model.back(), 1e-12);
  CHECK(report.model.back() < 0);
}

TEST("the iteration limit and the callback stop it") {
  const std::size_t n = 30;
  const Dense A(random_spd(n, 15, 1e-3), n);
  const Vector b = vector_of(random_numbers(n, 16));
  Vector x = vector_of(Numbers(n));
  const SolveReport limited = cg(A, b, x, {.rtol = 1e-14, .maxiter = 4});
  CHECK(limited.status == Status::max_iterations && limited.iterations == 4);
  CgOptions options;
  options.callback = [](std::int64_t i, double, const View&) { return i == 2; };
  x.from_host(Numbers(n));
  const SolveReport stopped = cg(A, b, x, options);
  CHECK(stopped.status == Status::stopped && stopped.iterations == 2);
}

TEST("Martens' rule stops when the model gains little") {
  const std::size_t n = 200;
  Numbers a(n * n), b(n, 1.0);
  for (std::size_t i = 0; i < n; ++i) a[i * n + i] = 1 + static_cast<double>(i * i);
  const Dense A(a, n);
  Vector x = vector_of(Numbers(n));
  const SolveReport r =
      cg(A, vector_of(b), x, {.rtol = 1e-12, .maxiter = 1000, .stop = StopRule::martens});
  CHECK(r.status == Status::converged && r.residual > 1e-6 && r.iterations > 10);
  const auto progress = [&](std::int64_t i) {
    const std::int64_t k = std::max<std::int64_t>(10, i / 10);
    const double now = r.model[static_cast<std::size_t>(i)];
    const double gained = now - r.model[static_cast<std::size_t>(i - k)];
    return gained / now / static_cast<double>(k);
  };
  CHECK(progress(r.iterations) < 5e-4);
  for (std::int64_t i = 11; i < r.iterations; ++i) CHECK(progress(i) >= 5e-4);
}

TEST("numbers that are not finite break it down at the last good iterate") {
  const std::size_t n = 6;
  Vector x = vector_of(Numbers(n));
  Vector b = vector_of({1, 2, kNaN, 4, 5, 6});
  CHECK(cg(Dense(random_spd(n, 17), n), b, x).status == Status::breakdown);
  Numbers a = random_spd(n, 18);
  a[3] = kNaN;
  const SolveReport report = cg(Dense(a, n), vector_of(random_numbers(n, 19)), x);
  CHECK(report.status == Status::breakdown);
  CHECK(x.to_host() == Numbers(n));
}

TEST("an indefinite preconditioner is a breakdown") {
  const DiagonalOperator M(vector_of({1, -1, -1}));
  Vector x = vector_of({0, 0, 0});
  const SolveReport report =
      cg(Dense(random_spd(3, 20), 3), vector_of({0, 1, 1}), x, {.preconditioner = &M});
  CHECK(report.status == Status::breakdown);
  CHECK(report.message.find("preconditioner") != std::string::npos);
}

TEST("bad arguments are told by name") {
  const Dense A(random_spd(3, 21), 3);
  const Vector b = vector_of({1, 2, 3});
  Vector x = vector_of({0, 0, 0}), y = vector_of({0, 0});
  CHECK_THROWS(ShapeError, cg(A, y, x));
  CHECK_THROWS(ShapeError, cg(A, b, y));
  CHECK_THROWS(ShapeError, cg(A, View(), x));
  CHECK_THROWS(DTypeError, cg(A, vector_of({1, 2, 3}, DType::f32), x));
  CHECK_THROWS(OutputError, cg(A, x, x));
  CHECK_THROWS(OptionError, cg(A, b, x, {.rtol = -1}));
  CHECK_THROWS(OptionError, cg(A, b, x, {.atol = kNaN}));
  CHECK_THROWS(OptionError, cg(A, b, x, {.maxiter = -1}));
  const DiagonalOperator M(vector_of({1, 1}));
  CHECK_THROWS(ShapeError, cg(A, b, x, {.preconditioner = &M}));
}

TEST("shifted and diagonal operators work on several vectors") {
  const Dense A({1, 2, 2, 5}, 2);
  const Numbers v{1, 0, 3, -1};
  Vector in = vector_of(v), out = vector_of(Numbers(4));
  ShiftedOperator(A, 10, 2).apply(in.data(), out.data(), 2);
  CHECK(out.to_host() == Numbers({12, 4, 32, -8}));
  DiagonalOperator(vector_of({2, 3})).apply(in.data(), out.data(), 2);
  CHECK(out.to_host() == Numbers({2, 0, 6, -3}));
}
