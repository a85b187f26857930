// Checks of values by one kernel of the device.
#include "hesscore/checks.hpp"

#include <mutex>

#include "backend/kernels.hpp"

namespace hesscore {

bool all_finite(Device& device, const View& v) {
  int finite = 0;
  const std::lock_guard lock(device);
  device.kernels().get<kernels::AllFinite>(v.dtype)(
      device.stream(), {.x = In(v.data), .n = element_count(v.shape), .result = &finite});
  return finite != 0;
}

}  // namespace hesscore
