// The CPU's kernel tables, one per instruction set.
#pragma once

#include <string_view>
#include <vector>

#include "backend/kernel_table.hpp"

namespace hesscore::cpu {

// Those this processor can run, best first: "avx512", "avx2", "portable".
HESSCORE_API std::vector<std::string_view> supported_isas();

// Throws OptionError when `isa` is not one of them.
HESSCORE_API KernelTable make_kernel_table(std::string_view isa);

}  // namespace hesscore::cpu
