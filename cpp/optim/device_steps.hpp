// DeviceSteps: many steps of an element-wise method without the host.
//
// The host uploads a record for each step, launches them all, and then reads the losses and how
// many steps were done. A result that is not moderate raises the device's alarm; from there on
// updates do nothing, so that w and the state are those before that step.
#pragma once

#include <exception>
#include <functional>
#include <map>
#include <memory>

#include "optim/host_buffer.hpp"
#include "optim/training_step.hpp"

namespace hesscore {

class DeviceSteps {
 public:
  static constexpr std::int64_t kMost = 1024;

  DeviceSteps(const Objective& f, DType dtype);

  TrainingStep& prepare(const Request& r, const StepRows& rows, const DeviceUpdate& u);

  // Takes the steps of these records, and calls `meanwhile` while the device is busy. Returns the
  // losses of the steps done, which are all unless the next one is for the careful path, or a
  // launch failed: what that threw is told when no step was done.
  std::vector<double> run(TrainingStep& step, const std::vector<math::StepRecord>& records,
                          const std::function<void()>& meanwhile = {});

 private:
  struct Launched {
    std::int64_t before = 0, last = 0;  // steps before the last launch, and in it
    std::exception_ptr error = {};
  };
  Launched launch(TrainingStep& step, std::int64_t steps);
  std::vector<double> read(const Launched& steps);
  std::size_t loss_bytes(std::int64_t n) const { return static_cast<std::size_t>(n) * loss_size_; }

  const Objective& f_;
  Device& device_;
  const std::size_t loss_size_;
  // The first records and losses are where launches find them; later ones are copied to and from.
  Buffer records_;
  Buffer results_;  // steps done so far, losses of a launch, losses of the launches before it
  HostBuffer inbox_;
  std::int64_t done_ = 0;
  std::map<Request, std::unique_ptr<TrainingStep>> steps_;
};

}  // namespace hesscore
