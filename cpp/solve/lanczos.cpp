// The Lanczos process for its tridiagonal matrices.
#include "solve/lanczos_process.hpp"

#include <algorithm>

#include "solve/checks.hpp"

namespace hesscore {
namespace {

constexpr std::int64_t kLook = 16;  // a device is asked so seldom whether all runs are over

bool all_over(const LanczosProcess& process) {
  for (std::int64_t k = 0; k < process.runs(); ++k) {
    if (process.state(k).done == 0) return false;
  }
  return true;
}

void tell(LanczosRuns& runs, const LanczosProcess& process, std::int64_t steps) {
  std::int64_t shortest = steps;
  bool finite = true;
  for (std::int64_t k = 0; k < process.runs(); ++k) {
    const math::LanczosState& s = process.state(k);
    runs.lengths.push_back(s.done != 0 ? s.length : steps);
    shortest = std::min(shortest, runs.lengths.back());
    finite = finite && s.finite != 0;
  }
  SolveReport& r = runs.report;
  r.iterations = process.length();
  for (std::int64_t j = 0; j < r.iterations; ++j) r.history.push_back(process.beta()[j]);
  r.residual = r.history.empty() ? 0 : r.history.back();
  if (!finite) {
    r.status = Status::breakdown;
    r.message = "The operator gave a product that is not finite.";
  } else if (shortest < steps) {
    r.message = "An invariant subspace of dimension " + std::to_string(shortest) + " was found.";
  } else {
    r.message = std::to_string(steps) + " steps were done.";
  }
}

}  // namespace

LanczosRuns lanczos(const LinearOperator& A, View v, const LanczosOptions& options) {
  check_vector("v0", v, A, /*rows=*/true);
  check_count("k", options.steps, 1, A.size());
  const std::int64_t runs = v.shape.size() == 2 ? v.shape[0] : 1, steps = options.steps;
  LanczosProcess process(A, runs, steps, options.keep_basis, options.reorthogonalise);
  process.start(v.data);
  while (process.length() < steps) {
    if (options.poll) options.poll();
    process.extend();
    if (!A.device().is_host() && process.length() % kLook != 0) continue;
    process.look();
    if (all_over(process)) break;
  }
  process.look();
  LanczosRuns result;
  tell(result, process, steps);
  for (std::int64_t k = 0; k < runs; ++k) {
    const std::int64_t length = result.lengths[static_cast<std::size_t>(k)];
    for (auto [to, from] :
         {std::pair(&result.alpha, process.alpha(k)), std::pair(&result.beta, process.beta(k))}) {
      to->insert(to->end(), from, from + length);
      to->insert(to->end(), static_cast<std::size_t>(steps - length), 0.0);
    }
  }
  if (options.keep_basis) result.basis = process.take_basis();
  return result;
}

}  // namespace hesscore
