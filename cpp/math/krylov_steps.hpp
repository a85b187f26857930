// The steps of all recurrences whose states a device keeps, by their numbers.
#pragma once

#include "math/cg_row_state.hpp"
#include "math/lanczos_state.hpp"
#include "math/lsmr_state.hpp"
#include "math/minres_state.hpp"

namespace hesscore::math {

enum class KrylovPhase : std::int32_t {
  lanczos_start,
  lanczos_alpha,
  lanczos_beta,
  cg_row_start,
  cg_row_curvature,
  cg_row_advance,
  cg_shift_step,
  cg_shift_direction,
  minres_start,
  minres_alpha,
  minres_advance,
  minres_next,
  lsmr_start,
  lsmr_begin,
  lsmr_beta,
  lsmr_advance,
};

// Of state `row` in an array of them.
HC_HD void take_step(KrylovPhase phase, void* states, std::int64_t row) {
#define HC_STEP(name, State) \
  case KrylovPhase::name:    \
    return name(static_cast<State*>(states)[row])
  switch (phase) {
    HC_STEP(lanczos_start, LanczosState);
    HC_STEP(lanczos_alpha, LanczosState);
    HC_STEP(lanczos_beta, LanczosState);
    HC_STEP(cg_row_start, CgRowState);
    HC_STEP(cg_row_curvature, CgRowState);
    HC_STEP(cg_row_advance, CgRowState);
    HC_STEP(cg_shift_step, CgShiftState);
    HC_STEP(cg_shift_direction, CgShiftState);
    HC_STEP(minres_start, MinresState);
    HC_STEP(minres_alpha, MinresState);
    HC_STEP(minres_advance, MinresState);
    HC_STEP(minres_next, MinresState);
    HC_STEP(lsmr_start, LsmrState);
    HC_STEP(lsmr_begin, LsmrState);
    HC_STEP(lsmr_beta, LsmrState);
    HC_STEP(lsmr_advance, LsmrState);
  }
#undef HC_STEP
}

}  // namespace hesscore::math
