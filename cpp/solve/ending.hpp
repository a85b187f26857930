// How a solve ended, and the sentence that says so, whoever ran the iterations.
#pragma once

#include "backend/kernels.hpp"
#include "hesscore/solve.hpp"

namespace hesscore {

std::string text(double value);  // three digits

struct Ending {
  Status status;
  math::CgReason reason = math::CgReason::none;
  double value = 0;  // p'Ap or r'Mr, where that is the reason
};

// Sets status and message; `target` is the residual aimed at.
void conclude(SolveReport& report, const Ending& ending, double target);

}  // namespace hesscore
