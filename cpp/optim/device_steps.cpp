// DeviceSteps: the order of uploads, launches and the one wait.
#include "optim/device_steps.hpp"

#include <cstring>
#include <mutex>

namespace hesscore {
namespace {

constexpr std::size_t kMaxPlans = 16;
constexpr std::int64_t kTogether = TrainingStep::kTogether;

// How many of the steps that are left go together: one of three sizes, so that recordings are few.
std::int64_t launch_size(std::int64_t left) {
  constexpr std::int64_t kFew = 8;
  return left >= kTogether ? kTogether : left >= kFew ? kFew : 1;
}

template <class T>
void append(std::vector<double>& to, const std::byte* from, std::int64_t n) {
  const T* values = reinterpret_cast<const T*>(from);
  to.insert(to.end(), values, values + n);
}

}  // namespace

DeviceSteps::DeviceSteps(const Objective& f, DType dtype)
    : f_(f),
      device_(f.device()),
      loss_size_(size_of(dtype)),
      records_(device_, kMost * sizeof(math::StepRecord)),
      results_(device_, sizeof done_ + loss_bytes(kTogether + kMost)),
      inbox_(device_, results_.bytes()) {
  device_.from_host(results_.data(), &done_, sizeof done_);
}

TrainingStep& DeviceSteps::prepare(const Request& r, const StepRows& rows, const DeviceUpdate& u) {
  auto it = steps_.find(r);
  if (it == steps_.end()) {
    if (steps_.size() >= kMaxPlans) steps_.clear();
    it = steps_.emplace(r, std::make_unique<TrainingStep>(f_.impl(), r, u, kMost)).first;
  }
  it->second->bind(rows, u);
  return *it->second;
}

std::vector<double> DeviceSteps::run(TrainingStep& step,
                                     const std::vector<math::StepRecord>& records,
                                     const std::function<void()>& meanwhile) {
  const std::lock_guard lock(device_);  // until the alarm, which all share, is clear again
  const auto begin = std::chrono::steady_clock::now();
  const auto steps = static_cast<std::int64_t>(records.size());
  device_.from_host(records_.data(), records.data(), records.size() * sizeof(math::StepRecord));
  const Launched launched = launch(step, steps);
  try {
    if (meanwhile) meanwhile();
  } catch (const std::exception&) {  // what fails here fails again where it is needed
  }
  std::vector<double> losses = read(launched);
  step.pace.took(steps, std::chrono::steady_clock::now() - begin);
  if (losses.size() < records.size()) {
    device_.clear_alarm();
    step.pace.restart();
  }
  if (launched.error && losses.empty()) std::rethrow_exception(launched.error);
  return losses;
}

// What one launch throws, after some of its steps or after other launches, is for `run` to weigh.
DeviceSteps::Launched DeviceSteps::launch(TrainingStep& step, std::int64_t steps) {
  const auto* records = static_cast<const math::StepRecord*>(records_.data());
  auto* losses = static_cast<std::byte*>(results_.data()) + sizeof done_;
  const StepMemory memory{records, losses, static_cast<std::int64_t*>(results_.data())};
  Launched l;
  try {
    for (;;) {
      l.last = launch_size(steps - l.before);
      if (l.before > 0) {
        device_.copy(records_.data(), records + l.before,
                     static_cast<std::size_t>(l.last) * sizeof(math::StepRecord));
      }
      step.run(l.last, memory);
      if (l.before + l.last == steps) return l;
      device_.copy(losses + loss_bytes(kTogether + l.before), losses, loss_bytes(l.last));
      l.before += l.last;
    }
  } catch (...) {
    l.error = std::current_exception();
  }
  return l;
}

// The one wait. Losses of the last launch are still where it put them.
std::vector<double> DeviceSteps::read(const Launched& steps) {
  const auto& [before, last, error] = steps;
  const auto* inbox = static_cast<const std::byte*>(inbox_.data());
  device_.to_host(inbox_.data(), results_.data(),
                  sizeof done_ + loss_bytes(before > 0 ? kTogether + before : last));
  const auto add = loss_size_ == sizeof(float) ? &append<float> : &append<double>;
  std::vector<double> losses;
  add(losses, inbox + sizeof done_ + loss_bytes(kTogether), before);
  add(losses, inbox + sizeof done_, last);

  std::int64_t done = 0;
  std::memcpy(&done, inbox, sizeof done);
  losses.resize(static_cast<std::size_t>(done - std::exchange(done_, done)));
  return losses;
}

}  // namespace hesscore
