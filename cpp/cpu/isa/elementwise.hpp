// What the element-wise kernels share: chunks, blocks, stores, and registration for both dtypes.
#pragma once

#include <cstdint>

#include "backend/kernels.hpp"
#include "cpu/isa/register.hpp"
#include "cpu/parallel.hpp"

// Adds function<float> and function<double>.
#define HC_ADD(table, Key, function)                       \
  (table).add<kernels::Key>(DType::f32, &function<float>); \
  (table).add<kernels::Key>(DType::f64, &function<double>)
#define HC_ADD_REHEARSED(table, Key, function)                       \
  (table).add_rehearsed<kernels::Key>(DType::f32, &function<float>); \
  (table).add_rehearsed<kernels::Key>(DType::f64, &function<double>)

namespace hesscore::cpu::HC_ISA {

constexpr std::int64_t kGrain = 16384;  // elements worth waking a thread for
constexpr std::int64_t kBlock = 512;    // elements whose intermediate results stay in the L1 cache

// y (+)= value(i). Element i of an input may be element i of y: in place is allowed.
template <class T, class F>
inline void store(T* y, std::int64_t n, bool accumulate, F value) {
  if (accumulate) {
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) y[i] += value(i);
  } else {
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) y[i] = value(i);
  }
}

// p + i, for an array that may be absent
template <class T>
inline T* advance(T* p, std::int64_t i) {
  return p == nullptr ? p : p + i;
}

// body(begin, count) over [0, n) in blocks of at most kBlock, on the pool when there is work
// enough; `weight` is the work of one element in units of a cheap one.
template <class F>
inline void for_blocks(std::int64_t n, std::int64_t weight, F body) {
  const std::int64_t blocks = (kGrain / kBlock + weight - 1) / weight;
  parallel_chunks(n, blocks * kBlock, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; i += kBlock) body(i, end - i < kBlock ? end - i : kBlock);
  });
}

}  // namespace hesscore::cpu::HC_ISA
