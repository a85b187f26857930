// Krylov solvers whose scalars stay on the device, on networks' operators and on small matrices:
// what C++ callers see. Python's tests compare with dense solutions in breadth.
#include <cmath>
#include <numeric>

#include "backend/algebra.hpp"
#include "check.hpp"
#include "hesscore/solve.hpp"
#include "solve/trust_subspace.hpp"
#include "test_device.hpp"

using namespace hesscore;

namespace {

using Numbers = std::vector<double>;

// diag(d), on the tested device.
class Diagonal : public DiagonalOperator {
 public:
  explicit Diagonal(const Numbers& d, DType dtype = DType::f64)
      : DiagonalOperator(stored(d, dtype)) {}

  static Vector stored(const Numbers& values, DType dtype = DType::f64) {
    Vector v(check::device(), dtype, static_cast<std::int64_t>(values.size()));
    v.from_host(values);
    return v;
  }
};

Numbers range(std::size_t n, double first, double step) {
  Numbers values(n);
  for (std::size_t i = 0; i < n; ++i) values[i] = first + step * static_cast<double>(i);
  return values;
}

View rows(const Vector& v, std::int64_t count) {
  return {v.data(), v.dtype(), {count, v.size() / count}};
}

}  // namespace

TEST("lanczos: runs of their own, one of which ends early") {
  for (const DType dtype : {DType::f32, DType::f64}) {
    const Diagonal A(range(40, -3, 0.5), dtype);
    Numbers starts(80, 1.0);
    std::fill(starts.begin() + 41, starts.end(), 0.0);
    const Vector v = Diagonal::stored(starts, dtype);
    const LanczosRuns runs = lanczos(A, rows(v, 2), {.steps = 20, .keep_basis = true});
    CHECK(runs.lengths == (std::vector<std::int64_t>{20, 1}));
    CHECK(runs.basis.size() == 2 * 21 * 40);
    CHECK_CLOSE(runs.alpha[20], -3, 1e-6);
    CHECK_CLOSE(runs.alpha[0], -3 + 0.5 * 19.5, 1e-5);
    CHECK(runs.beta[20] == 0 && runs.alpha[21] == 0);
    const Numbers basis = runs.basis.to_host();
    for (std::size_t i = 0; i < 21; ++i) {
      for (std::size_t j = 0; j <= i; ++j) {
        const auto row = [&](std::size_t k) { return basis.begin() + static_cast<int>(40 * k); };
        const double along = std::inner_product(row(i), row(i) + 40, row(j), 0.0);
        CHECK_CLOSE(along, i == j ? 1 : 0, dtype == DType::f32 ? 2e-6 : 1e-13);
      }
    }
  }
}

TEST("eigsh: both ends, and as many copies as there are") {
  Numbers d = range(60, 0, 1);
  d[7] = d[8] = d[9] = 100;
  const Diagonal A(d);
  const Vector start = Diagonal::stored(range(60, 1, 0.1));
  const EigshResult top = eigsh(A, start, {.count = 2});
  CHECK(top.report.status == Status::converged);
  CHECK_CLOSE(top.values[1], 100, 1e-10);
  const EigshResult ends = eigsh(A, start, {.count = 3, .which = Which::both_ends, .ncv = 60});
  CHECK_CLOSE(ends.values[0], 0, 1e-10);
  CHECK_CLOSE(ends.values[1], 100, 1e-10);
  CHECK_CLOSE(ends.values[2], 100, 1e-10);
  for (const double r : ends.residuals) CHECK(r < 1e-10);
}

TEST("rows: each has its end, and those that are done stay") {
  const Diagonal A(range(50, 1, 1));
  Numbers b(150, 1.0);
  std::fill(b.begin() + 50, b.begin() + 100, 0.0);
  b[50] = 2;  // an eigenvector
  const Vector right = Diagonal::stored(b), x = Diagonal::stored(Numbers(150));
  for (const auto solver : {&cg_rows, &minres}) {
    Algebra(check::device(), DType::f64).fill(0, x.data(), 150);
    const auto reports = solver(A, rows(right, 3), rows(x, 3), {.rtol = 1e-10});
    CHECK(reports[1].iterations == 1 && reports[0].iterations == reports[2].iterations);
    const Numbers got = x.to_host();
    for (std::size_t i = 0; i < 50; ++i) {
      CHECK_CLOSE(got[i], 1 / (1 + static_cast<double>(i)), 1e-9);
      CHECK(got[i] == got[100 + i] && got[50 + i] == (i == 0 ? 2 : 0));
    }
  }
}

TEST("shifts: the products of one system") {
  const Diagonal A(range(50, -1, 1));
  const Vector b = Diagonal::stored(Numbers(50, 1.0)), x = Diagonal::stored(Numbers(150));
  const auto reports = cg_shifted(A, b, rows(x, 3), {5, 2, 500}, {.rtol = 1e-11});
  const Numbers got = x.to_host(), shifts = {5, 2, 500};
  for (std::size_t k = 0; k < 3; ++k) {
    CHECK(reports[k].status == Status::converged && reports[k].residual <= reports[1].residual);
    for (std::size_t i = 0; i < 50; ++i) {
      CHECK_CLOSE(got[50 * k + i], 1 / (shifts[k] - 1 + static_cast<double>(i)), 1e-9);
    }
  }
}

TEST("lsmr: a symmetric operator is its own adjoint") {
  const Diagonal A(range(30, 1, 1));
  const Vector b = Diagonal::stored(Numbers(30, 1.0)), x = Diagonal::stored(Numbers(30));
  const SolveReport report = lsmr(A, b, x, {.damp = 2, .rtol = 1e-12});
  CHECK(report.status == Status::least_squares);
  const Numbers got = x.to_host();
  for (std::size_t i = 0; i < 30; ++i) {
    const double d = 1 + static_cast<double>(i);
    CHECK_CLOSE(got[i], d / (d * d + 4), 1e-9);
  }
}

TEST("trust regions: inside, on the boundary, and the hard case") {
  const Diagonal A({-2, 1, 3, 5});
  const Vector g = Diagonal::stored({0, 1, 1, 1}), s = Diagonal::stored(Numbers(4));
  const TrustRegionResult hard = trust_region(A, g, s, 3);
  CHECK(hard.hard_case && hard.on_boundary);
  CHECK_CLOSE(hard.multiplier, 2, 1e-8);
  const Numbers step = s.to_host();
  CHECK_CLOSE(step[1], -1.0 / 3, 1e-8);
  CHECK_CLOSE(std::fabs(step[0]), std::sqrt(9 - 1.0 / 9 - 1.0 / 25 - 1.0 / 49), 1e-8);
  const TrustRegionResult cut = trust_region(A, g, s, 3, {.method = TrustMethod::steihaug});
  CHECK(cut.decrease > 0 && cut.decrease <= hard.decrease);
  const TrustRegionResult inside = trust_region(ShiftedOperator(A, 4), g, s, 3);
  CHECK(!inside.on_boundary && inside.multiplier == 0);
  CHECK_THROWS(OptionError, trust_region(A, g, s, 0));
  CHECK_THROWS(OutputError, trust_region(A, g, g, 1));
}

TEST("the secular equation, next to its pole, too") {
  for (const double small : {0.0, 1e-300, 1e-15, 1e-8, 1e-2, 1.0}) {
    for (const double radius : {1e-8, 1e-2, 1.0, 1e3, 1e8}) {
      const Numbers d = {-1, 0.5, 2}, c = {small, 1, -1};
      const TrustSolution s = solve_trust_region(d, c, radius);
      double norm = 0;
      for (std::size_t i = 0; i < 3; ++i) {
        norm = std::hypot(norm, s.y[i]);
        CHECK_CLOSE((d[i] + s.multiplier) * s.y[i], -c[i], 1e-7);
      }
      CHECK(s.on_boundary && s.multiplier >= 1);
      CHECK_CLOSE(norm / radius, 1, 1e-12);
    }
  }
}
