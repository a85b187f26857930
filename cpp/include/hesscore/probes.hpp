// Random signs, the test vectors of stochastic estimators.
#pragma once

#include <cstdint>

#include "hesscore/vector.hpp"

namespace hesscore {

// Rademacher vectors by counters: element i of vector k is a function of (seed, k, i) alone, so it
// is the same on every device, in every block and for any number of threads.
class HESSCORE_API Probes {
 public:
  Probes(Device& device, DType dtype, std::uint64_t seed);

  // out[j][i] = +1 or -1 of vector first + j, for j < count; `out` is (count, n) row-major.
  void fill(void* out, std::int64_t n, std::uint64_t first = 0, std::int64_t count = 1) const;

 private:
  Device* device_;
  DType dtype_;
  Buffer seed_;  // on the device, where kernels read it
};

}  // namespace hesscore
