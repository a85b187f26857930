// Sums in a fixed order: lanes that do not depend on the instruction set, chunks that do not depend
// on the number of threads.
#pragma once

#include "cpu/isa/elementwise.hpp"

namespace hesscore::cpu::HC_ISA {

// sum_i x_i y_i, accumulated in A
template <class A, class T>
inline A dot(const T* x, const T* y, std::int64_t n) {
  constexpr int kLanes = 32;
  A lanes[kLanes] = {}, sum = 0;
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int k = 0; k < kLanes; ++k)
      lanes[k] += static_cast<A>(x[i + k]) * static_cast<A>(y[i + k]);
  }
  for (; i < n; ++i) sum += static_cast<A>(x[i]) * static_cast<A>(y[i]);
  for (int width = kLanes / 2; width > 0; width /= 2) {
    for (int k = 0; k < width; ++k) lanes[k] += lanes[k + width];
  }
  return sum + lanes[0];
}

// sum of chunk(begin, end) over [0, n) in chunks of `grain`
template <class F>
inline double sum_chunks(std::int64_t n, std::int64_t grain, F chunk) {
  const std::int64_t chunks = (n + grain - 1) / grain;
  auto* sums = static_cast<double*>(scratch(8, chunks * std::int64_t{sizeof(double)}));
  parallel_chunks(n, grain, [&](std::int64_t begin, std::int64_t end) {
    sums[begin / grain] = chunk(begin, end);
  });
  double sum = 0;
  for (std::int64_t i = 0; i < chunks; ++i) sum += sums[i];
  return sum;
}

}  // namespace hesscore::cpu::HC_ISA
