// Small problems and all methods, for the tests of the optimizers.
#pragma once

#include <limits>
#include <random>

#include "check.hpp"
#include "hesscore/hesscore.hpp"
#include "test_device.hpp"

using namespace hesscore;

inline constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
inline constexpr double kInf = std::numeric_limits<double>::infinity();
using Numbers = std::vector<double>;

inline Numbers random_numbers(std::int64_t n, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal;
  Numbers values(static_cast<std::size_t>(n));
  for (double& v : values) v = normal(generator);
  return values;
}

inline Vector vector_of(const Numbers& values, DType dtype = DType::f64) {
  Vector v(check::device(), dtype, static_cast<std::int64_t>(values.size()));
  v.from_host(values);
  return v;
}

// A regression problem with its data: 3 -> 5 -> 2, tanh, mean squared error.
struct Problem {
  explicit Problem(DType dtype_ = DType::f64, double dropout = 0, std::int64_t samples = 12)
      : f(make(dropout), check::device(), dtype_),
        rows(samples),
        dtype(dtype_),
        x(vector_of(random_numbers(samples * 3, 1), dtype)),
        y(vector_of(random_numbers(samples * 2, 2), dtype)) {}

  static Graph make(double dropout) {
    GraphBuilder b;
    int h = b.tanh(b.linear(b.input({3}), 5));
    if (dropout > 0) h = b.dropout(h, dropout);
    return b.finish(b.linear(h, 2), MSELoss{});
  }
  Batch batch() const {
    return {View(x.data(), dtype, {rows, 3}), View(y.data(), dtype, {rows, 2})};
  }
  Vector start() const { return f.init(3); }
  double loss(const Vector& w) const { return f.evaluate(w, batch()); }
  Numbers gradient(const Vector& w) const {
    Vector g = f.zeros();
    f.evaluate(w, batch(), {.grad = &g});
    return g.to_host();
  }
  Numbers diagonal(const Vector& w, Diag kind) const {
    Vector d = f.zeros();
    f.evaluate(w, batch(), {.diag = {kind, &d}});
    return d.to_host();
  }

  Objective f;
  std::int64_t rows;
  DType dtype;
  Vector x, y;
};

// Least squares without bias: z = x w.
struct LeastSquares {
  LeastSquares(Numbers x_, Numbers y_, std::int64_t columns_, Reduction reduction = Reduction::mean,
               DType dtype_ = DType::f64)
      : f(make(columns_, reduction), check::device(), dtype_),
        rows(static_cast<std::int64_t>(y_.size())),
        columns(columns_),
        dtype(dtype_),
        x(vector_of(x_, dtype_)),
        y(vector_of(y_, dtype_)) {}
  static Graph make(std::int64_t columns, Reduction reduction) {
    GraphBuilder b;
    return b.finish(b.linear(b.input({columns}), 1, false), MSELoss{reduction});
  }
  Batch batch() const {
    return {View(x.data(), dtype, {rows, columns}), View(y.data(), dtype, {rows, 1})};
  }
  Objective f;
  std::int64_t rows, columns;
  DType dtype;
  Vector x, y;
};

inline const std::vector<Method>& all_methods() {
  static const std::vector<Method> methods{
      Sgd{.lr = 0.05},
      Sgd{.lr = 0.02, .momentum = 0.9},
      Sgd{.lr = 0.02, .momentum = 0.9, .nesterov = true, .weight_decay = 1e-3},
      Adam{.lr = 0.02, .weight_decay = 1e-3},
      AdamW{.lr = 0.02},
      AdaHessian{.lr = 0.02, .samples = 2},
      AdaHesScale{.lr = 0.01},
      AdaHesScaleGN{{.lr = 0.01, .power = 0.5, .moment = Moment::abs}},
      AdaHesScale{.lr = 0.01, .delta = 0.1},
      Bl89{{.lr = 0.01}},
      ChainruleAdam{.lr = 0.01, .bias_correction = BiasCorrection::frozen},
      SophiaG{.lr = 0.01, .interval = 1},
      SophiaG{.lr = 0.01, .interval = 3},
      SophiaH{.lr = 0.02},
      GaussNewton{},
      GaussNewton{.lr = 0.5, .damping_rule = Damping::constant, .damping = 0.5, .warm_start = 0},
      GaussNewton{.lr = 0.5, .damping_rule = Damping::constant, .damping = 4, .line_search = false},
      GaussNewton{.lr = 0.5, .damping = 4, .line_search = false},
      GaussNewton{.preconditioner = "hesscale"},
      GaussNewton{.preconditioner = "empirical_fisher"},
      HessianFree{{.damping = 10}},
      HessianFree{{.lr = 0.5, .warm_start = 0}, Product::ggn},
      TrustRegion{.radius = 0.5},
      TrustRegion{.solver = TrustMethod::steihaug, .product = Product::ggn},
      Newton{.lr = 0.3, .damping = 0.1},
      Newton{.lr = 0.1, .indefinite = Indefinite::truncated},
      Lbfgs{.history = 3},
      ReplicaNewton{.lr = 0.05},
      ReplicaNewton{.lr = 0.05, .form = ReplicaForm::centred, .span_step = 0.1},
      ReplicaNewton{.lr = 0.05, .form = ReplicaForm::carried, .ritz = true},
      Kfac{.damping = 0.1, .inverse_interval = 4},
      Kfac{.lr = 0.1,
           .damping_rule = Damping::constant,
           .damping = 0.1,
           .momentum = 0.9,
           .weight_decay = 1e-3,
           .kl_clip = 0.1,
           .kind = Factors::exact,
           .interval = 3}};
  return methods;
}

inline bool same(const Optimizer::State& a, const Optimizer::State& b) {
  return a.vectors == b.vectors && a.scalars == b.scalars;
}
