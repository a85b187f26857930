// Optimizer: the public face of the methods.
#include "hesscore/optim.hpp"

#include "optim/impl.hpp"
#include "optim/options.hpp"

namespace hesscore {

Optimizer::Optimizer(const Objective& f, Method method, const StepOptions& options) {
  validate(method, options);
  impl_ = std::visit([&](const auto& m) { return make_method(f, m); }, method);
  impl_->set(options);
}

Optimizer::~Optimizer() = default;
Optimizer::Optimizer(Optimizer&&) noexcept = default;

StepInfo Optimizer::step(View w, const Batch& batch, const std::function<void()>& poll) {
  return impl_->step(w, batch, poll);
}

std::int64_t Optimizer::run(View w, const Batch& data, const RunOptions& options,
                            std::int64_t epoch, std::int64_t first, std::int64_t count,
                            const std::function<bool(const StepInfo&)>& on_step) {
  return impl_->run(w, data, options, epoch, first, count, on_step);
}

Vector Optimizer::ema() const { return impl_->ema(); }
Optimizer::State Optimizer::state() const { return impl_->state(); }
void Optimizer::load_state(const State& state) { impl_->load_state(state); }

}  // namespace hesscore
