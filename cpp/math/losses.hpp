// The losses at one position: what every backend's loss kernels are made of.
//
// An element-wise loss states its jet (l, l', l'') in the logit and a deviate u with E[u^2] = l'';
// gradient, Hessian, columns and samples follow. Cross-entropy and the Gaussian NLL state value,
// gradient, Hessian, square-root columns and samples themselves. Stable for logits up to +-1e4.
#pragma once

#include "math/activations.hpp"
#include "math/loss_spec.hpp"
#include "math/rng.hpp"

namespace hesscore::math {

// weight * value, where a weight of zero also silences infinities and NaN: padding costs nothing.
template <class T>
HC_HD T weighted(T weight, T value) {
  return weight == 0 ? T(0) : weight * value;
}

struct SquaredError {  // (z - y)^2
  template <class T>
  static HC_HD Jet<T> at(T z, T y, T) {
    const T r = z - y;
    return {r * r, 2 * r, T(2)};
  }
  template <class T>
  static HC_HD T deviate(T, T, T, const Random& random) {
    return T(1.4142135623730950488) * standard_normal<T>(random);
  }
};

// (1 - y) z + q log(1 + e^-z), q = 1 + (p - 1) y, p the weight of positives; the deviate is that of
// a Bernoulli label
struct BinaryCrossEntropy {
  template <class T>
  static HC_HD Jet<T> at(T z, T y, T p) {
    const detail::Logistic<T> l = detail::logistic(z);
    const T q = 1 + (p - 1) * y, softplus = detail::positive_part(-z) + log1p(l.e);
    return {(1 - y) * z + q * softplus, (1 - y) - q * l.complement, q * l.d};
  }
  template <class T>
  static HC_HD T deviate(T z, T y, T p, const Random& random) {
    const detail::Logistic<T> l = detail::logistic(z);
    const bool one = uniform<T>(random.a, random.b) < l.s;
    return std::sqrt(1 + (p - 1) * y) * (one ? -l.complement : l.s);
  }
};

struct PoissonNll {  // e^z - y z
  template <class T>
  static HC_HD Jet<T> at(T z, T y, T) {
    const T e = exp(z);
    return {e - y * z, e - y, e};
  }
  template <class T>
  static HC_HD T deviate(T z, T, T, const Random& random) {
    return random_sign<T>(random.a, 0) * exp(T(0.5) * z);
  }
};

struct Huber {  // r^2 / 2 where |r| < delta, else delta (|r| - delta / 2)
  template <class T>
  static HC_HD Jet<T> at(T z, T y, T delta) {
    const T r = z - y, size = std::fabs(r);
    const bool inside = size < delta;
    const T linear = delta * (size - T(0.5) * delta), slope = std::copysign(delta, r);
    return {size >= delta ? linear : T(0.5) * r * r, size >= delta ? slope : r, T(inside)};
  }
  template <class T>
  static HC_HD T deviate(T z, T y, T delta, const Random& random) {
    return std::fabs(z - y) < delta ? random_sign<T>(random.a, 0) : T(0);
  }
};

// Softmax cross-entropy sum_c t_c (-log p_c), omega = sum_c t_c, in terms of p and the targets t.
struct CrossEntropy {
  // t_c of class weight w: `share` is [c = y] or the given probability
  template <class T>
  static HC_HD T target(T w, T share, T smoothing, T classes) {
    return w * ((1 - smoothing) * share + smoothing / classes);
  }
  template <class T>
  static HC_HD T value(T t, T minus_log_p) {
    return weighted(t, minus_log_p);
  }
  template <class T>
  static HC_HD T gradient(T omega, T p, T t) {
    return omega * p - t;
  }
  // component of H v; along = sum_c p_c v_c
  template <class T>
  static HC_HD T product(T omega, T p, T v, T along) {
    return omega * p * (v - along);
  }
  template <class T>
  static HC_HD T diagonal(T omega, T p) {
    return omega * p * (1 - p);
  }
  // Becker and LeCun: the softmax treated as if it were element-wise
  template <class T>
  static HC_HD T bl89(T t, T p) {
    return t * p * (1 - p);
  }
  // Column k of the Cholesky factor S of H / omega = diag(p) - p p', with tail = sum_{c>k} p_c:
  //   S_kk = sqrt(p_k tail / (p_k + tail)),   S_ck = -p_c / tail S_kk for c > k,   0 for c < k.
  // The last column is zero. Both ratios are at most one, and no 1 - p, which cancels, is formed.
  template <class T>
  static HC_HD T pivot(T omega, T p, T tail) {
    return tail > 0 ? std::sqrt(omega * (p / (p + tail)) * tail) : tail;
  }
  template <class T>
  static HC_HD T below(T pivot, T p, T tail) {
    return tail > 0 ? -(p / tail) * pivot : tail;
  }
  // gradient for a label drawn from p; hit = [c = label]
  template <class T>
  static HC_HD T sample(T omega, T p, T hit) {
    return std::sqrt(omega) * (p - hit);
  }
};

template <class T>
struct Pair {
  T first, second;
};

// (s + r^2 e^-s) / 2, r = mean - y, s the log-variance. Its Hessian e^-s M with
// M = [[1, -r], [-r, r^2/2]] has determinant -r^2/2: a positive and a negative eigenvalue.
template <class T>
struct GaussianNll {
  T r, s, precision;
  HC_HD GaussianNll(T mean, T log_variance, T y)
      : r(mean - y), s(log_variance), precision(exp(-log_variance)) {}

  HC_HD T value() const { return T(0.5) * (s + r * r * precision); }
  HC_HD Pair<T> gradient() const { return {r * precision, T(0.5) * (1 - r * r * precision)}; }
  HC_HD Pair<T> diagonal() const { return {precision, T(0.5) * r * r * precision}; }
  HC_HD Pair<T> product(Pair<T> v) const {
    return {precision * (v.first - r * v.second),
            precision * r * (T(0.5) * r * v.second - v.first)};
  }

  // Column 0 belongs to the positive eigenvalue, column 1 to the negative one. The eigenvector is
  // taken from the row of M - lambda that does not cancel.
  HC_HD Pair<T> column(std::int64_t which) const {
    const T half = T(0.5) * r * r;
    const T root = std::sqrt(1 + r * r * (3 + T(0.25) * r * r));
    const T positive = T(0.5) * (1 + half + root);
    const T gap = T(0.5) * (std::fabs(1 - half) + root);
    const T x = half > 1 ? -r : gap, y = half > 1 ? gap : -r;
    const T eigenvalue = which == 0 ? positive : half / positive;
    const T length = std::sqrt(eigenvalue / (x * x + y * y)) * exp(T(-0.5) * s);
    return which == 0 ? Pair<T>{length * x, length * y} : Pair<T>{-length * y, length * x};
  }

  // Gradient for a y drawn from the model. For this loss E[u u'] is the Fisher matrix, which is not
  // the generalised Gauss-Newton matrix.
  HC_HD Pair<T> sample(const Random& random) const {
    const T eps = standard_normal<T>(random);
    return {-eps * exp(T(-0.5) * s), T(0.5) * (1 - eps * eps)};
  }
};

// The empirical Fisher's rows are this times the gradient of the position's loss, `weight` being
// its weight in the reduced loss.
template <class T>
HC_HD T fisher_scale(const LossSpec& spec, T weight) {
  return std::sqrt(spec.mean ? weight / static_cast<T>(spec.positions) : weight);
}

// The random bits of Monte-Carlo sample number `sample` at position n * D + d.
HC_HD Random label_draw(std::uint64_t seed, std::int64_t sample, std::int64_t position) {
  return draw(Purpose::label, seed, static_cast<std::uint64_t>(position),
              static_cast<std::uint64_t>(sample));
}

// f(SquaredError{}) and so on for the element-wise kinds.
template <class F>
inline void dispatch_element_loss(LossKind kind, F&& f) {
  switch (kind) {
    case LossKind::mse:
      return f(SquaredError{});
    case LossKind::bce_with_logits:
      return f(BinaryCrossEntropy{});
    case LossKind::poisson_nll:
      return f(PoissonNll{});
    case LossKind::huber:
      return f(Huber{});
    case LossKind::cross_entropy:
    case LossKind::gaussian_nll:
      return;
  }
}

}  // namespace hesscore::math
