// Vectors of the instruction set a file is compiled for: one source gives every variant. Helpers
// are inlined always, so that none is left behind as a symbol another variant could call.
#pragma once

#include <cstdint>
#include <utility>

#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

#if !defined(HC_ISA)
#error "files under cpu/isa are compiled with -DHC_ISA=portable, avx2 or avx512"
#endif

#define HC_INLINE [[gnu::always_inline]] static inline
#if defined(__clang__)
#define HC_UNROLL _Pragma("clang loop unroll(full)")
#else
#define HC_UNROLL _Pragma("GCC unroll 32")
#endif

namespace hesscore::cpu::HC_ISA {

#if defined(__AVX512F__)
inline constexpr int kVectorBytes = 64;
inline constexpr int kVectorRegisters = 32;
#elif defined(__AVX2__)
inline constexpr int kVectorBytes = 32;
inline constexpr int kVectorRegisters = 16;
#else
inline constexpr int kVectorBytes = 16;
inline constexpr int kVectorRegisters = 16;
#endif

template <class T>
struct VecType {
  typedef T Register __attribute__((vector_size(kVectorBytes)));
  typedef T InMemory __attribute__((vector_size(kVectorBytes), aligned(sizeof(T)), may_alias));
};

// +, -, * and / work lane by lane, with a vector or a number on either side.
template <class T>
using Vec = typename VecType<T>::Register;

template <class T>
inline constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(T));

template <class T>
HC_INLINE Vec<T> load(const T* p) {
  return *reinterpret_cast<const typename VecType<T>::InMemory*>(p);
}

template <class T>
HC_INLINE void store(T* p, Vec<T> x) {
  *reinterpret_cast<typename VecType<T>::InMemory*>(p) = x;
}

template <class T>
HC_INLINE Vec<T> splat(T x) {
  return x - Vec<T>{};
}

// a * b + c, rounded once where the processor can.
#if defined(__AVX512F__)
HC_INLINE Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
  return (Vec<float>)_mm512_fmadd_ps(a, b, c);
}
HC_INLINE Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
  return (Vec<double>)_mm512_fmadd_pd(a, b, c);
}
#elif defined(__AVX2__)
HC_INLINE Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) {
  return (Vec<float>)_mm256_fmadd_ps(a, b, c);
}
HC_INLINE Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) {
  return (Vec<double>)_mm256_fmadd_pd(a, b, c);
}
#else
template <class V>
HC_INLINE V fma(V a, V b, V c) {
  return a * b + c;
}
#endif

// The first n lanes, 0 <= n <= kLanes; memory beyond them is not touched, their lanes are zero.
#if defined(__AVX512F__)
HC_INLINE Vec<float> load_partial(const float* p, int n) {
  return (Vec<float>)_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p);
}
HC_INLINE Vec<double> load_partial(const double* p, int n) {
  return (Vec<double>)_mm512_maskz_loadu_pd(static_cast<__mmask8>((1u << n) - 1), p);
}
HC_INLINE void store_partial(float* p, Vec<float> x, int n) {
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), x);
}
HC_INLINE void store_partial(double* p, Vec<double> x, int n) {
  _mm512_mask_storeu_pd(p, static_cast<__mmask8>((1u << n) - 1), x);
}
#else
template <class T>
HC_INLINE Vec<T> load_partial(const T* p, int n) {
  Vec<T> x{};
  for (int i = 0; i < n; ++i) x[i] = p[i];
  return x;
}
template <class T>
HC_INLINE void store_partial(T* p, Vec<T> x, int n) {
  for (int i = 0; i < n; ++i) p[i] = x[i];
}
#endif

// The lanes of a and b by turns, a0 b0 a1 b1 ...: the lower and the upper half of that sequence.
template <class V>
HC_INLINE V interleave_low(V a, V b) {
  constexpr int lanes = sizeof(V) / sizeof(a[0]);
  if constexpr (lanes == 2) {
    return __builtin_shufflevector(a, b, 0, 2);
  } else if constexpr (lanes == 4) {
    return __builtin_shufflevector(a, b, 0, 4, 1, 5);
  } else if constexpr (lanes == 8) {
    return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
  } else {
    return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  }
}

template <class V>
HC_INLINE V interleave_high(V a, V b) {
  constexpr int lanes = sizeof(V) / sizeof(a[0]);
  if constexpr (lanes == 2) {
    return __builtin_shufflevector(a, b, 1, 3);
  } else if constexpr (lanes == 4) {
    return __builtin_shufflevector(a, b, 2, 6, 3, 7);
  } else if constexpr (lanes == 8) {
    return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
  } else {
    return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15,
                                   31);
  }
}

// r holds a (Rows, lanes) matrix; afterwards the same registers, read one after the other, hold its
// transpose (lanes, Rows). Rows is a power of two up to the number of lanes. Each round moves the
// top bit of an element's address to the bottom.
template <int Rows, class V>
HC_INLINE void transpose(V (&r)[Rows]) {
  HC_UNROLL for (int round = 1; round < Rows; round *= 2) {
    V t[Rows];
    HC_UNROLL for (int i = 0; i < Rows / 2; ++i) {
      t[2 * i] = interleave_low(r[i], r[i + Rows / 2]);
      t[2 * i + 1] = interleave_high(r[i], r[i + Rows / 2]);
    }
    HC_UNROLL for (int i = 0; i < Rows; ++i) r[i] = t[i];
  }
}

// Every second number from `first` on of the lanes of a and then b.
template <int first, class V, int... I>
HC_INLINE V halves(V a, V b, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(a, b, (2 * I + first)...);
}

// Every third number from `first` on of the lanes of a, b and then c.
template <int first, class V, int... I>
HC_INLINE V thirds(V a, V b, V c, std::integer_sequence<int, I...>) {
  constexpr int lanes = sizeof...(I);
  constexpr auto second = [](int i) { return 3 * i + first - 2 * lanes; };
  const V ab = __builtin_shufflevector(a, b, (second(I) < 0 ? 3 * I + first : 0)...);
  return __builtin_shufflevector(ab, c, (second(I) < 0 ? I : lanes + second(I))...);
}

// r, read one register after the other, holds a (lanes, Rows) matrix; afterwards its transpose.
// Rows is a power of two, or three times one. Each round moves the bottom bit, or the bottom digit
// to base 3, of an element's address to the top.
template <int Rows, class V>
HC_INLINE void transpose_back(V (&r)[Rows]) {
  using Lanes = std::make_integer_sequence<int, sizeof(V) / sizeof(r[0][0])>;
  V t[Rows];
  HC_UNROLL for (int left = Rows; left % 2 == 0; left /= 2) {
    HC_UNROLL for (int i = 0; i < Rows / 2; ++i) {
      t[i] = halves<0>(r[2 * i], r[2 * i + 1], Lanes{});
      t[i + Rows / 2] = halves<1>(r[2 * i], r[2 * i + 1], Lanes{});
    }
    HC_UNROLL for (int i = 0; i < Rows; ++i) r[i] = t[i];
  }
  if constexpr (Rows % 3 == 0) {
    constexpr int n = Rows / 3;
    HC_UNROLL for (int i = 0; i < n; ++i) {
      t[i] = thirds<0>(r[3 * i], r[3 * i + 1], r[3 * i + 2], Lanes{});
      t[i + n] = thirds<1>(r[3 * i], r[3 * i + 1], r[3 * i + 2], Lanes{});
      t[i + 2 * n] = thirds<2>(r[3 * i], r[3 * i + 1], r[3 * i + 2], Lanes{});
    }
    HC_UNROLL for (int i = 0; i < Rows; ++i) r[i] = t[i];
  }
}

// Lane i: the sum over the lanes of r[i].
template <int Rows, class V>
HC_INLINE V lane_sums(V (&r)[Rows]) {
  static_assert(Rows == sizeof(V) / sizeof(r[0][0]));
  HC_UNROLL for (int n = Rows / 2; n > 0; n /= 2) {
    HC_UNROLL for (int i = 0; i < n; ++i) {
      r[i] = interleave_low(r[i], r[i + n]) + interleave_high(r[i], r[i + n]);
    }
  }
  return r[0];
}

}  // namespace hesscore::cpu::HC_ISA
