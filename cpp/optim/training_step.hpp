// TrainingStep: a step of an element-wise method on a device: samples are gathered, for many steps
// at once if there is room; an evaluation and the update are one plan.
#pragma once

#include <chrono>

#include "objective/impl.hpp"

namespace hesscore {

// What an element-wise method does with an evaluation.
struct DeviceUpdate {
  math::UpdateSpec spec;  // but for what a record says
  std::vector<DiagRequest> diag;
  const Vector *m = nullptr, *u = nullptr, *g = nullptr, *d = nullptr, *mean = nullptr;
};

// Where a step finds its samples: at the ports of an evaluation, or gathered to there from the same
// ports of a data set, by numbers in memory of the device; there is room for so many batches.
struct StepRows {
  Bindings batch;
  std::optional<Bindings> data = {};
  const std::int64_t* order = nullptr;
  std::int64_t room = 1;
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
  // At most as many are recorded as one.
  static constexpr std::int64_t kTogether = 32;

  TrainingStep(const Objective::Impl& f, const Request& r, const DeviceUpdate& u,
               std::int64_t most);

  void bind(const StepRows& rows, const DeviceUpdate& u);
  // Calls so many steps, which read and write the front of `memory`.
  void run(std::int64_t steps, const StepMemory& memory);

  Pace pace;

 private:
  struct Samples {  // of one port
    int port;
    const void* from;
    std::byte* to;
    std::int64_t row;  // bytes
  };
  void bind(int port, const void* address);
  void gather(std::int64_t batches, const math::StepRecord* record) const;
  void step(std::int64_t place, std::int64_t i, const StepMemory& memory);
  std::int64_t row_bytes(int port) const;

  const Objective::Impl& f_;
  const Request request_;
  const Kernel<kernels::Gather> gather_;
  Plan plan_;
  Recordings recordings_;
  std::vector<Samples> samples_;  // to be gathered
  const std::int64_t* order_ = nullptr;
  std::int64_t room_ = 1;
  Recordings::Key bound_;  // what a recording depends on
};

}  // namespace hesscore
