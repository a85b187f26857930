// Thick-restart Lanczos (Wu & Simon 2000).
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "backend/lapack.hpp"
#include "solve/checks.hpp"
#include "solve/ending.hpp"
#include "solve/lanczos_process.hpp"

namespace hesscore {
namespace {

std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

EigshOptions completed(const LinearOperator& A, EigshOptions o) {
  const std::int64_t n = A.size();
  check_count("k", o.count, 1, n);
  check_tolerance("tol", o.tol);
  if (o.maxiter < 0) throw OptionError("maxiter", "an integer >= 0", std::to_string(o.maxiter));
  if (o.ncv == 0) o.ncv = std::min(n, std::max<std::int64_t>(2 * o.count + 1, 20));
  check_count("ncv", o.ncv, std::min(o.count + 1, n), n);
  if (o.maxiter == 0) o.maxiter = 1000;
  if (o.tol == 0) {
    o.tol = 4 * (A.dtype() == DType::f32 ? std::numeric_limits<float>::epsilon()
                                         : std::numeric_limits<double>::epsilon());
  }
  return o;
}

class Eigsh {
 public:
  Eigsh(const LinearOperator& A, const EigshOptions& options)
      : A_(A),
        o_(completed(A, options)),
        n_(A.size()),
        algebra_(A.device(), A.dtype()),
        process_(A, 1, o_.ncv, /*keep=*/true, /*reorthogonalise=*/true),
        generator_(o_.seed) {}

  EigshResult run(const void* v);

 private:
  void fill();
  void go_on_at_random();
  void decompose();
  void order();
  std::int64_t converged() const;
  Vector rotate(const std::vector<std::int64_t>& rows) const;
  void restart(std::int64_t good);
  EigshResult finish();
  void true_residuals(EigshResult& result) const;

  const LinearOperator& A_;
  const EigshOptions o_;
  std::int64_t n_;
  Algebra algebra_;
  LanczosProcess process_;
  std::mt19937_64 generator_;

  // T has thetas_ on the diagonal for the kept pairs, which arrow_ ties to the next vector.
  std::vector<double> thetas_, arrow_;
  std::vector<double> beta_;  // below the diagonal, beyond the kept pairs
  std::vector<double> values_, rows_, errors_;
  std::vector<std::int64_t> order_;
  std::int64_t size_ = 0;
  SolveReport report_;
};

// Steps until the basis is full. Behind an invariant subspace it goes on with a random vector, so
// that multiple eigenvalues are found as often as they are there.
void Eigsh::fill() {
  const bool on_host = A_.device().is_host();
  while (process_.length() < o_.ncv) {
    if (o_.poll) o_.poll();
    process_.extend();
    ++report_.iterations;
    if (!on_host && process_.length() < o_.ncv) continue;
    process_.look();
    const math::LanczosState& s = process_.state();
    if (s.finite == 0) return;
    if (s.done != 0 && s.length < o_.ncv) go_on_at_random();
  }
  process_.look();
}

void Eigsh::go_on_at_random() {
  std::normal_distribution<double> normal;
  std::vector<double> numbers(index(n_));
  for (double& x : numbers) x = normal(generator_);
  Vector v(A_.device(), A_.dtype(), n_);
  v.from_host(numbers);
  process_.restart(process_.state().length, v.data());
}

// T = Y' diag(values) Y with Y in rows_, and |beta y_m|, the residual norm of each Ritz pair.
void Eigsh::decompose() {
  const std::int64_t m = size_ = process_.length(),
                     kept = static_cast<std::int64_t>(thetas_.size());
  rows_.assign(index(m * m), 0);
  values_.assign(index(m), 0);
  errors_.assign(index(m), 0);
  for (std::int64_t i = 0; i < m; ++i) {
    rows_[index(i * m + i)] = i < kept ? thetas_[index(i)] : process_.alpha()[i];
    if (i < kept && kept < m) rows_[index(kept * m + i)] = arrow_[index(i)];
    if (i > kept) rows_[index(i * m + i - 1)] = process_.beta()[i - 1];
  }
  if (lapack::symmetric_eigen(rows_.data(), values_.data(), m) != 0) {
    throw Error("the eigenvalues of the tridiagonal matrix did not converge");
  }
  const double beta = process_.beta()[m - 1];
  for (std::int64_t i = 0; i < m; ++i) {
    errors_[index(i)] = std::fabs(beta * rows_[index(i * m + m - 1)]);
  }
}

// Ritz pairs by rank: those wanted come first.
void Eigsh::order() {
  order_.resize(index(size_));
  std::iota(order_.begin(), order_.end(), 0);
  const auto by = [&](auto key) {
    std::stable_sort(order_.begin(), order_.end(),
                     [&](std::int64_t i, std::int64_t j) { return key(i) > key(j); });
  };
  const auto value = [&](std::int64_t i) { return values_[index(i)]; };
  switch (o_.which) {
    case Which::largest:
      return by(value);
    case Which::smallest:
      return by([&](std::int64_t i) { return -value(i); });
    case Which::magnitude:
      return by([&](std::int64_t i) { return std::fabs(value(i)); });
    case Which::both_ends:  // by turns, the high end first
      return by([&](std::int64_t i) { return std::max(2 * i - 2 * size_ + 2, -2 * i - 1); });
  }
}

std::int64_t Eigsh::converged() const {
  const double norm = std::max(std::fabs(values_.front()), std::fabs(values_.back()));
  std::int64_t good = 0;
  for (std::int64_t i = 0; i < o_.count; ++i) {
    good += errors_[index(order_[index(i)])] <= o_.tol * norm ? 1 : 0;
  }
  return good;
}

// The Ritz vectors of these rows of Y.
Vector Eigsh::rotate(const std::vector<std::int64_t>& rows) const {
  const auto count = static_cast<std::int64_t>(rows.size());
  std::vector<double> y;
  for (const std::int64_t i : rows) {
    y.insert(y.end(), rows_.begin() + i * size_, rows_.begin() + (i + 1) * size_);
  }
  Vector coefficients(A_.device(), A_.dtype(), count * size_);
  coefficients.from_host(y);
  Vector out(A_.device(), A_.dtype(), count * n_);
  KrylovKernels(A_.device(), A_.dtype())
      .product({.a = In(coefficients.data()),
                .b = In(process_.basis(0)),
                .c = Out(out.data()),
                .m = count,
                .n = n_,
                .k = size_});
  return out;
}

// Keeps the wanted pairs, and as many more as have converged, up to half of the others.
void Eigsh::restart(std::int64_t good) {
  const std::int64_t kept = std::min(o_.count + std::min(good, (size_ - o_.count) / 2), size_ - 1);
  std::vector<std::int64_t> rows(order_.begin(), order_.begin() + kept);
  const Vector ritz = rotate(rows);
  algebra_.copy(process_.basis(size_), process_.basis(kept), n_);
  algebra_.copy(ritz.data(), process_.basis(0), kept * n_);
  const double beta = process_.beta()[size_ - 1];
  thetas_.clear();
  arrow_.clear();
  for (const std::int64_t i : rows) {
    thetas_.push_back(values_[index(i)]);
    arrow_.push_back(beta * rows_[index(i * size_ + size_ - 1)]);
  }
  process_.restart(kept);
}

EigshResult Eigsh::run(const void* v) {
  process_.start(v);
  process_.look();
  if (process_.state().done != 0) go_on_at_random();  // v is zero
  for (std::int64_t round = 0;; ++round) {
    fill();
    if (process_.state().finite == 0) {
      report_.status = Status::breakdown;
      report_.message = "The operator gave a product that is not finite.";
      return {.report = report_};
    }
    decompose();
    order();
    double worst = 0;
    for (std::int64_t i = 0; i < o_.count; ++i) {
      worst = std::max(worst, errors_[index(order_[index(i)])]);
    }
    report_.history.push_back(worst);
    const std::int64_t good = converged();
    if (good == o_.count) break;
    if (round + 1 >= o_.maxiter) {
      report_.status = Status::max_iterations;
      break;
    }
    restart(good);
  }
  return finish();
}

EigshResult Eigsh::finish() {
  std::vector<std::int64_t> rows(order_.begin(), order_.begin() + o_.count);
  std::sort(rows.begin(), rows.end());
  EigshResult result;
  result.vectors = rotate(rows);
  for (const std::int64_t i : rows) result.values.push_back(values_[index(i)]);
  true_residuals(result);
  report_.residual = *std::max_element(result.residuals.begin(), result.residuals.end());
  const std::string after = " after " + std::to_string(report_.iterations) + " products";
  const std::string found = std::to_string(converged()) + " of " + std::to_string(o_.count);
  report_.message =
      report_.status == Status::converged
          ? "All eigenpairs converged" + after + "."
          : found + " eigenpairs converged" + after + ": allow more restarts, or a larger basis.";
  result.report = std::move(report_);
  return result;
}

// ||A x - value x||, by one product more for each pair.
void Eigsh::true_residuals(EigshResult& result) const {
  Vector r(A_.device(), A_.dtype(), o_.count * n_);
  A_.apply(result.vectors.data(), r.data(), o_.count);
  for (std::int64_t i = 0; i < o_.count; ++i) {
    void* const row = advanced(r.data(), i * n_, A_.dtype());
    algebra_.axpby(-result.values[index(i)], advanced(result.vectors.data(), i * n_, A_.dtype()), 1,
                   row, n_);
    result.residuals.push_back(algebra_.norm(row, n_));
  }
}

}  // namespace

EigshResult eigsh(const LinearOperator& A, View v, const EigshOptions& options) {
  check_vector("v0", v, A);
  return Eigsh(A, options).run(v.data);
}

}  // namespace hesscore
