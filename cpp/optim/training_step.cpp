// TrainingStep: emission, and recordings of many steps.
#include "optim/training_step.hpp"

#include <algorithm>

#include "backend/keys/krylov.hpp"

namespace hesscore {
namespace {

// A library's choice of a kernel for a product may depend on alignment up to this, and so may the
// last bits: batches side by side are used if they are all aligned alike.
constexpr std::int64_t kAlignment = 256;
constexpr std::int64_t kIntegerBytes = sizeof(std::int64_t);

enum : int { kPortMomentum = 128, kPortSecond, kPortCount, kPortAverage };

bool is_sampled(int port) { return port == kPortY || port == kPortSampleWeight || port >= kPortX; }

Plan make_plan(const Objective::Impl& f, const Request& r, const DeviceUpdate& u) {
  Emit e(f.kernels(), r.dtype);
  const Operand record = e.external(kPortClock, sizeof(std::uint64_t));
  compose(r, f.graph(), f.loss(), e);
  const auto given = [&](const Vector* v, int port) { return v ? e.external(port) : Operand{}; };
  const Operand w = e.external(kPortW);
  if (u.spec.decay > 0 && !u.spec.decoupled) {  // w joins the gradient: it must be moderate too
    Out itself = w;
    itself.watch = r.watched;
    e.call<kernels::Axpby>({.x = w, .y = itself, .n = f.graph().num_params(), .a = 1, .b = 0});
  }
  Out square;
  if (u.spec.clip_norm > 0) {
    square = e.temporary(1, sizeof(double));
    square.watch = r.watched;
    const Operand g = e.external(kPortGrad);
    e.call<kernels::RowDots>({.x = g, .y = g, .result = square, .n = f.graph().num_params()});
  }
  e.call<kernels::Update>({.w = w,
                           .m = given(u.m, kPortMomentum),
                           .u = given(u.u, kPortSecond),
                           .g = e.external(kPortGrad),
                           .d = given(u.d, kPortDiag),
                           .n = f.graph().num_params(),
                           .spec = u.spec,
                           .record = record,
                           .count = e.external(kPortCount),
                           .square = square,
                           .mean = given(u.mean, kPortAverage)});
  if (r.tracked) Sweep(f.graph(), e, r.batch, r.train, true).track();
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
                           std::int64_t most)
    : pace(most),
      f_(f),
      request_(r),
      gather_(f.kernels().get<kernels::Gather>(r.dtype)),
      plan_(make_plan(f, r, u)),
      recordings_(f.device()) {}

std::int64_t TrainingStep::row_bytes(int port) const {
  const LossModel& loss = f_.loss();
  const auto size = static_cast<std::int64_t>(size_of(request_.dtype));
  if (port == kPortSampleWeight) return size;
  if (port == kPortY && !loss.labels) return size * element_count(loss.target);
  if (port == kPortY && request_.soft) return size * element_count(loss.soft_target);
  if (port == kPortY) return kIntegerBytes * element_count(loss.target);
  const int input = f_.graph().inputs()[static_cast<std::size_t>(port - kPortX)];
  const Node& node = f_.graph().nodes()[static_cast<std::size_t>(input)];
  return (node.index_limit > 0 ? kIntegerBytes : size) * element_count(node.shape);
}

void TrainingStep::bind(int port, const void* address) {
  plan_.bind(port, address);
  bound_.push_back(address);
}

void TrainingStep::bind(const StepRows& rows, const DeviceUpdate& u) {
  bound_.clear();
  samples_.clear();
  order_ = rows.order;
  room_ = rows.room;
  for (const auto& [port, address] : rows.batch.ports) {
    bind(port, address);
    if (!rows.data || !is_sampled(port)) continue;
    const auto same = [port = port](const auto& p) { return p.first == port; };
    const auto& ports = rows.data->ports;
    const void* from = std::find_if(ports.begin(), ports.end(), same)->second;
    auto* to = static_cast<std::byte*>(const_cast<void*>(address));
    samples_.push_back({port, from, to, row_bytes(port)});
    const bool aligned = request_.batch * samples_.back().row % kAlignment == 0;
    if (port >= kPortX && !aligned) room_ = 1;
    bound_.push_back(from);
  }
  bound_.push_back(order_);
  const auto bind_vector = [&](int port, const Vector* v) {
    if (v != nullptr) bind(port, v->data());
  };
  bind_vector(kPortMomentum, u.m);
  bind_vector(kPortSecond, u.u);
  bind_vector(kPortGrad, u.g);
  bind_vector(kPortDiag, u.d);
  bind_vector(kPortAverage, u.mean);
}

void TrainingStep::run(std::int64_t steps, const StepMemory& memory) {
  Recordings::Key key = bound_;
  key.push_back(memory.records + steps);
  recordings_.run(key, [&] {
    for (std::int64_t i = 0; i < steps; ++i) {
      const std::int64_t place = i % room_;
      if (place == 0) gather(std::min(room_, steps - i), memory.records + i);
      step(place, i, memory);
    }
  });
}

// The samples of consecutive batches, from the row of the first one's record on.
void TrainingStep::gather(std::int64_t batches, const math::StepRecord* record) const {
  for (const Samples& s : samples_) {
    gather_(f_.device().stream(),
            {In(s.from), In(order_), In(record), Out(s.to), batches * request_.batch, s.row});
  }
}

void TrainingStep::step(std::int64_t place, std::int64_t i, const StepMemory& memory) {
  for (const Samples& s : samples_) plan_.bind(s.port, s.to + place * request_.batch * s.row);
  plan_.bind(kPortClock, memory.records + i);
  plan_.bind(kPortLoss, memory.losses + static_cast<std::size_t>(i) * size_of(request_.dtype));
  plan_.bind(kPortCount, memory.count);
  plan_.run();
}

}  // namespace hesscore
