// What each kernel file of the plugin adds to a device's table.
#pragma once

#include "backend/kernel_table.hpp"

namespace hesscore::cuda {

void register_maps(KernelTable& table);
void register_plumbing(KernelTable& table);

}  // namespace hesscore::cuda
