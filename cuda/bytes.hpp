// A few bytes from the host to the device without waiting for it.
#pragma once

#include "context.hpp"

namespace hesscore::cuda {

inline constexpr std::size_t kMaxBytes = 1024;

// At most kMaxBytes; they travel as the argument of a kernel, so `from` is free at once.
void write_bytes(const Context& ctx, void* to, const void* from, std::size_t count);

}  // namespace hesscore::cuda
