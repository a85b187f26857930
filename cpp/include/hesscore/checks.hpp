// Checks that an array's values can be worked with.
#pragma once

#include "hesscore/device.hpp"

namespace hesscore {

// Is every element of this float array on the device finite? Waits for the answer.
HESSCORE_API bool all_finite(Device& device, const View& v);

}  // namespace hesscore
