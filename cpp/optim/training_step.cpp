// TrainingStep: emission, and recordings of many steps.
#include "optim/training_step.hpp"

namespace hesscore {
namespace {

enum : int {
  kPortMomentum = 200,
  kPortSecond,
  kPortCount,
  kPortOrder,
  kPortData,  // + port of the evaluation
};

bool is_sampled(int port) {
  return port == kPortY || port == kPortSampleWeight || (port >= kPortX && port < kPortDiag);
}

std::int64_t row_bytes(const Objective::Impl& f, const Request& r, int port) {
  const auto size = static_cast<std::int64_t>(size_of(r.dtype));
  if (port == kPortSampleWeight) return size;
  if (port == kPortY && !f.loss().labels) return size * element_count(f.loss().target);
  if (port == kPortY && r.soft) return size * element_count(f.loss().soft_target);
  if (port == kPortY) {
    return static_cast<std::int64_t>(sizeof(std::int64_t)) * element_count(f.loss().target);
  }
  const int node = f.graph().inputs()[static_cast<std::size_t>(port - kPortX)];
  return size * element_count(f.graph().nodes()[static_cast<std::size_t>(node)].shape);
}

Plan make_plan(const Objective::Impl& f, const Request& r, const DeviceUpdate& u, bool gathers) {
  Emit e(f.kernels(), r.dtype);
  const Operand record = e.external(kPortClock, sizeof(std::uint64_t));
  const auto gather = [&](int port) {
    if (!gathers) return;
    e.call<kernels::Gather>({e.external(kPortData + port), e.external(kPortOrder), record,
                             e.external(port), r.batch, row_bytes(f, r, port)});
  };
  for (std::size_t i = 0; i < f.graph().inputs().size(); ++i) gather(kPortX + static_cast<int>(i));
  gather(kPortY);
  if (r.weighted) gather(kPortSampleWeight);
  compose(r, f.graph(), f.loss(), e);
  const auto given = [&](const Vector* v, int port) { return v ? e.external(port) : Operand{}; };
  kernels::Update::Args update{.w = e.external(kPortW),
                               .m = given(u.m, kPortMomentum),
                               .u = given(u.u, kPortSecond),
                               .g = e.external(kPortGrad),
                               .d = given(u.d, kPortDiag),
                               .n = f.graph().num_params(),
                               .spec = u.spec};
  update.record = record;
  update.count = e.external(kPortCount);
  e.call<kernels::Update>(update);
  return Plan(std::move(e), f.device());
}

}  // namespace

void Pace::took(std::int64_t steps, std::chrono::duration<double> time) {
  constexpr std::chrono::duration<double> kLong = std::chrono::milliseconds(10);
  if (time > kLong) {
    steps_ = std::max<std::int64_t>(1, steps / 2);
  } else if (steps == steps_ && time < kLong / 2) {
    steps_ = std::min(2 * steps_, most_);
  }
}

TrainingStep::TrainingStep(const Objective::Impl& f, const Request& r, const DeviceUpdate& u,
                           bool gathers, std::int64_t most)
    : pace(most),
      loss_bytes_(size_of(r.dtype)),
      plan_(make_plan(f, r, u, gathers)),
      together_(f.device()) {}

void TrainingStep::bind(int port, const void* address) {
  plan_.bind(port, address);
  bound_.push_back(address);
}

void TrainingStep::bind(const StepRows& rows, const DeviceUpdate& u) {
  bound_.clear();
  for (const auto& [port, address] : rows.batch.ports) bind(port, address);
  if (rows.data) {
    for (const auto& [port, address] : rows.data->ports) {
      if (is_sampled(port)) bind(kPortData + port, address);
    }
    bind(kPortOrder, rows.order);
  }
  const auto bind_vector = [&](int port, const Vector* v) {
    if (v != nullptr) bind(port, v->data());
  };
  bind_vector(kPortMomentum, u.m);
  bind_vector(kPortSecond, u.u);
  bind_vector(kPortGrad, u.g);
  bind_vector(kPortDiag, u.d);
}

void TrainingStep::run(std::int64_t steps, const StepMemory& memory) {
  plan_.bind(kPortCount, memory.count);
  const auto one = [&](std::int64_t i) {
    plan_.bind(kPortClock, memory.records + i);
    plan_.bind(kPortLoss, memory.losses + static_cast<std::size_t>(i) * loss_bytes_);
    plan_.run();
  };
  if (steps == 1) return one(0);
  together_.run(bound_, [&] {
    for (std::int64_t i = 0; i < steps; ++i) one(i);
  });
}

}  // namespace hesscore
