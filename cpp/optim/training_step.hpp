// TrainingStep: a step of an element-wise method as one plan: gather the samples, evaluate, update.
#pragma once

#include <chrono>

#include "objective/impl.hpp"

namespace hesscore {

// What an element-wise method does with an evaluation.
struct DeviceUpdate {
  math::UpdateSpec spec;  // but for what a record says
  std::vector<DiagRequest> diag;
  const Vector *m = nullptr, *u = nullptr, *g = nullptr, *d = nullptr;
};

// Where a step finds its samples: at the ports of an evaluation, or gathered to there from the same
// ports of a data set, by numbers in memory of the device.
struct StepRows {
  Bindings batch;
  std::optional<Bindings> data = {};
  const std::int64_t* order = nullptr;
};

// Records of steps ahead, losses of those behind (in the dtype of w), and how many were done.
struct StepMemory {
  const math::StepRecord* records;
  std::byte* losses;
  std::int64_t* count;
};

// How many steps fill about 10 ms, found by doubling.
class Pace {
 public:
  explicit Pace(std::int64_t most) : most_(most) {}
  std::int64_t steps() const { return steps_; }
  void took(std::int64_t steps, std::chrono::duration<double> time);
  void restart() { steps_ = 1; }

 private:
  std::int64_t most_, steps_ = 1;
};

class TrainingStep {
 public:
  // As many of them are recorded as one.
  static constexpr std::int64_t kTogether = 32;

  TrainingStep(const Objective::Impl& f, const Request& r, const DeviceUpdate& u, bool gathers,
               std::int64_t most);

  void bind(const StepRows& rows, const DeviceUpdate& u);
  // Calls `steps` steps, one or kTogether, which read and write the front of `memory`.
  void run(std::int64_t steps, const StepMemory& memory);

  Pace pace;

 private:
  void bind(int port, const void* address);

  const std::size_t loss_bytes_;
  Plan plan_;
  Recordings together_;
  std::vector<const void*> bound_;  // what a recording depends on
};

}  // namespace hesscore
