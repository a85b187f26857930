// The inverse of an operator, by solves.
#include <mutex>

#include "backend/algebra.hpp"
#include "solve/cg.hpp"

namespace hesscore {

ConvergenceError::ConvergenceError(SolveReport r)
    : Error("The solve did not converge: " + r.message), report(std::move(r)) {}
ConvergenceError::~ConvergenceError() = default;

struct InverseOperator::Workspace {
  std::mutex mutex;
  CgWorkspace cg;
};

InverseOperator::InverseOperator(const LinearOperator& A, CgOptions options)
    : A_(A), options_(std::move(options)), workspace_(std::make_unique<Workspace>()) {}
InverseOperator::~InverseOperator() = default;

void InverseOperator::apply(const void* v, void* out, std::int64_t count) const {
  const std::lock_guard device_lock(device());  // the first one: callers may have it
  const std::lock_guard lock(workspace_->mutex);
  const auto row = static_cast<std::size_t>(size()) * size_of(dtype());
  Algebra(device(), dtype()).fill(0, out, count * size());
  for (std::size_t k = 0; k < static_cast<std::size_t>(count); ++k) {
    const View b(static_cast<const std::byte*>(v) + k * row, dtype(), {size()});
    const View x(static_cast<std::byte*>(out) + k * row, dtype(), {size()});
    SolveReport report = cg(A_, b, x, options_, workspace_->cg);
    if (report.status != Status::converged) throw ConvergenceError(std::move(report));
  }
}

}  // namespace hesscore
