// How numbers are multiplied: rounded to TF32, as pairs of TF32 numbers, or as they are.
#pragma once

#include "math/approx.hpp"
#include "product/choose.hpp"
#include "product/layout.hpp"
#include "ptx.cuh"

namespace hesscore::cuda {

// d[j] += left right[j], (16, 8) += (16, kSlice) (kSlice, 8), spread over a warp. Squares are
// taken before left() and right(): rounding comes last.
struct Tf32 : MmaLanes {
  using Number = float;
  static constexpr Rate kRate{512, 9, 1};
  static constexpr int kBlocks = 3;  // of a multiprocessor
  struct Left {
    std::uint32_t x[kLeft];
  };
  struct Right {
    std::uint32_t x[kRight];
  };
  static __device__ __forceinline__ Left left(const float (&x)[kLeft]) {
    return {{to_tf32(x[0]), to_tf32(x[1]), to_tf32(x[2]), to_tf32(x[3])}};
  }
  static __device__ __forceinline__ Right right(const float (&x)[kRight]) {
    return {{to_tf32(x[0]), to_tf32(x[1])}};
  }
  template <int kJ>
  static __device__ __forceinline__ void multiply(float (&d)[kJ][4], const Left& a,
                                                  const Right (&b)[kJ]) {
#pragma unroll
    for (int j = 0; j < kJ; ++j) mma_tf32(d[j], a.x, b[j].x);
  }
};

// x = big + small to 22 bits; the product of the small parts is below float's rounding. Tensor
// cores cut off what they add to, which over many terms of one sign would be a bias: a slice is all
// that they add up (Ootomo and Yokota 2022).
struct Tf32x3 : MmaLanes {
  using Number = float;
  static constexpr Rate kRate{170, 18, 1};
  static constexpr int kBlocks = 2;
  struct Left {
    std::uint32_t big[kLeft], small[kLeft];
  };
  struct Right {
    std::uint32_t big[kRight], small[kRight];
  };
  template <int kCount>
  static __device__ __forceinline__ void split(const float (&x)[kCount],
                                               std::uint32_t (&big)[kCount],
                                               std::uint32_t (&small)[kCount]) {
#pragma unroll
    for (int e = 0; e < kCount; ++e) {
      big[e] = to_tf32(x[e]) & 0xffffe000u;
      small[e] = to_tf32(x[e] - math::detail::from_bits(big[e]));
    }
  }
  static __device__ __forceinline__ Left left(const float (&x)[kLeft]) {
    Left l;
    split(x, l.big, l.small);
    return l;
  }
  static __device__ __forceinline__ Right right(const float (&x)[kRight]) {
    Right r;
    split(x, r.big, r.small);
    return r;
  }
  template <int kJ>
  static __device__ __forceinline__ void multiply(float (&d)[kJ][4], const Left& a,
                                                  const Right (&b)[kJ]) {
    float slice[kJ][4] = {};
#pragma unroll
    for (int j = 0; j < kJ; ++j) mma_tf32(slice[j], a.small, b[j].big);
#pragma unroll
    for (int j = 0; j < kJ; ++j) mma_tf32(slice[j], a.big, b[j].small);
#pragma unroll
    for (int j = 0; j < kJ; ++j) mma_tf32(slice[j], a.big, b[j].big);
#pragma unroll
    for (int j = 0; j < kJ; ++j) {
#pragma unroll
      for (int e = 0; e < 4; ++e) d[j][e] += slice[j][e];
    }
  }
};

template <class T>
struct Simt : SimtLanes {
  using Number = T;
  static constexpr Rate kRate{48, 12, sizeof(T) / 4};
  static constexpr int kBlocks = 3;
  struct Left {
    T x[kLeft];
  };
  struct Right {
    T x[kRight];
  };
  static __device__ __forceinline__ Left left(const T (&x)[kLeft]) { return {{x[0], x[1]}}; }
  static __device__ __forceinline__ Right right(const T (&x)[kRight]) { return {{x[0], x[1]}}; }
  template <int kJ>
  static __device__ __forceinline__ void multiply(T (&d)[kJ][4], const Left& a,
                                                  const Right (&b)[kJ]) {
#pragma unroll
    for (int j = 0; j < kJ; ++j) {
#pragma unroll
      for (int e = 0; e < 4; ++e) d[j][e] = fma(a.x[e / 2], b[j].x[e % 2], d[j][e]);
    }
  }
};

}  // namespace hesscore::cuda
