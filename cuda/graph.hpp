// Recordings as CUDA graphs.
#pragma once

#include <functional>
#include <memory>

#include "context.hpp"
#include "hesscore/device.hpp"

namespace hesscore::cuda {

// What `work` launches while `recorder` stands in for the stream of the context. Null if it cannot
// be recorded; the device is as before then.
std::unique_ptr<Recording> record_graph(Device& device, Context& ctx, cudaStream_t recorder,
                                        const std::function<void()>& work);

// The loop of Device::record_loop as a conditional WHILE node. Where CUDA has none, or if
// HESSCORE_CUDA_UNROLL is set in the environment, the host launches `work` again and again, and
// looks at go_on now and then: `work` must do nothing once go_on is zero.
std::unique_ptr<Recording> record_loop_graph(Device& device, Context& ctx, cudaStream_t recorder,
                                             const std::function<void()>& work, const int* go_on,
                                             std::int64_t limit);

}  // namespace hesscore::cuda
