// The processor's own limit: multiply-adds per second of one core, from independent chains of them.
#pragma once

#include <cstdint>
#include <string>

#include "bench.hpp"

namespace bench {

#define BENCH_PEAK(name, bytes, ...)                                    \
  template <class T>                                                    \
  __VA_ARGS__ double flops_##name(std::int64_t steps, T seed) {         \
    typedef T V __attribute__((vector_size(bytes)));                    \
    constexpr int kChains = 12;                                         \
    V acc[kChains] = {}, x = V{} + seed, y = x * x;                     \
    for (std::int64_t i = 0; i < steps; ++i) {                          \
      _Pragma("GCC unroll 12") for (V& a : acc) {                       \
        a = a * x + y;                                                  \
        asm volatile("" : "+" BENCH_REGISTER(a));                       \
      }                                                                 \
    }                                                                   \
    volatile T sink = 0;                                                \
    for (V& a : acc) sink = sink + a[0];                                \
    return 2.0 * steps * kChains * static_cast<int>(bytes / sizeof(T)); \
  }
#if defined(__x86_64__)
#define BENCH_REGISTER(a) "v"(a)
BENCH_PEAK(avx512, 64, __attribute__((target("avx512f,avx512vl,avx512dq"))))
BENCH_PEAK(avx2, 32, __attribute__((target("avx2,fma"))))
#else
#define BENCH_REGISTER(a) "w"(a)
#endif
BENCH_PEAK(portable, 16, )
#undef BENCH_PEAK
#undef BENCH_REGISTER

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
