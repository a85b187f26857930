// CUDA C++ for a host compiler: the words that kernels are written in.
#pragma once

#include <math.h>

#include <bit>

#include "cuda_runtime_api.h"
#include "threads.hpp"

#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __noinline__  // empty, as the standard library writes __attribute__((__noinline__))
#define __align__(n) __attribute__((aligned(n)))
// Blocks run one after the other on one thread. That a variable is local to the thread marks it as
// shared: emulator.cpp finds these and fills them with NaN before every launch.
#define __shared__ static thread_local

// ---- vectors ----------------------------------------------------------------------------------

#define HC_VECTOR2(T, name, bytes) \
  struct __align__(bytes) name {   \
    T x, y;                        \
  };                               \
  inline name make_##name(T x, T y) { return {x, y}; }
#define HC_VECTOR4(T, name, bytes) \
  struct __align__(bytes) name {   \
    T x, y, z, w;                  \
  };                               \
  inline name make_##name(T x, T y, T z, T w) { return {x, y, z, w}; }
HC_VECTOR2(float, float2, 8)
HC_VECTOR2(double, double2, 16)
HC_VECTOR2(int, int2, 8)
HC_VECTOR2(unsigned, uint2, 8)
HC_VECTOR2(long long, longlong2, 16)
HC_VECTOR2(unsigned long long, ulonglong2, 16)
HC_VECTOR4(float, float4, 16)
HC_VECTOR4(int, int4, 16)
HC_VECTOR4(unsigned, uint4, 16)
HC_VECTOR4(unsigned char, uchar4, 4)
#undef HC_VECTOR2
#undef HC_VECTOR4

// ---- barriers and exchanges -------------------------------------------------------------------

inline void __syncthreads(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  emulator::block_barrier({file, line});
}

namespace emulator {

// What the lanes of a warp bring to an exchange, and take from it.
template <class T>
struct Shuffle {
  T value;
  int lane, source;  // source outside 0..31: its own value
};

template <class T>
void shuffle(void* const* lanes, unsigned mask) {
  T values[kWarp];
  for (int i = 0; i < kWarp; ++i) {
    if (mask >> i & 1) values[i] = static_cast<Shuffle<T>*>(lanes[i])->value;
  }
  for (int i = 0; i < kWarp; ++i) {
    if (!(mask >> i & 1)) continue;
    auto& mine = *static_cast<Shuffle<T>*>(lanes[i]);
    if (mine.source < 0 || mine.source >= kWarp) continue;
    if (mask >> mine.source & 1) {
      mine.value = values[mine.source];
    } else {
      poison(&mine.value, sizeof(T));  // nobody brought it
    }
  }
}

template <class T>
T shuffled(unsigned mask, T value, int source, Place place) {
  Shuffle<T> mine{value, lane(), source};
  warp_exchange(mask, &mine, &shuffle<T>, place);
  return mine.value;
}

struct Vote {
  bool value;
  unsigned ballot;
};
void vote(void* const* lanes, unsigned mask);

}  // namespace emulator

#define HC_PLACE const char *file = __builtin_FILE(), int line = __builtin_LINE()

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32, HC_PLACE) {
  const int first = emulator::lane() / width * width;
  return emulator::shuffled(mask, value, first + source % width, {file, line});
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, HC_PLACE) {
  const int source = emulator::lane() ^ bits;
  const bool inside = source / width <= emulator::lane() / width;
  return emulator::shuffled(mask, value, inside ? source : -1, {file, line});
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32, HC_PLACE) {
  const int at = emulator::lane(), source = at + static_cast<int>(by);
  return emulator::shuffled(mask, value, source / width == at / width ? source : -1, {file, line});
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32, HC_PLACE) {
  const int at = emulator::lane(), source = at - static_cast<int>(by);
  const bool inside = source >= at / width * width;
  return emulator::shuffled(mask, value, inside ? source : -1, {file, line});
}
inline void __syncwarp(unsigned mask = 0xffffffffu, HC_PLACE) {
  emulator::shuffled(mask, 0, -1, {file, line});
}
inline unsigned __ballot_sync(unsigned mask, int predicate, HC_PLACE) {
  emulator::Vote mine{predicate != 0, 0};
  emulator::warp_exchange(mask, &mine, &emulator::vote, {file, line});
  return mine.ballot;
}
inline int __any_sync(unsigned mask, int predicate, HC_PLACE) {
  return __ballot_sync(mask, predicate, file, line) != 0;
}
inline int __all_sync(unsigned mask, int predicate, HC_PLACE) {
  return __ballot_sync(mask, !predicate, file, line) == 0;
}
inline int __syncthreads_or(int predicate, HC_PLACE) {
  return emulator::block_count({file, line}, predicate != 0) > 0;
}
inline int __syncthreads_and(int predicate, HC_PLACE) {
  return emulator::block_count({file, line}, predicate == 0) == 0;
}
inline int __syncthreads_count(int predicate, HC_PLACE) {
  return emulator::block_count({file, line}, predicate != 0);
}
#undef HC_PLACE

inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __threadfence_system() {}

// ---- atomics: one thread runs at a time -------------------------------------------------------

#define HC_ATOMIC(name, T, expression) \
  inline T name(T* p, T v) {           \
    const T old = *p;                  \
    *p = expression;                   \
    return old;                        \
  }
#define HC_ATOMICS(T)                              \
  HC_ATOMIC(atomicAdd, T, static_cast<T>(old + v)) \
  HC_ATOMIC(atomicExch, T, v)                      \
  HC_ATOMIC(atomicMax, T, old < v ? v : old)       \
  HC_ATOMIC(atomicMin, T, v < old ? v : old)       \
  HC_ATOMIC(atomicOr, T, old | v)                  \
  HC_ATOMIC(atomicAnd, T, old& v)                  \
  HC_ATOMIC(atomicXor, T, old ^ v)                 \
  inline T atomicCAS(T* p, T expected, T v) {      \
    const T old = *p;                              \
    if (old == expected) *p = v;                   \
    return old;                                    \
  }
HC_ATOMICS(int)
HC_ATOMICS(unsigned)
HC_ATOMICS(unsigned long long)
HC_ATOMIC(atomicAdd, float, old + v)
HC_ATOMIC(atomicAdd, double, old + v)
#undef HC_ATOMICS
#undef HC_ATOMIC

// ---- loads, stores, bits ----------------------------------------------------------------------

template <class T>
T __ldg(const T* p) {
  return *p;
}
template <class T>
T __ldcg(const T* p) {
  return *p;
}
template <class T>
T __ldcs(const T* p) {
  return *p;
}
template <class T>
void __stcg(T* p, T value) {
  *p = value;
}
template <class T>
void __stcs(T* p, T value) {
  *p = value;
}

inline int __popc(unsigned x) { return std::popcount(x); }
inline int __ffs(int x) { return x == 0 ? 0 : std::countr_zero(static_cast<unsigned>(x)) + 1; }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>(std::uint64_t{a} * b >> 32);
}
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline long long __double_as_longlong(double x) { return std::bit_cast<long long>(x); }
inline double __longlong_as_double(long long x) { return std::bit_cast<double>(x); }
inline float rsqrt(float x) { return 1 / sqrtf(x); }
inline float rsqrtf(float x) { return 1 / sqrtf(x); }
inline double rsqrt(double x) { return 1 / sqrt(x); }

// ---- min and max without std ------------------------------------------------------------------

#define HC_MIN_MAX(T)                                        \
  inline constexpr T min(T a, T b) { return b < a ? b : a; } \
  inline constexpr T max(T a, T b) { return a < b ? b : a; }
HC_MIN_MAX(int)
HC_MIN_MAX(unsigned)
HC_MIN_MAX(long)
HC_MIN_MAX(unsigned long)
HC_MIN_MAX(long long)
HC_MIN_MAX(unsigned long long)
#undef HC_MIN_MAX
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }
