// Optimizer: the public face of the methods.
#include "hesscore/optim.hpp"

#include "optim/impl.hpp"
#include "optim/options.hpp"

namespace hesscore {

Optimizer::Optimizer(const Objective& f, Method method) {
  validate(method);
  impl_ = std::visit([&](const auto& m) { return make_method(f, m); }, method);
}

Optimizer::~Optimizer() = default;
Optimizer::Optimizer(Optimizer&&) noexcept = default;

StepInfo Optimizer::step(View w, const Batch& batch) { return impl_->step(w, batch, 0); }

std::int64_t Optimizer::run(View w, const Batch& data, const RunOptions& options,
                            std::int64_t epoch, std::int64_t first, std::int64_t count,
                            const std::function<bool(const StepInfo&)>& on_step) {
  if (first < 0) throw OptionError("first", "an integer >= 0", std::to_string(first));
  if (count < 0) throw OptionError("count", "an integer >= 0", std::to_string(count));
  impl_->check(w, data);
  MiniBatches& batches = impl_->mini_batches;
  batches.select(data, options, epoch);
  std::int64_t taken = 0;
  for (std::int64_t i = first; i < batches.count() && taken < count; ++i) {
    const StepInfo info = impl_->step(w, batches.batch(i), options.dropout_seed);
    ++taken;
    if (on_step && on_step(info)) break;
  }
  return taken;
}

Optimizer::State Optimizer::state() const { return impl_->state(); }
void Optimizer::load_state(const State& state) { impl_->load_state(state); }

}  // namespace hesscore
