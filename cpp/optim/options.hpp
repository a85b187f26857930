// Validation of the options of every method, in one place.
#pragma once

#include "hesscore/optim.hpp"

namespace hesscore {

// Throws OptionError with the name of the option, what was expected and what came.
void validate(const Method& method, const StepOptions& options = {});

// The value of a rate at a step, finite and >= 0, or OptionError.
double value_at(const char* name, const Rate& rate, std::uint64_t step);

}  // namespace hesscore
