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

enum class Status { converged, max_iterations, negative_curvature, stopped, breakdown };
HESSCORE_API std::string_view name_of(Status status);  // "converged", "max_iterations", ...

struct SolveReport {
  Status status = Status::converged;
  std::string message;
  std::int64_t iterations = 0;
  double residual = 0;          // ||b - A x||_2, as the recurrence has it
  std::vector<double> history;  // residual norms, one for each iteration, the first at x0
  std::vector<double> model;    // phi(x) = x'Ax / 2 - b'x, likewise
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
};

// A solver that was to converge did not.
class HESSCORE_API ConvergenceError : public Error {
 public:
  explicit ConvergenceError(SolveReport report);
  ~ConvergenceError() override;
  const SolveReport report;
};

// The inverse of a symmetric positive definite A as an operator: each product is a solve by
// conjugate gradients from zero. Throws ConvergenceError where that does not converge. A must
// outlive it.
class HESSCORE_API InverseOperator : public LinearOperator {
 public:
  explicit InverseOperator(const LinearOperator& A, CgOptions options = {});
  ~InverseOperator() override;
  std::int64_t size() const override { return A_.size(); }
  DType dtype() const override { return A_.dtype(); }
  Device& device() const override { return A_.device(); }
  void apply(const void* v, void* out, std::int64_t count = 1) const override;

 private:
  struct Workspace;
  const LinearOperator& A_;
  CgOptions options_;
  std::unique_ptr<Workspace> workspace_;
};

// Preconditioned conjugate gradients (Hestenes & Stiefel 1952) for symmetric positive definite A.
// x: starting point in, solution out. Scalars are float64. On p'Ap <= 0 it stops with the last
// iterate (at the first iteration: takes the direction, which lowers the model) and says so. On NaN
// or Inf it stops with the last good iterate. Bad arguments throw; a zero b gives x = 0.
HESSCORE_API SolveReport cg(const LinearOperator& A, View b, View x, const CgOptions& options = {});

}  // namespace hesscore
