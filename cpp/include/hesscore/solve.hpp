// Krylov solvers over any LinearOperator. Not converging is an outcome, told in the report.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "hesscore/linear_operator.hpp"

namespace hesscore {

// out = a A + b I, without forming anything; A must outlive it.
class HESSCORE_API ShiftedOperator : public LinearOperator {
 public:
  ShiftedOperator(const LinearOperator& a, double shift, double scale = 1);
  std::int64_t size() const override { return a_.size(); }
  DType dtype() const override { return a_.dtype(); }
  Device& device() const override { return a_.device(); }
  void apply(const void* v, void* out, std::int64_t count = 1) const override;
  std::unique_ptr<KrylovCoordinates> krylov_coordinates(const void* b) const override;
  Resident resident_cg(bool preconditioned) const override;

 private:
  const LinearOperator& a_;
  double shift_, scale_;
};

// Multiplication by a stored vector: diagonal preconditioners.
class HESSCORE_API DiagonalOperator : public LinearOperator {
 public:
  explicit DiagonalOperator(Vector d) : d_(std::move(d)) {}
  std::int64_t size() const override { return d_.size(); }
  DType dtype() const override { return d_.dtype(); }
  Device& device() const override { return d_.device(); }
  void apply(const void* v, void* out, std::int64_t count = 1) const override;
  const Vector& diagonal() const { return d_; }

 private:
  Vector d_;
};

// least_squares: no residual is smaller; boundary: of a trust region.
enum class Status {
  converged,
  max_iterations,
  negative_curvature,
  stopped,
  breakdown,
  least_squares,
  boundary
};
HESSCORE_API std::string_view name_of(Status status);  // "converged", "max_iterations", ...

struct SolveReport {
  Status status = Status::converged;
  std::string message;
  std::int64_t iterations = 0;
  double residual = 0;          // ||b - A x||_2, as the recurrence has it
  std::vector<double> history;  // residual norms, one for each iteration, the first at x0
  // phi(x) = x'Ax / 2 - b'x, likewise: of cg with one right-hand side, on a device only with the
  // operators of one batch
  std::vector<double> model;
};

// martens: stop also when the model has gained little of late (Martens 2010): after iteration i > k
// = max(10, i / 10), if phi(x_i) < 0 and (phi(x_i) - phi(x_{i-k})) / phi(x_i) < k * 5e-4.
enum class StopRule { residual, martens };

struct CgOptions {
  double rtol = 1e-5, atol = 0;  // stop at ||r|| <= max(rtol ||b||, atol)
  std::int64_t maxiter = 0;      // 0: 10 n
  StopRule stop = StopRule::residual;
  const LinearOperator* preconditioner = nullptr;  // approximates the inverse
  std::function<bool(std::int64_t iteration, double residual, View x)> callback = {};  // true: stop
  // Iterations at which the callback is wanted; empty: all. Each may cost the making of x, or a
  // halt of the device, which is why it may be asked about iterations ahead.
  std::function<bool(std::int64_t iteration)> callback_at = {};
  // Called at every iteration, on a device that iterates by itself after 1000 of them; may throw.
  std::function<void()> poll = {};
};

// A solver that was to converge did not.
class HESSCORE_API ConvergenceError : public Error {
 public:
  explicit ConvergenceError(SolveReport report);
  ~ConvergenceError() override;
  const SolveReport report;
};

// Preconditioned conjugate gradients (Hestenes & Stiefel 1952) for symmetric positive definite A.
// x: starting point in, solution out. Scalars are float64. On p'Ap <= 0 it stops with the last
// iterate (at the first iteration: takes the direction, which lowers the model) and says so. On NaN
// or Inf it stops with the last good iterate. Bad arguments throw; a zero b gives x = 0.
HESSCORE_API SolveReport cg(const LinearOperator& A, View b, View x, const CgOptions& options = {});

struct KrylovOptions {
  double rtol = 1e-5, atol = 0;                    // stop at ||r|| <= max(rtol ||b||, atol)
  std::int64_t maxiter = 0;                        // 0: a multiple of n
  const LinearOperator* preconditioner = nullptr;  // approximates the inverse
  std::function<bool(std::int64_t iteration, View x)> callback = {};  // true: stop
  std::function<void()> poll = {};  // called at every iteration; may throw
};

// Conjugate gradients for the rows of b (K, n) or (n,), which share passes of A; x likewise: starts
// in, solutions out. A row that is done stays as it is while others go on. On a device nothing is
// asked of it within an iteration.
HESSCORE_API std::vector<SolveReport> cg_rows(const LinearOperator& A, View b, View x,
                                              const KrylovOptions& options = {});

// (A + shift I) x = b for all shifts, x (shifts, n), in the Krylov space of one system, the one
// with the least shift (Frommer & Maass 1999): one product for each iteration. No preconditioner.
HESSCORE_API std::vector<SolveReport> cg_shifted(const LinearOperator& A, View b, View x,
                                                 const std::vector<double>& shifts,
                                                 const KrylovOptions& options = {});

// MINRES (Paige & Saunders 1975) for symmetric A, indefinite or singular; b and x as for cg_rows.
// Residuals are in the norm r'Mr. With an incompatible system it ends with status least_squares at
// ||A r|| <= rtol ||A|| ||r||.
HESSCORE_API std::vector<SolveReport> minres(const LinearOperator& A, View b, View x,
                                             const KrylovOptions& options = {});

enum class InverseMethod { cg, minres };  // minres: A may be indefinite

struct InverseOptions {
  InverseMethod method = InverseMethod::cg;
  double rtol = 1e-5, atol = 0;                    // stop at ||r|| <= max(rtol ||b||, atol)
  std::int64_t maxiter = 0;                        // 0: a multiple of n
  const LinearOperator* preconditioner = nullptr;  // approximates the inverse
  std::function<void()> poll = {};                 // called now and then; may throw
};

// The inverse of A as an operator: each product is a solve from zero, and rows share passes of A.
// Throws ConvergenceError where that does not converge. A must outlive it.
class HESSCORE_API InverseOperator : public LinearOperator {
 public:
  explicit InverseOperator(const LinearOperator& A, InverseOptions options = {});
  ~InverseOperator() override;
  std::int64_t size() const override { return A_.size(); }
  DType dtype() const override { return A_.dtype(); }
  Device& device() const override { return A_.device(); }
  void apply(const void* v, void* out, std::int64_t count = 1) const override;

 private:
  SolveReport solve_one(const View& b, const View& x) const;

  struct Workspace;
  const LinearOperator& A_;
  InverseOptions options_;
  std::unique_ptr<Workspace> workspace_;
};

struct LsmrOptions {
  double damp = 0, rtol = 1e-6, atol = 0;
  std::int64_t maxiter = 0;  // 0: 5 max(rows, cols)
  std::function<void()> poll = {};
};

// Minimises ||A x - b||^2 + damp^2 ||x||^2 by LSMR (Fong & Saunders 2011) from x = 0. It converges
// at ||r|| <= max(rtol ||b||, atol), and ends with status least_squares at ||A'r|| <= rtol ||A||
// ||r||, both for the damped system.
HESSCORE_API SolveReport lsmr(const LinearMap& A, View b, View x, const LsmrOptions& options = {});

struct LanczosOptions {
  std::int64_t steps = 0;       // at most n
  bool reorthogonalise = true;  // against the whole basis, which is then kept
  bool keep_basis = false;
  std::function<void()> poll = {};  // called at every step; may throw
};

// Row k of alpha and beta (K, steps) is the tridiagonal matrix T of run k, of which the first
// lengths[k] rows count: fewer than `steps` where an invariant subspace was found, and 0 for a
// start of zeros. A V = V T + beta[length - 1] v_length e', with V in the rows of basis[k] (K,
// steps + 1, n).
struct LanczosRuns {
  std::vector<double> alpha, beta;
  std::vector<std::int64_t> lengths;
  Vector basis;
  SolveReport report;
};

// The Lanczos process from every row of v (K, n): independent runs that share passes of A.
HESSCORE_API LanczosRuns lanczos(const LinearOperator& A, View v, const LanczosOptions& options);

// Algebraically largest or smallest, largest in magnitude, or half from each end.
enum class Which { largest, smallest, magnitude, both_ends };

struct EigshOptions {
  std::int64_t count = 6;  // eigenvalues, at most n
  Which which = Which::largest;
  double tol = 0;            // of residual norms, relative to ||A||; 0: rounding
  std::int64_t maxiter = 0;  // restarts; 0: 1000
  std::int64_t ncv = 0;      // vectors of the basis, count < ncv <= n or ncv = n; 0: chosen
  std::uint64_t seed = 0;    // of vectors that go on from an invariant subspace
  std::function<void()> poll = {};
};

struct EigshResult {
  std::vector<double> values, residuals;  // ascending; ||A x - value x|| of each pair
  Vector vectors;                         // rows (count, n)
  SolveReport report;                     // iterations: products; history: worst residual
};

// Thick-restart Lanczos (Wu & Simon 2000) from v (n,), with full reorthogonalisation.
HESSCORE_API EigshResult eigsh(const LinearOperator& A, View v, const EigshOptions& options = {});

enum class TrustMethod { gltr, steihaug };

struct TrustRegionOptions {
  TrustMethod method = TrustMethod::gltr;
  double rtol = 1e-6;        // of the Lagrangian's gradient, relative to ||g||
  std::int64_t maxiter = 0;  // gltr: of the basis, which is kept, 0: 100; steihaug: 0: 10 n
  bool hard_case = true;     // gltr: look for an eigenvector that the Krylov space of g misses
  const LinearOperator* preconditioner = nullptr;  // gltr: a DiagonalOperator
  std::function<void()> poll = {};
};

struct TrustRegionResult {
  SolveReport report;
  double decrease = 0;    // of the model g's + s'As / 2
  double multiplier = 0;  // (A + multiplier I) s = -g, A + multiplier I semidefinite; gltr alone
  bool on_boundary = false, hard_case = false;
};

// min g's + s'As / 2 with ||s|| <= radius, in the norm of the inverse preconditioner, for symmetric
// A: by the Lanczos process (Gould, Lucidi, Roma & Toint 1999) or truncated conjugate gradients
// (Steihaug 1983; Toint 1981).
HESSCORE_API TrustRegionResult trust_region(const LinearOperator& A, View g, View step,
                                            double radius, const TrustRegionOptions& options = {});

// From M pairs of steps and changes of the gradient, in the rows of W and G (M, n), G = H W:
// out = H^-1 z on the span of G and z itself on the rest, z + (W - G)'(G G')^+ G z with singular
// values of less than rtol times the largest one dropped (Arnold & Wang). Not symmetric unless the
// span is all. Inner products are summed, and their eigenproblem solved, in float64.
struct ReplicaReport {
  std::int64_t rank = 0;  // of G, as far as it is kept
  double slope = 0;       // <H^-1 z, z> of the part of z in the span: > 0 if the step descends
  double eigenvalue = 0;  // the largest Ritz value of H in the span of W
};
HESSCORE_API ReplicaReport replica_inverse(View W, View G, View z, View out, double rtol = 1e-2,
                                           Device& device = hesscore::device("cpu"));

}  // namespace hesscore
