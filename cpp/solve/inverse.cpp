// The inverse of an operator, by solves.
#include <algorithm>
#include <mutex>

#include "backend/algebra.hpp"
#include "solve/cg.hpp"

namespace hesscore {
namespace {

constexpr std::int64_t kMostRows = 16;  // solved at once

}  // namespace

ConvergenceError::ConvergenceError(SolveReport r)
    : Error("The solve did not converge: " + r.message), report(std::move(r)) {}
ConvergenceError::~ConvergenceError() = default;

struct InverseOperator::Workspace {
  std::mutex mutex;
  CgWorkspace cg;
};

InverseOperator::InverseOperator(const LinearOperator& A, InverseOptions options)
    : A_(A), options_(std::move(options)), workspace_(std::make_unique<Workspace>()) {}
InverseOperator::~InverseOperator() = default;

// Alone, where Krylov coordinates and a device's own loop may help.
SolveReport InverseOperator::solve_one(const View& b, const View& x) const {
  CgOptions options{.rtol = options_.rtol, .atol = options_.atol, .maxiter = options_.maxiter};
  options.preconditioner = options_.preconditioner;
  options.poll = options_.poll;
  return cg(A_, b, x, options, workspace_->cg);
}

void InverseOperator::apply(const void* v, void* out, std::int64_t count) const {
  const std::lock_guard device_lock(device());  // the first one: callers may have it
  const std::lock_guard lock(workspace_->mutex);
  const auto row = size() * static_cast<std::int64_t>(size_of(dtype()));
  Algebra(device(), dtype()).fill(0, out, count * size());
  KrylovOptions options{.rtol = options_.rtol, .atol = options_.atol, .maxiter = options_.maxiter};
  options.preconditioner = options_.preconditioner;
  options.poll = options_.poll;
  for (std::int64_t done = 0; done < count;) {
    const std::int64_t rows = std::min(kMostRows, count - done);
    const bool alone = rows == 1 && options_.method == InverseMethod::cg;
    const Shape shape = rows == 1 ? Shape{size()} : Shape{rows, size()};
    const View b(static_cast<const std::byte*>(v) + done * row, dtype(), shape);
    const View x(static_cast<std::byte*>(out) + done * row, dtype(), shape);
    std::vector<SolveReport> reports;
    if (alone) {
      reports.push_back(solve_one(b, x));
    } else {
      reports = options_.method == InverseMethod::cg ? cg_rows(A_, b, x, options)
                                                     : minres(A_, b, x, options);
    }
    for (SolveReport& report : reports) {
      if (report.status != Status::converged) throw ConvergenceError(std::move(report));
    }
    done += rows;
  }
}

}  // namespace hesscore
