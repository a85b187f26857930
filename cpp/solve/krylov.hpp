// What Krylov methods are written with: rows of vectors, and states on the device, one for each
// row, whose numbers combine them. The host issues calls and looks at the states now and then.
#pragma once

#include <vector>

#include "backend/kernels.hpp"
#include "backend/keys/krylov.hpp"
#include "hesscore/linear_operator.hpp"

namespace hesscore {

class KrylovKernels {
 public:
  KrylovKernels(Device& device, DType dtype);
  void dots(const kernels::RowDots::Args& args) const;
  void combine(const kernels::Combine::Args& args) const;
  void step(const kernels::KrylovStep::Args& args) const;
  void product(const kernels::Product::Args& args) const;

 private:
  Device& device_;
  Kernel<kernels::RowDots> dots_;
  Kernel<kernels::Combine> combine_;
  Kernel<kernels::KrylovStep> step_;
  Kernel<kernels::Product> product_;
};

// `rows` states, here and on the device, and the calls for `rows` vectors of n elements each.
template <class State>
class Krylov {
 public:
  Krylov(Device& device, DType dtype, std::int64_t n, std::int64_t rows = 1)
      : states(static_cast<std::size_t>(rows)),
        device_(device),
        kernels_(device, dtype),
        n_(n),
        rows_(rows),
        there_(device, states.size() * sizeof(State)) {}

  std::vector<State> states;
  void upload() { device_.from_host(there_.data(), states.data(), there_.bytes()); }
  void download() { device_.to_host(states.data(), there_.data(), there_.bytes()); }

  void* there() const { return there_.data(); }
  // From here on vectors have n elements.
  Krylov& of_size(std::int64_t n) {
    n_ = n;
    return *this;
  }

  // Row r: to = <x[r], y[r]>.
  void dot(const void* x, const void* y, double State::* to) const {
    kernels_.dots({.x = In(x),
                   .y = In(y),
                   .result = Out(at(to)),
                   .n = n_,
                   .rows = rows_,
                   .row_x = n_,
                   .row_y = n_,
                   .row_result = kStep});
  }
  // Row r: y[r] = b y[r] + a x[r].
  void combine(double State::* b, void* y, double State::* a, const void* x) const {
    kernels_.combine(with(at(b), y, at(a), x));
  }
  // The same with one x for all rows.
  void combine_shared(double State::* b, void* y, double State::* a, const void* x) const {
    kernels::Combine::Args args = with(at(b), y, at(a), x);
    args.row_x = 0;
    kernels_.combine(args);
  }
  void scale(double State::* a, const void* x, void* y) const {
    kernels_.combine(with(In(), y, at(a), x));
  }
  // Row r: y[r] += sign a x[r].
  void add(double State::* a, const void* x, void* y, double sign = 1) const {
    kernels::Combine::Args args = with(In(), y, at(a), x);
    args.y.accumulate = true;
    args.sign = sign;
    kernels_.combine(args);
  }
  void step(math::KrylovPhase phase) const {
    kernels_.step({.states = Out(there_.data()), .rows = rows_, .phase = phase});
  }

  const KrylovKernels& kernels() const { return kernels_; }
  // Where a member of the first state lies on the device; the next one is kStep numbers on.
  static constexpr std::int64_t kStep = sizeof(State) / sizeof(double);
  template <class Member>
  In at(Member State::* member) const {
    const auto* const first = reinterpret_cast<const std::byte*>(states.data());
    const auto offset = reinterpret_cast<const std::byte*>(&(states[0].*member)) - first;
    return In(static_cast<const std::byte*>(there_.data()) + offset);
  }

 private:
  kernels::Combine::Args with(In b, void* y, In a, const void* x) const {
    return {.x = In(x),
            .c = a,
            .b = b,
            .y = Out(y),
            .n = n_,
            .rows = rows_,
            .row_x = n_,
            .row_y = n_,
            .row_c = kStep,
            .row_b = kStep};
  }

  Device& device_;
  KrylovKernels kernels_;
  std::int64_t n_, rows_;
  Buffer there_;
};

// The step to a vector that is `count` elements of `dtype` further on.
inline void* advanced(void* p, std::int64_t count, DType dtype) {
  return static_cast<std::byte*>(p) + count * static_cast<std::int64_t>(size_of(dtype));
}

}  // namespace hesscore
