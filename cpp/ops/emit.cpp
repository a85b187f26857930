// Emit: slots, recorded calls and their liveness.
#include "ops/emit.hpp"

#include <algorithm>

namespace hesscore {

Operand Emit::add(Slot slot) {
  slots_.push_back(std::move(slot));
  Operand o;
  o.slot = static_cast<std::int32_t>(slots_.size()) - 1;
  return o;
}

Operand Emit::constant(std::vector<double> values) {
  Slot slot{Slot::constant, static_cast<std::int64_t>(values.size()), size_};
  slot.values = std::move(values);
  return add(std::move(slot));
}

Operand Emit::external(int port, std::int64_t element_size) {
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].kind == Slot::external && slots_[i].port == port) {
      Operand o;
      o.slot = static_cast<std::int32_t>(i);
      return o;
    }
  }
  Slot slot{Slot::external, 0, element_size ? element_size : size_};
  slot.port = port;
  return add(std::move(slot));
}

void Emit::next_phase(std::int64_t times) {
  phase_begin_.push_back(steps_.size());
  times_.push_back(times);
}

// What a phase that is run again and again leaves for a later one is alive in all of its runs.
void Emit::keep_results_of_repeated_phases() {
  for (Slot& s : slots_) {
    const auto phase = static_cast<std::size_t>(s.first_phase);
    if (s.first < 0 || s.first_phase == s.last_phase || times_[phase] == 1) continue;
    s.first = static_cast<int>(phase_begin_[phase]);
  }
}

void Emit::take_back() {
  const std::size_t args = steps_.back().args;
  while (!patches_.empty() && patches_.back().operand >= args) patches_.pop_back();
  args_.resize(args);
  steps_.pop_back();
}

std::size_t Emit::append(const void* args, std::size_t bytes) {
  const std::size_t at = (args_.size() + 15) / 16 * 16;
  args_.resize(at + bytes);
  std::memcpy(args_.data() + at, args, bytes);
  return at;
}

void Emit::touch(const Operand& o, std::size_t at, const void* args) {
  if (o.slot < 0) return;
  Slot& slot = slots_[static_cast<std::size_t>(o.slot)];
  const int now = static_cast<int>(steps_.size());
  const int phase = static_cast<int>(phase_begin_.size()) - 1;
  if (slot.first < 0) {
    slot.first = now;
    slot.first_phase = phase;
  }
  slot.last = now;
  slot.last_phase = phase;
  const auto inside = static_cast<std::size_t>(reinterpret_cast<const std::byte*>(&o) -
                                               static_cast<const std::byte*>(args));
  patches_.push_back({at + inside, o.slot, o.offset * slot.element_size});
}

}  // namespace hesscore
