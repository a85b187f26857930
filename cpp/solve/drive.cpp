// Reports of solvers whose scalars are on the device.
#include "solve/drive.hpp"

#include "solve/ending.hpp"

namespace hesscore {

using math::KrylovStatus;

namespace {

std::string sentence(const math::KrylovProgress& p) {
  const std::string after = " after " + std::to_string(p.iterations) + " iterations";
  const std::string residual = "The residual " + text(p.residual);
  switch (p.status) {
    case KrylovStatus::running:
      return "The callback stopped it" + after + ".";
    case KrylovStatus::converged:
      return residual + " reached the tolerance " + text(p.target) + after + ".";
    case KrylovStatus::least_squares:
      return residual + " is as small as it can be" + after + ": a least-squares solution.";
    case KrylovStatus::max_iterations:
      return residual + " is above the tolerance " + text(p.target) + after +
             ": allow more, add damping, use a preconditioner, or work in float64.";
    case KrylovStatus::negative_curvature:
      return "p'Ap = " + text(p.worth) + after + ": A is not positive definite.";
    case KrylovStatus::boundary:
      return "The boundary of the trust region was reached" + after + ".";
    case KrylovStatus::indefinite:
      return "r'Mr = " + text(p.worth) + after +
             ", yet it must be positive: the preconditioner is not positive definite.";
    case KrylovStatus::not_finite:
      return "A product is not finite" + after + ": look for NaN or Inf in A or b.";
  }
  return {};
}

Status status_of(KrylovStatus status) {
  switch (status) {
    case KrylovStatus::running:
      return Status::stopped;
    case KrylovStatus::converged:
      return Status::converged;
    case KrylovStatus::least_squares:
      return Status::least_squares;
    case KrylovStatus::max_iterations:
      return Status::max_iterations;
    case KrylovStatus::negative_curvature:
      return Status::negative_curvature;
    case KrylovStatus::boundary:
      return Status::boundary;
    default:
      return Status::breakdown;
  }
}

}  // namespace

SolveReport report_of(const math::KrylovProgress& p, std::vector<double> history, bool stopped) {
  SolveReport r;
  r.status = stopped ? Status::stopped : status_of(p.status);
  r.message = sentence(p);
  r.iterations = p.iterations;
  r.residual = p.residual;
  r.history = std::move(history);
  return r;
}

}  // namespace hesscore
