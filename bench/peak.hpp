// The processor's own limit: multiply-adds per second of one core, from independent chains of them.
#pragma once

#include <cstdint>
#include <string>

#include "bench.hpp"

namespace bench {

#define BENCH_PEAK(name, bytes, ...)                                                            \
  template <class T>                                                                            \
  __VA_ARGS__ double flops_##name(std::int64_t steps, T seed) {                                 \
    typedef T V __attribute__((vector_size(bytes)));                                            \
    const V x = V{} + seed, y = x + 1;                                                          \
    V a = x + 1, b = x + 2, c = x + 3, d = x + 4, e = x + 5, f = x + 6, g = x + 7, h = x + 8,   \
      i = x + 9, j = x + 10, k = x + 11, l = x + 12;                                            \
    for (std::int64_t step = 0; step < steps; ++step) {                                         \
      a = a * x + y, b = b * x + y, c = c * x + y, d = d * x + y, e = e * x + y;                \
      f = f * x + y, g = g * x + y, h = h * x + y, i = i * x + y, j = j * x + y, k = k * x + y, \
      l = l * x + y;                                                                            \
    }                                                                                           \
    const V sum = a + b + c + d + e + f + g + h + i + j + k + l;                                \
    volatile T sink = sum[0];                                                                   \
    static_cast<void>(sink);                                                                    \
    return 2.0 * steps * 12 * static_cast<int>(bytes / sizeof(T));                              \
  }
#if defined(__x86_64__)
BENCH_PEAK(avx512, 64, __attribute__((target("avx512f,avx512vl,avx512dq"))))
BENCH_PEAK(avx2, 32, __attribute__((target("avx2,fma"))))
#endif
BENCH_PEAK(portable, 16, )
#undef BENCH_PEAK

// GFLOP/s of one core with the vectors of `isa` ("avx512", "avx2", "portable").
template <class T>
double peak_gflops(const std::string& isa) {
  constexpr std::int64_t kSteps = 20000;
  double flops = 0;
  const Timing t = measure([&] {
#if defined(__x86_64__)
    if (isa == "avx512") flops = flops_avx512<T>(kSteps, T(0.5));
    if (isa == "avx2") flops = flops_avx2<T>(kSteps, T(0.5));
#endif
    if (isa == "portable") flops = flops_portable<T>(kSteps, T(0.5));
  });
  return flops / t.best * 1e-9;
}

}  // namespace bench
