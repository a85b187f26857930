// A network at random parameters with a batch of random data, and arrays for what is computed.
#pragma once

#include <random>

#include "networks.hpp"

namespace bench {

struct Workload {
  Workload(const Network& net, Size batch_size, hc::DType dtype)
      : f(net.graph, hc::device("cpu"), dtype),
        w(f.init()),
        g(f.zeros()),
        d(f.zeros()),
        v(f.zeros()),
        out(f.zeros()),
        x(hc::device("cpu"), dtype, batch_size * hc::element_count(net.input)),
        y(static_cast<std::size_t>(batch_size)),
        mode{.train = net.train} {
    std::mt19937 bits(7);
    std::normal_distribution<double> normal;
    for (hc::Vector* to : {&x, &v}) {
      std::vector<double> values(static_cast<std::size_t>(to->size()));
      for (double& value : values) value = normal(bits);
      to->from_host(values);
    }
    for (std::int64_t& label : y) label = static_cast<std::int64_t>(bits()) % net.classes;
    hc::Shape shape = net.input;
    shape.insert(shape.begin(), batch_size);
    batch.x = hc::Inputs(hc::View(x.data(), dtype, shape));
    batch.y = hc::View(y.data(), hc::DType::i64, {batch_size});
  }

  // Loss and gradient, and what else is asked for.
  void evaluate(hc::Outputs what = {}) {
    what.grad = &g;
    f.evaluate(w, batch, what, mode);
  }
  void diagonal(hc::Diag kind) {
    hc::Outputs what;
    what.diag = {kind, &d};
    evaluate(what);
  }

  hc::Objective f;
  hc::Vector w, g, d, v, out, x;
  std::vector<std::int64_t> y;
  hc::Batch batch;
  hc::Mode mode;
};

// Steps of ten iterations, whatever they find.
inline hc::GaussNewton ten_iterations() {
  hc::GaussNewton method;
  method.lr = 1e-6;
  method.damping_rule = hc::Damping::constant;
  method.cg_iterations = 10;
  method.cg_rtol = 0;
  method.martens_stop = false;
  return method;
}

// (GGN + 0.1 I) x = gradient, linearised anew.
inline void solve(Workload& at, Size iterations) {
  const auto ggn = curvature(at.f, hc::Product::ggn, at.w, at.batch, at.mode, /*snapshot=*/false);
  at.out = at.f.zeros();
  cg(hc::ShiftedOperator(*ggn, 0.1), at.g, at.out, {.rtol = 0, .maxiter = iterations});
}

}  // namespace bench
