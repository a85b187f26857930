// The sentences of a report.
#include "solve/ending.hpp"

#include <cstdio>

namespace hesscore {

using math::CgReason;

std::string_view name_of(Status status) {
  switch (status) {
    case Status::converged:
      return "converged";
    case Status::max_iterations:
      return "max_iterations";
    case Status::negative_curvature:
      return "negative_curvature";
    case Status::stopped:
      return "stopped";
    case Status::breakdown:
      return "breakdown";
    case Status::least_squares:
      return "least_squares";
    case Status::boundary:
      return "boundary";
  }
  return "unknown";
}

std::string text(double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.3g", value);
  return buffer;
}

namespace {

std::string breakdown(const Ending& e, const std::string& after) {
  switch (e.reason) {
    case CgReason::first_residual:
      return "The first residual is not finite: look for NaN or Inf in A, b or x.";
    case CgReason::preconditioner:
      return "r'Mr = " + text(e.value) + after +
             ", yet it must be positive: the preconditioner is not positive definite.";
    case CgReason::product:
      return "p'Ap = " + text(e.value) + after +
             ": the operator gave a product that is not finite.";
    default:
      return "The residual overflowed" + after + ": rescale the problem.";
  }
}

std::string sentence(const SolveReport& r, const Ending& e, double target) {
  const bool first = e.reason == CgReason::first_direction;
  const std::string after = " after " + std::to_string(r.iterations - first) + " iterations";
  switch (e.status) {
    case Status::converged:
      if (e.reason == CgReason::stalled) {
        return "The quadratic model gained too little to go on" + after + "; the residual is " +
               text(r.residual) + ".";
      }
      return "The residual " + text(r.residual) + " reached the tolerance " + text(target) + after +
             ".";
    case Status::max_iterations:
      return "The residual " + text(r.residual) + " is above the tolerance " + text(target) +
             after + ": allow more, add damping, use a preconditioner, or work in float64.";
    case Status::negative_curvature:
      return "p'Ap = " + text(e.value) + after +
             ": A is not positive definite; add damping, or use a method for indefinite systems.";
    case Status::stopped:
      return "The callback stopped it" + after + ".";
    case Status::breakdown:
      return breakdown(e, after);
    default:  // no ending of conjugate gradients
      return {};
  }
}

}  // namespace

void conclude(SolveReport& report, const Ending& ending, double target) {
  report.status = ending.status;
  report.message = sentence(report, ending, target);
}

}  // namespace hesscore
