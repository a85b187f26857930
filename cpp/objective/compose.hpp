// Compositions: each quantity as forward and backward passes with the right seeds.
#pragma once

#include "objective/request.hpp"
#include "ops/loss.hpp"
#include "plan/sweep.hpp"

namespace hesscore {

// Emits the steps that answer `request`. Products have two phases: linearise, then apply.
void compose(const Request& request, const Graph& graph, const LossModel& loss, Emit& e);

// The Jacobian of the network's output in the parameters, linearised once. Of `request` it reads
// dtype, batch, mode and reps.
enum JacobianPhase : std::size_t {
  kJacobianLinearise,
  kJacobianApply,    // kPortV (reps, parameters) to kPortOut (reps, outputs)
  kJacobianAdjoint,  // kPortV (reps, outputs) to kPortOut (reps, parameters)
};
void compose_jacobian(const Request& request, const Graph& graph, Emit& e);

// Arrays of the clock: seed and step of the run, then one seed for each sampled quantity.
inline constexpr std::int64_t kClockSeeds = 2;

}  // namespace hesscore
