// The frame of steps and runs: by the device alone where it can, and with care where it must be.
#include <algorithm>
#include <utility>

#include "optim/impl.hpp"

namespace hesscore {
namespace {

void at_least(std::int64_t least, const char* name, std::int64_t value) {
  if (value >= least) return;
  throw OptionError(name, "an integer >= " + std::to_string(least), std::to_string(value));
}

}  // namespace

Request Optimizer::Impl::check(const View& w, const Batch& data, Bindings& b) const {
  Request request = f_.impl().check_point(w, data.x, {.train = true}, b);
  f_.impl().check_target(data, request, b);
  return request;
}

StepInfo Optimizer::Impl::careful_step(const View& w, const Batch& batch,
                                       std::uint64_t dropout_seed) {
  prepare(w);
  const auto taken = static_cast<std::uint64_t>(steps_);
  StepInfo info =
      attempt(w, batch, {.train = true, .seed = dropout_seed, .step = taken, .track = true});
  info.step = static_cast<std::int64_t>(taken) + 1;
  if (info.accepted) {
    if (mean_ != nullptr && !averages()) {
      const double keep = taken == 0 ? 0 : options_.ema;
      algebra_->axpby(1 - keep, w.data, keep, mean_->data(), n_);
    }
    steps_ += 1;
    f_.impl().accept_statistics();
  }
  return info;
}

class Optimizer::Impl::Listening {
 public:
  Listening(Impl& impl, const Poll& poll) : impl_(impl) { impl.poll_ = &poll; }
  ~Listening() { impl_.poll_ = &impl_.none_; }
  Listening(const Listening&) = delete;

 private:
  Impl& impl_;
};

StepInfo Optimizer::Impl::step(const View& w, const Batch& batch, const Poll& poll) {
  const Turns::Call turn(turns_);
  const Listening listening(*this, poll);
  if (!f_.device().is_host()) {
    prepare(w);
    Launch one;
    one.request = check(w, batch, one.rows.batch);
    const std::vector<double> loss = launch(std::move(one));
    if (!loss.empty()) return {.loss = loss[0], .step = static_cast<std::int64_t>(steps_)};
  }
  return careful_step(w, batch, 0);
}

std::int64_t Optimizer::Impl::run(const View& w, const Batch& data, const RunOptions& options,
                                  std::int64_t epoch, std::int64_t first, std::int64_t count,
                                  const OnStep& on_step) {
  const Turns::Call turn(turns_);
  const Listening listening(*this, options.poll);
  at_least(0, "first", first);
  at_least(0, "count", count);
  at_least(0, "steps_per_launch", options.steps_per_launch);
  Bindings ports;
  check(w, data, ports);
  mini_batches_.select(data, options, epoch);
  const std::int64_t batches = std::max<std::int64_t>(0, mini_batches_.count() - first);
  const std::int64_t steps = std::min(count, batches);
  if (steps > 0) check_rows(mini_batches_.rows(first + steps - 1));  // the smallest one
  std::int64_t taken = 0;
  late_ = nullptr;
  for (bool stop = false; taken < steps && !stop;) {
    if (late_ && steps_ == late_step_) std::rethrow_exception(std::exchange(late_, nullptr));
    const std::int64_t most = on_step && options.every_step ? 1 : steps - taken;
    const auto losses = launch_batches(w, first + taken, most, options);
    if (losses.empty()) {
      const Batch batch = mini_batches_.batch(first + taken++);
      const StepInfo info = careful_step(w, batch, options.dropout_seed);
      stop = on_step && on_step(info);
      continue;
    }
    taken += static_cast<std::int64_t>(losses.size());
    std::int64_t number =
        static_cast<std::int64_t>(steps_) - static_cast<std::int64_t>(losses.size());
    for (const double loss : losses) {
      ++number;
      if (on_step && on_step({.loss = loss, .step = number})) stop = true;
    }
  }
  late_ = nullptr;
  return taken;
}

std::vector<double> Optimizer::Impl::launch_batches(const View& w, std::int64_t first,
                                                    std::int64_t most, const RunOptions& options) {
  if (f_.device().is_host()) return {};
  prepare(w);
  EpochRows& source = mini_batches_.source();
  source.need(first);
  Launch l;
  check(w, source.data(), l.rows.data.emplace());
  l.request = check(w, mini_batches_.target(first), l.rows.batch);
  l.rows.order = source.order();
  l.rows.room = mini_batches_.room();
  l.first_row = source.first_row(first);
  l.most = std::min({most, source.together(first), mini_batches_.equal(first)});
  l.paced = options.steps_per_launch == 0;
  if (!l.paced) l.most = std::min(l.most, options.steps_per_launch);
  l.dropout_seed = options.dropout_seed;
  l.meanwhile = [&] { mini_batches_.anticipate(first); };
  return launch(std::move(l));
}

std::vector<double> Optimizer::Impl::launch(Launch l) {
  const std::optional<DeviceUpdate> update = device_update();
  if (!update) return {};
  if (!device_steps_) device_steps_ = std::make_unique<DeviceSteps>(f_, dtype_);
  l.request.grad = l.request.watched = true;
  l.request.tracked = !f_.graph().buffers().empty();
  l.request.diag = update->diag;
  TrainingStep& step = device_steps_->prepare(l.request, l.rows, *update);
  const auto ahead = records(l, l.paced ? step.pace.steps() : DeviceSteps::kMost);
  if (ahead.empty()) return {};
  std::vector<double> losses = device_steps_->run(step, ahead, l.meanwhile);
  steps_ += static_cast<double>(losses.size());
  return losses;
}

// A schedule that fails is told at its own step, after the ones before it, and not asked again: it
// may have been interrupted.
std::vector<math::StepRecord> Optimizer::Impl::records(const Launch& l, std::int64_t most) {
  std::vector<math::StepRecord> records;
  const auto taken = static_cast<std::uint64_t>(steps_);
  for (std::int64_t i = 0; i < std::min(most, l.most); ++i) {
    math::StepRecord r{.seed = l.dropout_seed, .step = taken + static_cast<std::uint64_t>(i)};
    r.first_row = l.first_row + i * l.request.batch;
    if (late_ && static_cast<double>(r.step) == late_step_) break;
    try {
      if (!describe(r)) break;
    } catch (...) {
      if (i == 0) throw;
      late_ = std::current_exception();
      late_step_ = static_cast<double>(r.step);
      break;
    }
    records.push_back(r);
  }
  return records;
}

}  // namespace hesscore
