// Outer products: many numbers, each one multiplication, so that all depends on how they are
// written. What no cache holds goes past the caches, which otherwise fetch every line first.
#pragma once

#include "cpu/isa/blocks.hpp"

namespace hesscore::cpu::HC_ISA {

// p is a multiple of kVectorBytes. Such stores are ordered by end_stream().
#if defined(__AVX512F__)
HC_INLINE void stream(float* p, Vec<float> x) { _mm512_stream_ps(p, (__m512)x); }
HC_INLINE void stream(double* p, Vec<double> x) { _mm512_stream_pd(p, (__m512d)x); }
HC_INLINE void end_stream() { _mm_sfence(); }
#elif defined(__AVX2__)
HC_INLINE void stream(float* p, Vec<float> x) { _mm256_stream_ps(p, (__m256)x); }
HC_INLINE void stream(double* p, Vec<double> x) { _mm256_stream_pd(p, (__m256d)x); }
HC_INLINE void end_stream() { _mm_sfence(); }
#else
template <class T>
HC_INLINE void stream(T* p, Vec<T> x) {
  store(p, x);
}
HC_INLINE void end_stream() {}
#endif

// For b < batch: c_b = a_b b_b', rows of n numbers, with the squares of a or b if these are wanted.
// Nothing is added: the compiler would round a sum and its product at once, where tiles round
// twice.
template <class T>
struct Outer {
  const T *a, *b;
  T* c;
  std::int64_t m, n, batch = 1, stride_a = 0, stride_b = 0, stride_c = 0;
  bool square_a = false, square_b = false;

  static constexpr std::int64_t kCached = 8 << 20;  // bytes

  void run() const {
    const bool streams = batch * m * n * std::int64_t{sizeof(T)} > kCached;
    const std::int64_t some = at_least(kTaskWork * kLanes<T> / (2 * at_least(n, 1)), 1);
    const std::int64_t rows = at_most(some, m), pieces = (m + rows - 1) / rows;
    const bool serial = batch * m * n < kSerialWork;
    for_each_task(batch * pieces, serial, [&](std::int64_t i) {
      const std::int64_t item = i / pieces, first = i % pieces * rows;
      const std::int64_t last = at_most(first + rows, m);
      const T *from = a + item * stride_a, *row = b + item * stride_b;
      T* to = c + item * stride_c;
      for (std::int64_t r = first; r < last; ++r) {
        const T factor = square_a ? from[r] * from[r] : from[r];
        (streams    ? square_b ? &stream_row<true> : &stream_row<false>
         : square_b ? &put_row<true>
                    : &put_row<false>)(factor, row, to + r * n, n);
      }
      if (streams) end_stream();
    });
  }

 private:
  template <bool square, class X>
  static X power(X x) {
    return square ? x * x : x;
  }

  template <bool square>
  static void put_row(T factor, const T* row, T* to, std::int64_t n) {
    const Vec<T> f = splat(factor);
    std::int64_t i = 0;
    for (; i + kLanes<T> <= n; i += kLanes<T>) {
      store(to + i, f * power<square>(load(row + i)));
    }
    for (; i < n; ++i) to[i] = factor * power<square>(row[i]);
  }

  template <bool square>
  static void stream_row(T factor, const T* row, T* to, std::int64_t n) {
    const Vec<T> f = splat(factor);
    const auto at = reinterpret_cast<std::uintptr_t>(to) % kVectorBytes / sizeof(T);
    const std::int64_t head = at_most(at ? kLanes<T> - static_cast<std::int64_t>(at) : 0, n);
    std::int64_t i = 0;
    for (; i < head; ++i) to[i] = factor * power<square>(row[i]);
    for (; i + kLanes<T> <= n; i += kLanes<T>) stream(to + i, f * power<square>(load(row + i)));
    for (; i < n; ++i) to[i] = factor * power<square>(row[i]);
  }
};

}  // namespace hesscore::cpu::HC_ISA
