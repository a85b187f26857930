// Dense factorisations by LAPACK: the same for every instruction set.
#pragma once

#include "backend/kernel_table.hpp"

namespace hesscore::cpu {

void register_factorisations(KernelTable& table);

}  // namespace hesscore::cpu
