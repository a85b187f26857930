// Problems for conjugate gradients whose iterations need no host, solved both ways: on every device
// there is, the CPU included.
#pragma once

#include <random>

#include "check.hpp"
#include "hesscore/hesscore.hpp"
#include "solve/cg.hpp"

namespace resident {

using namespace hesscore;

using Numbers = std::vector<double>;
inline constexpr Product kProducts[] = {Product::hessian, Product::ggn, Product::fisher_mc,
                                        Product::fisher_empirical};

template <class F>
void on_devices(F body) {
  for (const std::string& name : devices()) {
    const int before = check::failures;
    body(device(name));
    if (check::failures > before) std::printf("  (on %s)\n", name.c_str());
  }
}

// Hides what an operator knows beyond its product.
class Plain final : public LinearOperator {
 public:
  explicit Plain(const LinearOperator& a) : a_(a) {}
  std::int64_t size() const override { return a_.size(); }
  DType dtype() const override { return a_.dtype(); }
  Device& device() const override { return a_.device(); }
  void apply(const void* v, void* out, std::int64_t count) const override {
    a_.apply(v, out, count);
  }

 private:
  const LinearOperator& a_;
};

inline Numbers draw(std::int64_t n, unsigned seed, double scale = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0, scale);
  Numbers v(static_cast<std::size_t>(n));
  for (double& x : v) x = normal(random);
  return v;
}

inline Vector on(Device& d, const Numbers& values, DType dtype) {
  Vector v(d, dtype, static_cast<std::int64_t>(values.size()));
  v.from_host(values);
  return v;
}

inline constexpr std::int64_t kBatch = 6, kIn = 5, kOut = 4;

inline int layers(GraphBuilder& b) {
  return b.linear(b.sigmoid(b.linear(b.tanh(b.linear(b.input({kIn}), 7)), 6)), kOut);
}

// A layer used twice, one without bias, and a gate.
inline int shared_layers(GraphBuilder& b) {
  const auto twice = b.make_linear(kIn, kIn, true, "twice");
  const int h = b.tanh(b.call(twice, b.input({kIn})));
  return b.linear(b.call(twice, b.multiply(h, b.sigmoid(b.linear(h, kIn)))), kOut, false);
}

struct Problem {
  Problem(Device& d, const Loss& loss, DType dtype_ = DType::f64,
          int (*network)(GraphBuilder&) = &layers)
      : f(make(loss, network), d, dtype_),
        dtype(dtype_),
        n(f.num_params()),
        w(on(d, draw(n, 1, 0.4), dtype)),
        x(on(d, draw(kBatch * kIn, 2), dtype)),
        y(on(d, targets(loss), dtype)),
        labels(d, kBatch * sizeof(std::int64_t)),
        b(on(d, draw(n, 3), dtype)) {
    const std::int64_t values[kBatch] = {0, 3, 1, 2, 2, 0};
    d.from_host(labels.data(), values, sizeof values);
    batch.x = View(x.data(), dtype, {kBatch, kIn});
    const std::int64_t width = y.size() / kBatch;
    batch.y = std::holds_alternative<CrossEntropyLoss>(loss)
                  ? View(labels.data(), DType::i64, {kBatch})
                  : View(y.data(), dtype, {kBatch, width});
  }

  static Graph make(const Loss& loss, int (*network)(GraphBuilder&)) {
    GraphBuilder b;
    const int z = network(b);
    return b.finish(z, loss);
  }
  static Numbers targets(const Loss& loss) {
    Numbers y = draw(kBatch * (std::holds_alternative<GaussianNLLLoss>(loss) ? kOut / 2 : kOut), 4);
    if (std::holds_alternative<BCEWithLogitsLoss>(loss)) {
      for (double& v : y) v = v > 0;
    }
    if (std::holds_alternative<PoissonNLLLoss>(loss)) {
      for (double& v : y) v = std::floor(std::abs(v) * 3);
    }
    return y;
  }
  std::unique_ptr<LinearOperator> curvature_of(Product kind) const {
    return curvature(f, kind, w, batch, {}, true, 2, 7);
  }
  Vector zeros() const { return Vector(f.device(), dtype, n); }
  DiagonalOperator diagonal() const {
    Numbers d = draw(n, 5);
    for (double& v : d) v = 0.5 + std::abs(v);
    return DiagonalOperator(on(f.device(), d, dtype));
  }

  Objective f;
  DType dtype;
  std::int64_t n;
  Vector w, x, y;
  Buffer labels;
  Vector b;
  Batch batch;
};

struct Solution {
  SolveReport report;
  Numbers x;
};

inline Solution solve(const LinearOperator& A, const Vector& b, const Numbers& x0,
                      const CgOptions& options, bool resident) {
  Vector x = on(A.device(), x0, A.dtype());
  CgWorkspace workspace;
  SolveReport report = cg(A, b, x, options, workspace, resident);
  return {std::move(report), x.to_host()};
}

inline void check_close(const Numbers& a, const Numbers& b, double tolerance) {
  CHECK(a.size() == b.size());
  double scale = 1e-300, worst = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    scale = std::fmax(scale, std::abs(b[i]));
    worst = std::fmax(worst, std::abs(a[i] - b[i]));
    if (std::isnan(a[i]) != std::isnan(b[i])) worst = 1e300;
  }
  CHECK(worst <= tolerance * scale);
}

inline void check_same(const Solution& a, const Solution& b, double tolerance) {
  CHECK(a.report.status == b.report.status);
  CHECK(a.report.iterations == b.report.iterations);
  check_close(a.x, b.x, tolerance);
  check_close(a.report.history, b.report.history, tolerance);
  check_close(a.report.model, b.report.model, tolerance);
  CHECK(a.report.residual == a.report.history.back() || std::isnan(a.report.residual));
}

// Solves both ways and compares; returns the host's.
inline Solution compare(const LinearOperator& A, const Vector& b, const Numbers& x0,
                        const CgOptions& options, double tolerance) {
  CHECK(A.resident_cg(options.preconditioner != nullptr).cg != nullptr);
  const Solution host = solve(Plain(A), b, x0, options, false);
  const Solution resident = solve(A, b, x0, options, true);
  check_same(resident, host, tolerance);
  if (tolerance < 1e-9) CHECK(resident.report.message == host.report.message);
  return host;
}

inline const std::vector<Loss>& losses() {
  static const std::vector<Loss> all{MSELoss{},         CrossEntropyLoss{}, BCEWithLogitsLoss{},
                                     GaussianNLLLoss{}, PoissonNLLLoss{},   HuberLoss{}};
  return all;
}

}  // namespace resident
