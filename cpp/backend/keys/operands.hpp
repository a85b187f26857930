// What the kernel keys are written with.
#pragma once

#include <tuple>

#include "backend/kernel_table.hpp"

// The arrays of a call, so that a plan can read liveness off it.
#define HC_OPERANDS(...)                            \
  auto operands() { return std::tie(__VA_ARGS__); } \
  auto operands() const { return std::tie(__VA_ARGS__); }

namespace hesscore::kernels {

struct Activation {
  std::int32_t id = 0;  // math::Act
  double alpha = 0;     // slope or scale, for those that have one
};

}  // namespace hesscore::kernels
