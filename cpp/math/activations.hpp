// The element-wise activations: each states f, f' and f'' at a point, and every pass follows.
//
// A new one is a struct here and a line in HC_ACTIVATIONS. Formulas are free of branches (loops
// over them vectorise), stay finite for |x| <= 1e4 wherever f does, and pass NaN on. At a kink f'
// is that of the outer piece: 0 for relu (at 0), relu6, hardtanh and hardsigmoid (at both ends),
// alpha for leaky_relu, 0 and 1 for hardswish; ELU and its kin take the exponential side at 0.
// Where a second derivative jumps it is the outer piece's too. A compiler may fuse a product with
// the sum it goes into, and does so according to what else is computed: passes that share f' agree
// to the bit as long as there is but one such product in a sum, or the others are read elsewhere.
#pragma once

#include <cstdint>

#include "math/approx.hpp"
#include "math/hd.hpp"

namespace hesscore::math {

// f(x), f'(x), f''(x)
template <class T>
struct Jet {
  T f, d, dd;
};

namespace detail {

// A piece-wise linear function with slope d, NaN where x is.
template <class T>
HC_HD Jet<T> linear_piece(T x, T f, T d) {
  return {x == x ? f : x, x == x ? d : x, x == x ? T(0) : x};
}

// The logistic function s(x), 1 - s(x) and s'(x), each accurate in relative error.
template <class T>
struct Logistic {
  T s, complement, d;
  T e;  // exp(-|x|)
};
template <class T>
HC_HD Logistic<T> logistic(T x) {
  const T e = exp(-std::fabs(x)), r = 1 / (1 + e), small = e * r;
  return {x < 0 ? small : r, x < 0 ? r : small, small * r, e};
}

template <class T>
HC_HD T positive_part(T x) {
  return x > 0 ? x : T(0);
}

// x for x > 0, else scale * alpha (e^(x / alpha') - 1), the family of ELU, SELU and CELU
template <class T>
HC_HD Jet<T> exponential_unit(T x, T scale, T alpha, T width) {
  const T left = (x > 0 ? T(0) : x) / width;
  const T e = exp(left), f = alpha * expm1(left), d = alpha / width * e, dd = d / width;
  const bool linear = x > 0;
  return {scale * (linear ? x : f), scale * (linear ? T(1) : d), scale * (linear ? T(0) : dd)};
}

}  // namespace detail

// `projection`: f(x) = x wherever f' is not 0, and the derivatives at f(x) are those at x.
// `affine`: f is affine, piece by piece.
// `increasing`: f never decreases, with an alpha that is not negative.
struct Relu {
  static constexpr bool projection = true, affine = true, increasing = true;
  template <class T>
  static HC_HD Jet<T> at(T x, T) {
    return detail::linear_piece(x, x > 0 ? x : T(0), x > 0 ? T(1) : T(0));
  }
};

struct LeakyRelu {  // alpha: the slope on the left
  static constexpr double alpha = 0.01;
  static constexpr bool affine = true, increasing = true;
  template <class T>
  static HC_HD Jet<T> at(T x, T a) {
    return detail::linear_piece(x, x > 0 ? x : a * x, x > 0 ? T(1) : a);
  }
};

struct Elu {  // alpha (e^x - 1) on the left
  static constexpr double alpha = 1;
  static constexpr bool increasing = true;
  template <class T>
  static HC_HD Jet<T> at(T x, T a) {
    return detail::exponential_unit(x, T(1), a, T(1));
  }
};

struct Selu {  // constants of Klambauer et al. 2017
  static constexpr bool increasing = true;
  template <class T>
  static HC_HD Jet<T> at(T x, T) {
    return detail::exponential_unit(x, T(1.0507009873554804934), T(1.6732632423543772848), T(1));
  }
};

struct Celu {  // alpha (e^(x / alpha) - 1) on the left
  static constexpr double alpha = 1;
  static constexpr bool increasing = true;
  template <class T>
  static HC_HD Jet<T> at(T x, T a) {
    return detail::exponential_unit(x, T(1), a, a);
  }
};

struct Gelu {  // x Phi(x)
  template <class T>
  static HC_HD Jet<T> at(T x, T) {
    const Normal<T> n = twice_normal(x);
    return {x / 2 * n.cdf, (n.cdf + x * n.pdf) / 2, n.pdf / 2 * (2 - x * x)};
  }
};

struct GeluTanh {  // x (1 + tanh(u)) / 2 = x s(2u), u = sqrt(2/pi) (x + 0.044715 x^3)
  template <class T>
  static HC_HD Jet<T> at(T x, T) {
    const T a = T(1.5957691216057307117),
            b = T(0.071354816272600247);  // 2 sqrt(2/pi), b / a = 0.044715
    const T z = x * x, v = x * (a + b * z), dv = a + 3 * b * z, ddv = 6 * b * x;
    const detail::Logistic<T> l = detail::logistic(v);
    const T d = l.d * dv, dd = l.d * ((l.complement - l.s) * dv * dv + ddv);
    return {x * l.s, l.s + x * d, 2 * d + x * dd};
  }
};

struct Silu {  // x s(x)
  template <class T>
  static HC_HD Jet<T> at(T x, T) {
    const detail::Logistic<T> l = detail::logistic(x);
    return {x * l.s, l.s + x * l.d, l.d * (2 + x * (l.complement - l.s))};
  }
};

// x t(x), t = tanh(log(1 + e^x)) = n (n + 2) / (n (n + 2) + 2) with n = e^x; for x > 0 in 1 - t
// both sides of the fraction are divided by n^2. t' = (1 - t^2) s, t'' = t' (1 - s - 2 t s).
struct Mish {
  template <class T>
  static HC_HD Jet<T> at(T x, T) {
    const detail::Logistic<T> l = detail::logistic(x);
    const T e = l.e, top = x < 0 ? e * (e + 2) : 2 * e * e;
    const T bottom = top + (x < 0 ? T(2) : 1 + 2 * e), r = 1 / bottom;
    const T part = top / bottom;  // not top * r, which may or may not fuse with what follows
    const T t = x < 0 ? part : 1 - part;
    const T d = 4 * e * (1 + e) * (x < 0 ? T(1) : e) * r * r;
    return {x * t, t + x * d, d * (2 + x * (l.complement - 2 * t * l.s))};
  }
};

struct Tanh {  // f' = 1 - f^2 = 4 s'(2x)
  static constexpr bool increasing = true;
  template <class T>
  static HC_HD Jet<T> at(T x, T) {
    const T f = tanh(x), d = 4 * detail::logistic(2 * x).d;
    return {f, d, -2 * f * d};
  }
};

struct Sigmoid {
  static constexpr bool increasing = true;
  template <class T>
  static HC_HD Jet<T> at(T x, T) {
    const detail::Logistic<T> l = detail::logistic(x);
    return {l.s, l.d, l.d * (l.complement - l.s)};
  }
};

struct Softplus {  // log(1 + e^x)
  static constexpr bool increasing = true;
  template <class T>
  static HC_HD Jet<T> at(T x, T) {
    const detail::Logistic<T> l = detail::logistic(x);
    return {detail::positive_part(x) + log1p(l.e), l.s, l.d};
  }
};

struct LogSigmoid {  // -log(1 + e^-x)
  static constexpr bool increasing = true;
  template <class T>
  static HC_HD Jet<T> at(T x, T) {
    const detail::Logistic<T> l = detail::logistic(x);
    return {-detail::positive_part(-x) - log1p(l.e), l.complement, -l.d};
  }
};

struct Hardtanh {  // x, cut at -1 and 1
  static constexpr bool projection = true, affine = true, increasing = true;
  template <class T>
  static HC_HD Jet<T> at(T x, T) {
    const T low = x < -1 ? T(-1) : x;
    return detail::linear_piece(x, low > 1 ? T(1) : low, (x > -1) & (x < 1) ? T(1) : T(0));
  }
};

struct Relu6 {  // x, cut at 0 and 6
  static constexpr bool projection = true, affine = true, increasing = true;
  template <class T>
  static HC_HD Jet<T> at(T x, T) {
    const T low = x < 0 ? T(0) : x;
    return detail::linear_piece(x, low > 6 ? T(6) : low, (x > 0) & (x < 6) ? T(1) : T(0));
  }
};

struct Hardsigmoid {  // relu6(x + 3) / 6
  static constexpr bool affine = true, increasing = true;
  template <class T>
  static HC_HD Jet<T> at(T x, T) {
    const Jet<T> j = Relu6::at(x + 3, T(0));
    return {j.f / 6, j.d / 6, j.dd};
  }
};

struct Hardswish {  // x relu6(x + 3) / 6
  template <class T>
  static HC_HD Jet<T> at(T x, T) {
    const Jet<T> j = Hardsigmoid::at(x, T(0));
    return {x * j.f, j.f + x * j.d, 2 * j.d};
  }
};

struct Softsign {  // x / (1 + |x|)
  static constexpr bool increasing = true;
  template <class T>
  static HC_HD Jet<T> at(T x, T) {
    const T r = 1 / (1 + std::fabs(x)), f = x * r;
    return {f, r * r, -2 * r * r * (x < 0 ? -r : (x > 0 ? r : x))};
  }
};

struct Sin {
  template <class T>
  static HC_HD Jet<T> at(T x, T) {
    const SinCos<T> s = sin_cos(x);
    return {s.sin, s.cos, -s.sin};
  }
};

struct Square {
  template <class T>
  static HC_HD Jet<T> at(T x, T) {
    return {x * x, 2 * x, x == x ? T(2) : x};
  }
};

struct Exp {
  static constexpr bool increasing = true;
  template <class T>
  static HC_HD Jet<T> at(T x, T) {
    const T e = exp(x);
    return {e, e, e};
  }
};

#define HC_ACTIVATIONS(X)     \
  X(Relu, relu)               \
  X(LeakyRelu, leaky_relu)    \
  X(Elu, elu)                 \
  X(Selu, selu)               \
  X(Celu, celu)               \
  X(Gelu, gelu)               \
  X(GeluTanh, gelu_tanh)      \
  X(Silu, silu)               \
  X(Mish, mish)               \
  X(Tanh, tanh)               \
  X(Sigmoid, sigmoid)         \
  X(Softplus, softplus)       \
  X(LogSigmoid, log_sigmoid)  \
  X(Hardtanh, hardtanh)       \
  X(Relu6, relu6)             \
  X(Hardswish, hardswish)     \
  X(Hardsigmoid, hardsigmoid) \
  X(Softsign, softsign)       \
  X(Sin, sin)                 \
  X(Square, square)           \
  X(Exp, exp)

enum class Act : std::int32_t {
#define X(Type, id) id,
  HC_ACTIVATIONS(X)
#undef X
};

struct ActivationInfo {
  const char* name;
  bool has_alpha;
  double alpha;  // the default
};

namespace detail {
template <class A>
constexpr ActivationInfo activation_info(const char* name) {
  if constexpr (requires { A::alpha; }) {
    return {name, true, A::alpha};
  } else {
    return {name, false, 0};
  }
}
}  // namespace detail

inline constexpr ActivationInfo kActivations[] = {
#define X(Type, id) detail::activation_info<Type>(#id),
    HC_ACTIVATIONS(X)
#undef X
};
inline constexpr std::int32_t kActivationCount = sizeof(kActivations) / sizeof(kActivations[0]);

// f(Relu{}) and so on: from an activation's number to its type.
template <class F>
inline void dispatch(std::int32_t id, F&& f) {
  switch (static_cast<Act>(id)) {
#define X(Type, name) \
  case Act::name:     \
    return f(Type{});
    HC_ACTIVATIONS(X)
#undef X
  }
}

}  // namespace hesscore::math
