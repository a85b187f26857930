// Plan: addresses are resolved once, bound arrays patched only when they move.
#include "plan/plan.hpp"

#include <algorithm>

namespace hesscore {

Plan::Plan(Emit&& emit, Device& device)
    : device_(device),
      args_(std::move(emit.args_)),
      phase_begin_(emit.phase_begin_),
      times_(emit.times_),
      recordings_(device, phase_begin_.size()) {
  std::int64_t total = 0;
  emit.keep_results_of_repeated_phases();
  const auto offsets = pack_arena(emit.slots_, phase_begin_.size(), &total);
  if (total > 0) arena_ = Buffer(device, static_cast<std::size_t>(total));
  for (const Step& s : emit.steps_) steps_.emplace_back(s.kernel, args_.data() + s.args);
  phase_begin_.push_back(steps_.size());

  std::vector<std::size_t> binding_of(emit.slots_.size(), 0);
  for (std::size_t i = 0; i < emit.slots_.size(); ++i) {
    if (emit.slots_[i].kind != Slot::external) continue;
    binding_of[i] = bindings_.size();
    bindings_.push_back({emit.slots_[i].port, nullptr, {}});
  }
  for (const Patch& p : emit.patches_) {
    auto* operand = reinterpret_cast<Operand*>(args_.data() + p.operand);
    const auto slot = static_cast<std::size_t>(p.slot);
    if (emit.slots_[slot].kind == Slot::external) {
      bindings_[binding_of[slot]].pointers.push_back({operand, p.bytes});
    } else {
      operand->ptr = static_cast<std::byte*>(arena_.data()) + offsets[slot] + p.bytes;
    }
  }
  load_constants(emit.slots_, offsets, emit.dtype_);
}

std::int64_t Plan::memory(Emit&& emit, Workspace& needed) {
  std::int64_t total = 0;
  emit.keep_results_of_repeated_phases();
  pack_arena(emit.slots_, emit.phase_begin_.size(), &total);
  for (const Patch& p : emit.patches_) {  // some address, which nobody reads
    reinterpret_cast<Operand*>(emit.args_.data() + p.operand)->ptr = emit.args_.data();
  }
  for (const Step& s : emit.steps_) {
    emit.kernels_.rehearse(s.kernel, emit.args_.data() + s.args, needed);
  }
  return total;
}

void Plan::load_constants(const std::vector<Slot>& slots, const std::vector<std::int64_t>& offsets,
                          DType dtype) {
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const Slot& s = slots[i];
    if (s.kind != Slot::constant || s.last < 0) continue;
    auto* to = static_cast<std::byte*>(arena_.data()) + offsets[i];
    if (dtype == DType::f32) {
      const std::vector<float> v(s.values.begin(), s.values.end());
      device_.from_host(to, v.data(), v.size() * sizeof(float));
    } else {
      device_.from_host(to, s.values.data(), s.values.size() * sizeof(double));
    }
  }
}

void Plan::bind(int port, const void* address) {
  for (Binding& b : bindings_) {
    if (b.port != port) continue;
    if (b.address == address) return;
    b.address = const_cast<void*>(address);
    for (const Pointer& p : b.pointers) {
      p.operand->ptr = static_cast<std::byte*>(b.address) + p.bytes;
    }
  }
}

void Plan::run() {
  if (std::all_of(times_.begin(), times_.end(), [](std::int64_t n) { return n == 1; })) {
    return run_steps(0, steps_.size());
  }
  for (std::size_t phase = 0; phase < times_.size(); ++phase) {
    for (std::int64_t i = 0; i < times_[phase]; ++i) run_phase(phase);
  }
}

void Plan::run_phase(std::size_t phase) { run_steps(phase_begin_[phase], phase_begin_[phase + 1]); }

bool Plan::uses(int port) const {
  return std::any_of(bindings_.begin(), bindings_.end(),
                     [&](const Binding& b) { return b.port == port && !b.pointers.empty(); });
}

void Plan::run_steps(std::size_t begin, std::size_t end) {
  if (begin == end) return;
  const auto work = [&] {
    void* const stream = device_.stream();
    for (std::size_t i = begin; i < end; ++i) steps_[i].first(stream, steps_[i].second);
  };
  if (device_.is_host()) return work();
  Recordings::Key key{steps_.data() + begin, steps_.data() + end};
  for (const Binding& b : bindings_) key.push_back(b.address);
  recordings_.run(key, work);
}

}  // namespace hesscore
