// The Jacobian: plans linearised at one point, applied many times.
#include "curvature/jacobian_operator.hpp"

#include <algorithm>

#include "curvature/passes.hpp"

namespace hesscore {

JacobianOperator::JacobianOperator(const Objective& f, const View& w, const Inputs& x,
                                   const Mode& mode, bool snapshot)
    : impl_(f.impl()) {
  request_ = impl_.check_point(w, x, mode, point_);
  if (request_.batch == 0) throw ShapeError("x", "at least one sample", "a batch of 0");
  rows_ = request_.batch * element_count(impl_.output_shape());
  if (snapshot || !device().is_host()) {
    const View at = keep(w);
    Inputs copy;
    for (const auto& [name, array] : x.arrays) copy.arrays.emplace_back(name, keep(array));
    point_ = {};
    impl_.check_point(at, copy, mode, point_);
  }
  const std::uint64_t clock[] = {mode.seed, mode.step};
  clock_ = Buffer(device(), sizeof clock);
  device().from_host(clock_.data(), clock, sizeof clock);
  point_.add(kPortClock, clock_.data());
}

View JacobianOperator::keep(const View& v) {
  const auto bytes = static_cast<std::size_t>(element_count(v.shape)) * size_of(v.dtype);
  copies_.emplace_back(device(), bytes);
  device().copy(copies_.back().data(), v.data, bytes);
  return View(copies_.back().data(), v.dtype, v.shape);
}

Plan& JacobianOperator::plan(std::int64_t reps) const {
  const auto known = plans_.find(reps);
  if (known != plans_.end()) return *known->second;
  Request r = request_;
  r.reps = reps;
  Emit e(impl_.kernels(), r.dtype);
  compose_jacobian(r, impl_.graph(), e);
  auto plan = std::make_unique<Plan>(std::move(e), device());
  for (const auto& [port, address] : point_.ports) plan->bind(port, address);
  plan->run_phase(kJacobianLinearise);
  return *plans_.emplace(reps, std::move(plan)).first->second;
}

void JacobianOperator::run(std::size_t phase, const void* in, std::int64_t in_size, void* out,
                           std::int64_t out_size, std::int64_t count) const {
  const std::lock_guard device_lock(device());  // the first one: callers may have it
  const std::lock_guard lock(mutex_);
  const auto element = static_cast<std::int64_t>(size_of(dtype()));
  const std::int64_t most = vectors_per_pass(impl_.graph(), request_.batch, device().is_host());
  for (std::int64_t done = 0; done < count;) {
    const std::int64_t reps = std::min(most, count - done);
    Plan& p = plan(reps);
    p.bind(kPortV, static_cast<const std::byte*>(in) + done * in_size * element);
    p.bind(kPortOut, static_cast<std::byte*>(out) + done * out_size * element);
    p.run_phase(phase);
    done += reps;
  }
}

void JacobianOperator::apply(const void* v, void* out, std::int64_t count) const {
  run(kJacobianApply, v, cols(), out, rows(), count);
}

void JacobianOperator::apply_adjoint(const void* u, void* out, std::int64_t count) const {
  run(kJacobianAdjoint, u, rows(), out, cols(), count);
}

std::unique_ptr<LinearMap> jacobian(const Objective& f, View w, const Inputs& x, const Mode& mode,
                                    bool snapshot) {
  return std::make_unique<JacobianOperator>(f, w, x, mode, snapshot);
}

}  // namespace hesscore
