// A few bytes from the host to the device, as the argument of a kernel.
#include "bytes.hpp"

#include <cstring>

#include "launch.cuh"

namespace hesscore::cuda {

namespace {

struct Bytes {
  unsigned char data[kMaxBytes];
};

__global__ void write_bytes_kernel(unsigned char* to, Bytes bytes, unsigned count) {
  for (unsigned i = threadIdx.x; i < count; i += blockDim.x) to[i] = bytes.data[i];
}

}  // namespace

void write_bytes(const Context& ctx, void* to, const void* from, std::size_t count) {
  Bytes bytes{};
  std::memcpy(bytes.data, from, count);
  launch(ctx, &write_bytes_kernel, 1, 128, 0, static_cast<unsigned char*>(to), bytes,
         static_cast<unsigned>(count));
}

}  // namespace hesscore::cuda
