// Conjugate gradients on a curvature matrix: one iteration, and the loop recorded from it.
#include "curvature/resident_product.hpp"

#include <cstddef>
#include <mutex>

#include "math/cg_state.hpp"
#include "objective/cg_plan.hpp"

namespace hesscore {
namespace {

constexpr std::int64_t kMostIterations = std::int64_t{1} << 40;  // the state has its own limit

std::unique_ptr<Plan> make_plan(const Objective::Impl& f, const Request& r, bool preconditioned) {
  Emit e(f.kernels(), r.dtype);
  compose_cg(r, f.graph(), f.loss(), e, preconditioned);
  return std::make_unique<Plan>(std::move(e), f.device());
}

}  // namespace

ResidentProduct::ResidentProduct(const Objective::Impl& f, const Request& request,
                                 bool preconditioned)
    : device_(f.device()), plan_(make_plan(f, request, preconditioned)) {
  const auto vector = [&] { return Vector(device_, request.dtype, f.graph().num_params()); };
  x = vector();
  r = vector();
  p = vector();
  if (preconditioned) d = vector();
  state = Buffer(device_, sizeof(math::CgState));
  plan_->bind(kCgX, x.data());
  plan_->bind(kCgResidual, r.data());
  plan_->bind(kCgDirection, p.data());
  plan_->bind(kCgDiagonal, d.data());
  plan_->bind(kCgState, state.data());
}

void ResidentProduct::linearise(const Bindings& point) {
  if (point.ports != point_.ports) {
    loop_.reset();
    warm_ = false;
    refusals_ = 0;
  }
  point_ = point;
  for (const auto& [port, address] : point.ports) plan_->bind(port, address);
  plan_->run_phase(kCgLinearise);
}

void ResidentProduct::start() { plan_->run_phase(kCgStart); }

void ResidentProduct::iterate() { plan_->run_phase(kCgIterate); }

// Work is recorded once it has run. What runs after the end of a solve changes nothing.
void ResidentProduct::run() {
  const std::lock_guard lock(device_);
  if (!warm_) iterate();
  warm_ = true;
  if (!loop_ && refusals_ < Recordings::kMostRefusals) {
    const auto* const go_on =
        static_cast<const std::byte*>(state.data()) + offsetof(math::CgState, go_on);
    loop_ = device_.record_loop([this] { iterate(); }, go_on, kMostIterations);
    if (!loop_) ++refusals_;
  }
  loop_ ? loop_->launch() : iterate();
}

}  // namespace hesscore
