// Compositions: each quantity as forward and backward passes with the right seeds.
#pragma once

#include "objective/request.hpp"
#include "ops/loss.hpp"
#include "plan/sweep.hpp"

namespace hesscore {

// Emits the steps that answer `request`. Products have two phases: linearise, then apply.
void compose(const Request& request, const Graph& graph, const LossModel& loss, Emit& e);

// Arrays of the clock: seed and step of the run, then one seed for each sampled quantity.
inline constexpr std::int64_t kClockSeeds = 2;

}  // namespace hesscore
