// Emit: rules call it once, when a plan is made. It records typed kernel calls on symbolic slots;
// the plan reads liveness off them, packs one arena and then runs a flat list.
#pragma once

#include <cstring>
#include <type_traits>
#include <vector>

#include "backend/kernels.hpp"

namespace hesscore {

// Arrays that the caller brings anew for every run. Diagonals and inputs have no largest number, so
// theirs come after all others.
enum Port : int {
  kPortW,
  kPortY,
  kPortSampleWeight,
  kPortV,    // tangents or an output adjoint
  kPortOut,  // of a product
  kPortGrad,
  kPortPredict,
  kPortPerSample,
  kPortMean,
  kPortSecondMoment,
  kPortVariance,
  kPortNorms,
  kPortLoss,
  kPortClock,            // uint64: seed, step, then one seed for each sampled quantity
  kPortBuffers,          // double: Graph::buffers()
  kPortBatchStatistics,  // double: what a step's evaluation leaves for the buffers
  kPortDiag = 1 << 10,   // + number of the diagonal
  kPortX = 1 << 20,      // + number of the input
};

struct Slot {
  enum Kind { temporary, external, constant } kind = temporary;
  std::int64_t elements = 0;
  std::int64_t element_size = 0;
  int port = -1;                 // external
  std::vector<double> values{};  // constant
  int first = -1, last = -1;     // steps that touch it
  int first_phase = 0, last_phase = 0;
};

struct Step {
  AnyKernel kernel;
  std::size_t args;  // offset of its arguments
};

struct Patch {
  std::size_t operand;  // offset of the Operand among the arguments
  std::int32_t slot;
  std::int64_t bytes;  // offset within the slot
};

class Emit {
 public:
  Emit(const KernelTable& kernels, DType dtype)
      : kernels_(kernels), dtype_(dtype), size_(static_cast<std::int64_t>(size_of(dtype))) {}

  DType dtype() const { return dtype_; }
  // Elements of the plan's dtype, or of `element_size` bytes.
  Operand temporary(std::int64_t elements, std::int64_t element_size = 0) {
    return add({Slot::temporary, elements, element_size ? element_size : size_});
  }
  // Has no call read or written it so far?
  bool untouched(const Operand& o) const {
    return slots_[static_cast<std::size_t>(o.slot)].first < 0;
  }
  Operand constant(std::vector<double> values);
  Operand external(int port, std::int64_t element_size = 0);

  template <class Key>
  bool has() const {  // of kernels that a backend need not have
    return kernels_.has(Key::name, dtype_);
  }
  template <class Key>
  void call(const typename Key::Args& args) {
    using Args = typename Key::Args;
    static_assert(std::is_trivially_copyable_v<Args> && alignof(Args) <= 16);
    const std::size_t at = append(&args, sizeof(Args));
    std::apply([&](const auto&... o) { (touch(o, at, &args), ...); }, args.operands());
    steps_.push_back({kernels_.find(Key::name, dtype_), at});
  }

  // The last call, if it was one of Key in this phase: a rule may fuse with it by taking it back
  // and calling again with more in its arguments.
  template <class Key>
  const typename Key::Args* last() const {
    if (steps_.size() == phase_begin_.back()) return nullptr;
    const Step& s = steps_.back();
    if (s.kernel != kernels_.find(Key::name, dtype_)) return nullptr;
    return reinterpret_cast<const typename Key::Args*>(args_.data() + s.args);
  }
  void take_back();

  // Steps emitted from here on belong to the next phase: it can be run again and again on what the
  // earlier phases left behind, and is run `times` times in a run of the whole plan.
  void next_phase(std::int64_t times = 1);
  std::int64_t times() const { return times_.back(); }  // of this phase

 private:
  friend class Plan;
  Operand add(Slot slot);
  void keep_results_of_repeated_phases();
  std::size_t append(const void* args, std::size_t bytes);
  void touch(const Operand& o, std::size_t at, const void* args);

  const KernelTable& kernels_;
  DType dtype_;
  std::int64_t size_;
  std::vector<Slot> slots_;
  std::vector<Step> steps_;
  std::vector<Patch> patches_;
  std::vector<std::byte> args_;
  std::vector<std::size_t> phase_begin_{0};
  std::vector<std::int64_t> times_{1};  // of each phase
};

}  // namespace hesscore
