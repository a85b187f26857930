// What ran: every kernel, and every call of a library, in order.
#pragma once

#include <string>

#include "cuda_runtime_api.h"

namespace emulator {

void record_launch(const std::string& name, dim3 grid, dim3 block, std::size_t shared_bytes);

}  // namespace emulator

// Exported, for tests. They wait for the device first.
extern "C" {
long hesscore_emulator_launches();  // since the last reset
void hesscore_emulator_reset();
const char* hesscore_emulator_name(long i);
// grid x, y, z, block x, y, z, shared bytes of the i-th launch
void hesscore_emulator_shape(long i, unsigned (&shape)[7]);
}
