// Plan: emitted steps with one arena. Binding stores addresses; running is a flat loop without
// allocation, look-up or shape check, or one launch where the device can record.
#pragma once

#include <utility>
#include <vector>

#include "hesscore/device.hpp"
#include "ops/emit.hpp"
#include "plan/recordings.hpp"

namespace hesscore {

class Plan {
 public:
  Plan(Emit&& emit, Device& device);
  Plan(const Plan&) = delete;

  void bind(int port, const void* address);  // ports that the plan does not use are ignored
  bool uses(int port) const;
  void run();  // all phases, each as often as was said
  void run_phase(std::size_t phase);
  // What a plan would need: its arena and the workspace of its kernels.
  static std::int64_t memory(Emit&& emit, Workspace& needed);
  std::int64_t arena_bytes() const { return static_cast<std::int64_t>(arena_.bytes()); }

 private:
  struct Pointer {
    Operand* operand;
    std::int64_t bytes;
  };
  struct Binding {
    int port;
    void* address;
    std::vector<Pointer> pointers;
  };
  void run_steps(std::size_t begin, std::size_t end);
  void load_constants(const std::vector<Slot>& slots, const std::vector<std::int64_t>& offsets,
                      DType dtype);

  Device& device_;
  Buffer arena_;
  std::vector<std::byte> args_;
  std::vector<std::pair<AnyKernel, const void*>> steps_;
  std::vector<std::size_t> phase_begin_;
  std::vector<std::int64_t> times_;  // of each phase
  std::vector<Binding> bindings_;
  Recordings recordings_;
};

// Offsets in bytes of all temporaries and constants in one arena, and its size: slots that are
// alive together do not overlap. Best fit in the order of first use.
std::vector<std::int64_t> pack_arena(std::vector<Slot>& slots, std::size_t phases,
                                     std::int64_t* total);

}  // namespace hesscore
