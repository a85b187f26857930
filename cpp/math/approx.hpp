// exp, expm1, log, log1p, tanh, sine and cosine, and the normal distribution for the element-wise
// rules. float: own branch-free approximations, which compilers vectorise and the GPU shares;
// double: the standard library's. Infinities, NaN, overflow and underflow behave as in the standard
// library.
//
// The polynomials are minimax fits, made by bench/fit_approx.py. Largest errors, with and without
// fused multiply-add: exp 1.0, expm1 1.7, log 0.8, log1p 1.4, tanh 1.4, sine and cosine 1.6,
// Phi 5.4 and its density 2.1 ulp.
#pragma once

#include <cmath>
#include <cstdint>

#include "math/hd.hpp"

namespace hesscore::math {

// c[0] + c[1] x + ..., by Horner's rule.
template <class T>
HC_HD T polynomial(T, T c0) {
  return c0;
}
template <class T, class... C>
HC_HD T polynomial(T x, T c0, C... c) {
  return polynomial(x, c...) * x + c0;
}

namespace detail {

HC_HD std::uint32_t bits(float x) { return __builtin_bit_cast(std::uint32_t, x); }
HC_HD float from_bits(std::uint32_t b) { return __builtin_bit_cast(float, b); }
HC_HD float power_of_two(std::int32_t n) {
  return from_bits(static_cast<std::uint32_t>(n + 127) << 23);
}

constexpr float kRound = 12582912.f;  // 1.5 * 2^23: adding it rounds to an integer in the low bits
constexpr float kLog2E = 1.44269504f, kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;

// x = n ln 2 + r with |r| <= ln 2 / 2; x is clamped to where exp(x) is neither 0 nor infinite yet.
struct Reduced {
  std::int32_t n;
  float r;
};
HC_HD Reduced reduce_exp(float x) {
  const float low = x < -104.f ? -104.f : x;
  const float y = low > 89.f ? 89.f : low;
  const float t = y * kLog2E + kRound;
  const float k = t - kRound;
  const float r = (y - k * kLn2High) - k * kLn2Low;
  return {static_cast<std::int32_t>(bits(t) - bits(kRound)), r};
}

// e^r - 1
HC_HD float expm1_reduced(float r) {
  const float q =
      polynomial(r, 0.49999994f, 0.166665211f, 0.041668389f, 0.00836871006f, 0.00138146128f);
  return q * (r * r) + r;
}

// 2^n e^r. The power is applied in two halves, because 2^n alone may overflow or underflow.
HC_HD float exp_reduced(Reduced a) {
  const std::int32_t half = a.n >> 1;
  return (expm1_reduced(a.r) + 1.f) * power_of_two(half) * power_of_two(a.n - half);
}

// log(2^e (1 + f)) for 1 + f in [sqrt(1/2), sqrt(2)]
HC_HD float log_reduced(float f, float e) {
  const float p =
      polynomial(f, 0.333333135f, -0.250000089f, 0.200021192f, -0.166679963f, 0.142195523f,
                 -0.124055892f, 0.11888162f, -0.116756514f, 0.0674664006f);
  const float z = f * f;
  const float y = (p * (z * f) + e * kLn2Low) - 0.5f * z;
  return (f + y) + e * kLn2High;
}

// x = 2^e m with m in [sqrt(1/2), sqrt(2)), for normal x > 0
struct Split {
  std::int32_t e;
  float m;
};
HC_HD Split split(float x) {
  constexpr std::uint32_t kSqrtHalf = 0x3f3504f3;
  const std::uint32_t b = bits(x) - kSqrtHalf;
  return {static_cast<std::int32_t>(b) >> 23, from_bits((b & 0x007fffff) + kSqrtHalf)};
}

// The logarithm's special values: `y` where x is positive and finite.
HC_HD float log_special(float x, float y) {
  const float at_zero = x == 0.f ? -HUGE_VALF : y;
  const float below = x < 0.f ? NAN : at_zero;
  return x < HUGE_VALF ? below : x;
}

}  // namespace detail

HC_HD float exp(float x) { return detail::exp_reduced(detail::reduce_exp(x)); }
HC_HD double exp(double x) { return std::exp(x); }

HC_HD float expm1(float x) {
  const detail::Reduced a = detail::reduce_exp(x);
  const float scale = detail::power_of_two(a.n < -126 ? -126 : (a.n > 127 ? 127 : a.n));
  const float small = detail::expm1_reduced(a.r) * scale + (scale - 1.f);
  const float large = detail::exp_reduced(a) - 1.f;
  return x > 1.f ? large : small;
}
HC_HD double expm1(double x) { return std::expm1(x); }

HC_HD float log(float x) {
  const bool tiny = x < 1.17549435e-38f;
  const detail::Split s = detail::split(tiny ? x * 8388608.f : x);
  const float e = static_cast<float>(s.e) - (tiny ? 23.f : 0.f);
  return detail::log_special(x, detail::log_reduced(s.m - 1.f, e));
}
HC_HD double log(double x) { return std::log(x); }

HC_HD float log1p(float x) {
  const float u = 1.f + x;
  const float lost = x < 1.f ? x - (u - 1.f) : 1.f - (u - x);  // u + lost = 1 + x exactly
  const detail::Split s = detail::split(u);
  const float f = (s.m - 1.f) + lost * detail::power_of_two(s.e > 126 ? -126 : -s.e);
  const float y = detail::log_reduced(f, static_cast<float>(s.e));
  return x < HUGE_VALF ? detail::log_special(u, y) : x;
}
HC_HD double log1p(double x) { return std::log1p(x); }

// x^y for x >= 0. float: relative error about |y log x| 2^-24, enough for step sizes; zero counts
// as the smallest normal number.
HC_HD float power(float x, float y) {
  return exp(y * log(x < 1.17549435e-38f ? 1.17549435e-38f : x));
}
HC_HD double power(double x, double y) { return std::pow(x, y); }

HC_HD float tanh(float x) {
  const float z = x * x;
  const float p =
      polynomial(z, -0.333332807f, 0.133314416f, -0.0537397154f, 0.020639088f, -0.00570498733f);
  const float near = p * (z * x) + x;
  const float e = exp(-std::fabs(2 * x)), r = 1 / (1 + e);
  const float far = std::copysign(1.f - 2.f * (e * r), x);
  return std::fabs(x) < 0.625f ? near : far;
}
HC_HD double tanh(double x) { return std::tanh(x); }

template <class T>
struct SinCos {
  T sin, cos;
};

// Reduced by pi/2 in double: accurate for |x| < 1e8, bounded beyond.
HC_HD SinCos<float> sin_cos(float x) {
  constexpr double kRound = 6755399441055744.0;  // 1.5 * 2^52
  const double wide = x;
  const double t = wide * 0.63661977236758134 + kRound;
  const float reduced = static_cast<float>(wide - (t - kRound) * 1.5707963267948966);
  const float above = reduced < -1.f ? -1.f : reduced;
  const float r = above > 1.f ? 1.f : above;
  const float z = r * r;
  const float s =
      r + (r * z) * polynomial(z, -0.166666672f, 0.00833332911f, -0.000198393129f, 2.71812155e-06f);
  const float c =
      (1.f - 0.5f * z) + (z * z) * polynomial(z, 0.0416666456f, -0.00138873165f, 2.44331568e-05f);
  const auto quadrant = static_cast<std::uint32_t>(__builtin_bit_cast(std::uint64_t, t));
  const float sine = (quadrant & 1) != 0 ? c : s, cosine = (quadrant & 1) != 0 ? s : c;
  return {(quadrant & 2) != 0 ? -sine : sine, ((quadrant + 1) & 2) != 0 ? -cosine : cosine};
}
HC_HD SinCos<double> sin_cos(double x) { return {std::sin(x), std::cos(x)}; }

// Twice the normal distribution's function Phi(x), and twice its density.
template <class T>
struct Normal {
  T cdf, pdf;
};

// Phi(-a) = exp(-a^2/2) P(t) / (a + 4), t = (a - 4) / (a + 4): small also in relative error.
HC_HD Normal<float> twice_normal(float x) {
  const float size = std::fabs(x);
  const float a = size > 15.f ? 15.f : size;
  const float high = detail::from_bits(detail::bits(a) & 0xfffff000);  // high * high is exact
  detail::Reduced e = detail::reduce_exp(-0.5f * (high * high));
  e.r -= 0.5f * ((a - high) * (a + high));
  const float bell = detail::exp_reduced(e);
  const float w = 1.f / (a + 4.f), t = (a - 4.f) * w;
  const float tail = 2.f * bell * w *
                     polynomial(t, 0.755285144f, -0.607896566f, 0.387136906f, -0.186523661f,
                                0.0604034886f, -0.00752400421f, -0.00351021066f, 0.00156840833f,
                                0.000174659042f, -0.000134196467f);
  return {x > 0.f ? 2.f - tail : tail, 0.797884561f * bell};
}
HC_HD Normal<double> twice_normal(double x) {
  return {std::erfc(-0.70710678118654752440 * x), 0.79788456080286535588 * std::exp(-0.5 * x * x)};
}

}  // namespace hesscore::math
