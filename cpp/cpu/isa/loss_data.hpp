// What all loss kernels read, and how a block of positions q = n * D + d is weighted.
#pragma once

#include "cpu/isa/reduce.hpp"
#include "math/losses.hpp"

namespace hesscore::cpu::HC_ISA {

template <class T>
struct LossData {
  const math::LossSpec& spec;
  const T *z, *sample_weight, *class_weight;
  const void* y;
  T scale;

  template <class Args>
  explicit LossData(const Args& a)
      : spec(a.spec),
        z(a.z.template as<T>()),
        sample_weight(a.sample_weight.template as<T>()),
        class_weight(a.class_weight.template as<T>()),
        y(a.y.template as<void>()),
        scale(*a.scale.template as<T>()) {}

  std::int64_t positions() const { return spec.samples * spec.positions; }

  // k[i]: the weight of position q + i in the reduced loss
  void weights(std::int64_t q, std::int64_t count, T* k) const {
    std::int64_t n = q / spec.positions, d = q % spec.positions;
    for (std::int64_t i = 0; i < count; ++i) {
      k[i] = sample_weight == nullptr ? scale : scale * sample_weight[n];
      if (++d == spec.positions) d = 0, ++n;
    }
  }
};

}  // namespace hesscore::cpu::HC_ISA
