// Trust regions by the Lanczos process: GLTR (Gould, Lucidi, Roma & Toint 1999).
#include <algorithm>
#include <cmath>
#include <memory>
#include <random>

#include "backend/lapack.hpp"
#include "solve/checks.hpp"
#include "solve/ending.hpp"
#include "solve/lanczos_process.hpp"
#include "solve/steihaug.hpp"
#include "solve/trust_subspace.hpp"

namespace hesscore {
namespace {

constexpr std::int64_t kBasis = 100;  // vectors, where nothing else is said

// C A C for a diagonal C.
class ScaledOperator final : public LinearOperator {
 public:
  ScaledOperator(const LinearOperator& A, const Vector& c)
      : A_(A), c_(c), algebra_(A.device(), A.dtype()) {}
  std::int64_t size() const override { return A_.size(); }
  DType dtype() const override { return A_.dtype(); }
  Device& device() const override { return A_.device(); }
  void apply(const void* v, void* out, std::int64_t count) const override {
    const Vector scaled(device(), dtype(), count * size());
    algebra_.multiply(c_.data(), v, scaled.data(), size(), count);
    A_.apply(scaled.data(), out, count);
    algebra_.multiply(c_.data(), out, out, size(), count);
  }

 private:
  const LinearOperator& A_;
  const Vector& c_;
  Algebra algebra_;
};

class Gltr {
 public:
  Gltr(const LinearOperator& A, const void* g, void* step, double radius,
       const TrustRegionOptions& o)
      : A_(A),
        g_(g),
        step_(step),
        radius_(radius),
        o_(o),
        n_(A.size()),
        algebra_(A.device(), A.dtype()),
        size_(algebra_.norm(g, n_)),
        limit_(o.maxiter > 0 ? std::min(o.maxiter, n_) : std::min(n_, kBasis)),
        process_(A, 1, limit_, /*keep=*/true, /*reorthogonalise=*/true) {}

  TrustRegionResult run();

 private:
  void span();
  bool look();
  void solve();
  double last_residual() const;
  void seek_leftmost();
  EigshResult leftmost(const Vector& v, double tol, std::int64_t rounds);
  void border(const Vector& u);
  void make_step();
  void tell();
  double epsilon() const { return A_.dtype() == DType::f32 ? 0x1p-23 : 0x1p-52; }

  const LinearOperator& A_;
  const void* g_;
  void* step_;
  double radius_;
  const TrustRegionOptions& o_;
  std::int64_t n_;
  Algebra algebra_;
  double size_;  // ||g||
  std::int64_t limit_;
  LanczosProcess process_;

  std::int64_t m_ = 0;  // vectors of the Krylov space
  Vector extra_;        // and one more, with its column of the matrix
  std::vector<double> column_;
  std::vector<double> rows_, values_;
  TrustSolution solution_;
  TrustRegionResult result_;
};

// The matrix of the subspace, its eigenvectors and the solution in them.
void Gltr::solve() {
  const std::int64_t k = m_ + (column_.empty() ? 0 : 1);
  const auto at = [&](std::int64_t i, std::int64_t j) -> double& {
    return rows_[static_cast<std::size_t>(i * k + j)];
  };
  rows_.assign(static_cast<std::size_t>(k * k), 0);
  values_.assign(static_cast<std::size_t>(k), 0);
  for (std::int64_t i = 0; i < m_; ++i) {
    at(i, i) = process_.alpha()[i];
    if (i > 0) at(i, i - 1) = process_.beta()[i - 1];
  }
  for (std::int64_t i = 0; k > m_ && i < k; ++i) at(m_, i) = column_[static_cast<std::size_t>(i)];
  if (k > 0 && lapack::symmetric_eigen(rows_.data(), values_.data(), k) != 0) {
    throw Error("the eigenvalues of the tridiagonal matrix did not converge");
  }
  std::vector<double> c(static_cast<std::size_t>(k));
  for (std::int64_t i = 0; m_ > 0 && i < k; ++i) c[static_cast<std::size_t>(i)] = size_ * at(i, 0);
  solution_ = solve_trust_region(values_, c, radius_, epsilon());
}

// ||(A + multiplier I) s + g||, all of which lies along the next vector of the basis.
double Gltr::last_residual() const {
  double last = 0;
  for (std::int64_t i = 0; i < m_; ++i) {
    last +=
        solution_.y[static_cast<std::size_t>(i)] * rows_[static_cast<std::size_t>(i * m_ + m_ - 1)];
  }
  return std::fabs(process_.beta()[m_ - 1] * last);
}

// True when the Krylov space is large enough, or ends.
bool Gltr::look() {
  process_.look();
  const math::LanczosState& s = process_.state();
  if (s.finite == 0) {
    result_.report.status = Status::breakdown;
    return true;
  }
  m_ = s.done != 0 ? s.length : process_.length();
  solve();
  result_.report.history.push_back(last_residual());
  return s.done != 0 || result_.report.history.back() <= o_.rtol * size_;
}

void Gltr::span() {
  process_.start(g_);
  std::int64_t next = A_.device().is_host() ? 1 : 8;
  while (process_.length() < limit_) {
    if (o_.poll) o_.poll();
    process_.extend();
    const std::int64_t length = process_.length();
    if (length < next && length < limit_) continue;
    if (look()) break;
    next = length + std::max<std::int64_t>(length / 8, A_.device().is_host() ? 1 : 8);
  }
  result_.report.iterations = process_.length();
}

EigshResult Gltr::leftmost(const Vector& v, double tol, std::int64_t rounds) {
  EigshResult found = eigsh(A_, v,
                            {.count = 1,
                             .which = Which::smallest,
                             .tol = tol,
                             .maxiter = rounds,
                             .seed = 1,
                             .poll = o_.poll});
  result_.report.iterations += found.report.iterations + 1;
  return found;
}

// The Krylov space of g has nothing of eigenvectors orthogonal to g. The solution is a global one
// if A + multiplier I is positive semidefinite; else the leftmost eigenvector belongs to the
// subspace.
void Gltr::seek_leftmost() {
  std::mt19937_64 generator(0);
  std::normal_distribution<double> normal;
  std::vector<double> numbers(static_cast<std::size_t>(n_));
  for (double& x : numbers) x = normal(generator);
  Vector start(A_.device(), A_.dtype(), n_);
  start.from_host(numbers);
  EigshResult found = leftmost(start, 1e-2, 3);
  if (found.values.empty()) return;
  double scale = std::fabs(found.values[0]);
  for (const double v : values_) scale = std::max(scale, std::fabs(v));
  const double noise = 64 * epsilon() * scale;
  if (found.values[0] >= -solution_.multiplier - noise) return;
  found = leftmost(found.vectors, std::max(o_.rtol * 1e-2, 0.0), 100);
  border(found.vectors);
  solve();
}

// Makes u orthogonal to the basis and takes it in.
void Gltr::border(const Vector& u) {
  extra_ = Vector(A_.device(), A_.dtype(), n_);
  algebra_.copy(u.data(), extra_.data(), n_);
  for (int twice = 0; twice < 2; ++twice) {
    for (std::int64_t i = 0; i < m_; ++i) {
      const double along = algebra_.dot(process_.basis(i), extra_.data(), n_);
      algebra_.axpby(-along, process_.basis(i), 1, extra_.data(), n_);
    }
    const double size = algebra_.norm(extra_.data(), n_);
    if (!(size > 1e-6)) return;  // it is in the Krylov space
    algebra_.scale(1 / size, extra_.data(), extra_.data(), n_);
  }
  const Vector w(A_.device(), A_.dtype(), n_);
  A_.apply(extra_.data(), w.data());
  for (std::int64_t i = 0; i < m_; ++i) {
    column_.push_back(algebra_.dot(process_.basis(i), w.data(), n_));
  }
  column_.push_back(algebra_.dot(extra_.data(), w.data(), n_));
}

void Gltr::make_step() {
  algebra_.fill(0, step_, n_);
  const std::int64_t k = static_cast<std::int64_t>(values_.size());
  for (std::int64_t j = 0; j < k; ++j) {
    double h = 0;
    for (std::int64_t i = 0; i < k; ++i) {
      h += solution_.y[static_cast<std::size_t>(i)] * rows_[static_cast<std::size_t>(i * k + j)];
    }
    algebra_.axpby(h, j < m_ ? process_.basis(j) : extra_.data(), 1, step_, n_);
  }
}

// Model and residual by one more product.
void Gltr::tell() {
  SolveReport& r = result_.report;
  const Vector w(A_.device(), A_.dtype(), n_);
  A_.apply(step_, w.data());
  const double model = algebra_.dot(step_, w.data(), n_) / 2 + algebra_.dot(g_, step_, n_);
  algebra_.axpby(solution_.multiplier, step_, 1, w.data(), n_);
  algebra_.axpby(1, g_, 1, w.data(), n_);
  result_.decrease = -model;
  result_.multiplier = solution_.multiplier;
  result_.on_boundary = solution_.on_boundary;
  result_.hard_case = solution_.hard_case;
  r.residual = algebra_.norm(w.data(), n_);
  const bool held =
      r.history.empty() || r.history.back() <= o_.rtol * size_ || process_.state().done != 0;
  r.status = held ? Status::converged : Status::max_iterations;
  r.message = std::string("The step is ") + (result_.on_boundary ? "on the boundary" : "inside") +
              " after " + std::to_string(r.iterations) + " products; the gradient of the " +
              "Lagrangian is " + text(r.residual) +
              (held ? "." : ", above the tolerance: allow a larger subspace.");
}

TrustRegionResult Gltr::run() {
  if (size_ > 0) span();
  if (result_.report.status == Status::breakdown) {
    algebra_.fill(0, step_, n_);
    result_.report.message = "The operator gave a product that is not finite.";
    return std::move(result_);
  }
  if (o_.hard_case) seek_leftmost();
  make_step();
  tell();
  return std::move(result_);
}

TrustRegionResult truncated(const LinearOperator& A, const View& g, const View& step, double radius,
                            const TrustRegionOptions& o) {
  const Algebra algebra(A.device(), A.dtype());
  const Vector b(A.device(), A.dtype(), A.size());
  algebra.scale(-1, g.data, b.data(), A.size());
  algebra.fill(0, step.data, A.size());
  const SteihaugResult found = steihaug(
      A, b, step, radius,
      {.rtol = o.rtol, .maxiter = o.maxiter, .preconditioner = o.preconditioner, .poll = o.poll});
  TrustRegionResult result{.report = found.report, .decrease = -found.model};
  const Status s = found.report.status;
  result.on_boundary = s == Status::boundary || s == Status::negative_curvature;
  return result;
}

TrustRegionResult gltr(const LinearOperator& A, const View& g, const View& step, double radius,
                       const TrustRegionOptions& o) {
  if (o.preconditioner == nullptr) return Gltr(A, g.data, step.data, radius, o).run();
  const auto* const M = dynamic_cast<const DiagonalOperator*>(o.preconditioner);
  if (M == nullptr) throw OptionError("M", "a diagonal for method gltr", "another operator");
  const Algebra algebra(A.device(), A.dtype());
  const Vector c(A.device(), A.dtype(), A.size()), scaled(A.device(), A.dtype(), A.size());
  algebra.power(M->diagonal().data(), 0, 0.5, c.data(), A.size());
  algebra.multiply(c.data(), g.data, scaled.data(), A.size());
  TrustRegionResult result = Gltr(ScaledOperator(A, c), scaled.data(), step.data, radius, o).run();
  algebra.multiply(c.data(), step.data, step.data, A.size());
  return result;
}

}  // namespace

TrustRegionResult trust_region(const LinearOperator& A, View g, View step, double radius,
                               const TrustRegionOptions& o) {
  check_vector("g", g, A);
  check_vector("step", step, A);
  if (g.data == step.data) throw OutputError("step", "memory of its own", "the memory of g");
  check_krylov(A, {.rtol = o.rtol, .maxiter = o.maxiter, .preconditioner = o.preconditioner});
  if (!(radius > 0 && std::isfinite(radius))) {
    throw OptionError("radius", "a finite number > 0", text(radius));
  }
  return o.method == TrustMethod::gltr ? gltr(A, g, step, radius, o)
                                       : truncated(A, g, step, radius, o);
}

}  // namespace hesscore
