// Probes: random signs from the kernel that also serves Hutchinson's diagonal.
#include "hesscore/probes.hpp"

#include <mutex>

#include "backend/kernels.hpp"

namespace hesscore {

Probes::Probes(Device& device, DType dtype, std::uint64_t seed)
    : device_(&device), dtype_(dtype), seed_(device, sizeof seed) {
  if (dtype == DType::i64) throw DTypeError("dtype", "float32 or float64", "int64");
  device.from_host(seed_.data(), &seed, sizeof seed);
}

void Probes::fill(void* out, std::int64_t n, std::uint64_t first, std::int64_t count) const {
  const auto kernel = device_->kernels().get<kernels::Rademacher>(dtype_);
  const auto row = static_cast<std::size_t>(n) * size_of(dtype_);
  const std::lock_guard lock(*device_);
  for (std::int64_t k = 0; k < count; ++k) {
    auto* const to = static_cast<std::byte*>(out) + static_cast<std::size_t>(k) * row;
    kernel(device_->stream(), {.clock = In(seed_.data()),
                               .y = Out(to),
                               .n = n,
                               .stream = first + static_cast<std::uint64_t>(k)});
  }
}

}  // namespace hesscore
