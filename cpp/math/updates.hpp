// One optimizer update of one parameter. UpdateSpec says what the letters mean.
#pragma once

#include <cmath>

#include "math/approx.hpp"
#include "math/hd.hpp"
#include "math/update_spec.hpp"

namespace hesscore::math {

// The gradient within its limits; `square` is that of its norm.
template <class T>
struct Clip {
  T scale, limit;

  HC_HD Clip(const UpdateSpec& s, double square)
      : scale(T(1)), limit(s.clip_value > 0 ? static_cast<T>(s.clip_value) : T(INFINITY)) {
    const double norm = std::sqrt(square);
    if (s.clip_norm > 0 && norm > s.clip_norm) scale = static_cast<T>(s.clip_norm / norm);
  }
  HC_HD T operator()(T g) const {
    const T part = scale * g;
    return part > limit ? limit : (part < -limit ? -limit : part);
  }
};

// The exponential mean of w.
template <class T>
struct Averaged {
  T keep, rest;

  HC_HD explicit Averaged(const UpdateSpec& s)
      : keep(static_cast<T>(s.first ? 0 : s.ema)), rest(static_cast<T>(s.first ? 1 : 1 - s.ema)) {}
  HC_HD void step(T& mean, T w) const { mean = keep * mean + rest * w; }
};

template <class T>
struct Sgd {
  T lr, momentum, decay;
  bool nesterov, first;

  HC_HD explicit Sgd(const UpdateSpec& s)
      : lr(static_cast<T>(s.lr)),
        momentum(static_cast<T>(s.momentum)),
        decay(static_cast<T>(s.decay)),
        nesterov(s.nesterov),
        first(s.first) {}

  // without momentum
  HC_HD void step(T& w, T g) const { w -= lr * (g + decay * w); }

  HC_HD void step(T& w, T& m, T g) const {
    const T slope = g + decay * w;
    m = first ? slope : momentum * m + slope;
    w -= lr * (nesterov ? slope + momentum * m : m);
  }
};

// The exponent of u: loops over 1/2 and 1 need no power function.
enum class Root { half, one, general };

HC_HD double root_exponent(const UpdateSpec& s) { return s.abs_moment ? s.power : s.power / 2; }
HC_HD Root root_of(const UpdateSpec& s) {
  const double e = root_exponent(s);
  return e == 0.5 ? Root::half : (e == 1 ? Root::one : Root::general);
}

// f(a constant that is a Root)
template <Root kRoot>
struct RootConstant {
  constexpr Root operator()() const { return kRoot; }
};
template <class F>
inline void with_root(const UpdateSpec& s, F&& f) {
  switch (root_of(s)) {
    case Root::half:
      return f(RootConstant<Root::half>{});
    case Root::one:
      return f(RootConstant<Root::one>{});
    case Root::general:
      return f(RootConstant<Root::general>{});
  }
}

template <class T, Root kRoot>
struct Adam {
  T lr, beta1, rest1, beta2, rest2, eps, shrink, l2, scale1, scale2, exponent;
  T linear, quadratic;  // 1 and 0 for the moment of |d|, 0 and 1 for that of d^2

  HC_HD explicit Adam(const UpdateSpec& s)
      : lr(static_cast<T>(s.lr)),
        beta1(static_cast<T>(s.beta1)),
        rest1(static_cast<T>(1 - s.beta1)),
        beta2(static_cast<T>(s.beta2)),
        rest2(static_cast<T>(1 - s.beta2)),
        eps(static_cast<T>(s.eps)),
        shrink(static_cast<T>(s.decoupled ? 1 - s.lr * s.decay : 1)),
        l2(static_cast<T>(s.decoupled ? 0 : s.decay)),
        scale1(static_cast<T>(1 / s.correction1)),
        scale2(static_cast<T>(1 / s.correction2)),
        exponent(static_cast<T>(root_exponent(s))),
        linear(s.abs_moment ? T(1) : T(0)),
        quadratic(s.abs_moment ? T(0) : T(1)) {}

  // d == nullptr: the gradient, weight decay included
  HC_HD void step(T& w, T& m, T& u, T g, const T* d) const {
    const T slope = g + l2 * w, size = std::fabs(d != nullptr ? *d : slope);
    m = beta1 * m + rest1 * slope;
    u = beta2 * u + rest2 * (size * (linear + quadratic * size));
    w = shrink * w - lr * direction(m, u);
  }
  HC_HD T direction(T m, T u) const { return (m * scale1) / (root(u * scale2) + eps); }

  // h s^2 of the direction s, h = sqrt(u), or u for |d|: how the loss curves along it
  HC_HD T curvature(T m, T u) const {
    const T s = direction(m, u), h = quadratic != 0 ? std::sqrt(u) : u;
    return h * s * s;
  }

 private:
  HC_HD T root(T v) const {
    if constexpr (kRoot == Root::half) return std::sqrt(v);
    if constexpr (kRoot == Root::one) return v;
    if constexpr (kRoot == Root::general) return power(v, exponent);
  }
};

template <class T>
struct Sophia {
  T lr, beta1, rest1, beta2, rest2, eps, shrink, gamma;

  HC_HD explicit Sophia(const UpdateSpec& s)
      : lr(static_cast<T>(s.lr)),
        beta1(static_cast<T>(s.beta1)),
        rest1(static_cast<T>(1 - s.beta1)),
        beta2(static_cast<T>(s.beta2)),
        rest2(static_cast<T>(1 - s.beta2)),
        eps(static_cast<T>(s.eps)),
        shrink(static_cast<T>(1 - s.lr * s.decay)),
        gamma(static_cast<T>(s.gamma)) {}

  // d == nullptr: u stays
  HC_HD void step(T& w, T& m, T& u, T g, const T* d) const {
    m = beta1 * m + rest1 * g;
    if (d != nullptr) u = beta2 * u + rest2 * *d;
    const T curvature = gamma * u, ratio = m / (curvature > eps ? curvature : eps);
    w = shrink * w - lr * (ratio > 1 ? T(1) : (ratio < -1 ? T(-1) : ratio));
  }
};

}  // namespace hesscore::math
