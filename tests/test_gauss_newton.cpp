// Gauss-Newton against dense solutions, and how it accepts, rejects and damps.
#include <cmath>

#include "optim_problems.hpp"

namespace {

Numbers dense_solve(Numbers a, Numbers b) {
  const std::size_t n = b.size();
  for (std::size_t k = 0; k < n; ++k) {
    for (std::size_t i = k + 1; i < n; ++i) {
      const double factor = a[i * n + k] / a[k * n + k];
      for (std::size_t j = k; j < n; ++j) a[i * n + j] -= factor * a[k * n + j];
      b[i] -= factor * b[k];
    }
  }
  for (std::size_t i = n; i-- > 0;) {
    for (std::size_t j = i + 1; j < n; ++j) b[i] -= a[i * n + j] * b[j];
    b[i] /= a[i * n + i];
  }
  return b;
}

}  // namespace

TEST("gauss-newton takes the damped step of the dense matrix") {
  const Problem p;
  Vector w = p.start();
  const auto n = static_cast<std::size_t>(w.size());
  const auto G = ggn(p.f, w, p.batch());
  Numbers identity(n * n);
  for (std::size_t i = 0; i < n; ++i) identity[i * n + i] = 1;
  Vector in = vector_of(identity), out = vector_of(identity);
  G->apply(in.data(), out.data(), w.size());
  Numbers matrix = out.to_host(), expected = w.to_host();
  for (std::size_t i = 0; i < n; ++i) matrix[i * n + i] += 0.7;
  const Numbers x = dense_solve(matrix, p.gradient(w));
  for (std::size_t i = 0; i < n; ++i) expected[i] -= 0.5 * x[i];
  for (const char* preconditioner : {"none", "hesscale", "empirical_fisher"}) {
    Optimizer opt(p.f, GaussNewton{.lr = 0.5,
                                   .damping_rule = Damping::constant,
                                   .damping = 0.7,
                                   .cg_iterations = 200,
                                   .cg_rtol = 1e-13,
                                   .martens_stop = false,
                                   .preconditioner = preconditioner});
    Vector v = vector_of(w.to_host());
    const StepInfo info = opt.step(v, p.batch());
    CHECK(info.accepted && info.damping == 0.7 && info.iterations > 1);
    const Numbers got = v.to_host();
    for (std::size_t i = 0; i < n; ++i) CHECK_CLOSE(got[i], expected[i], 1e-9);
  }
}

TEST("without a line search the damped step is taken at lr, though the loss rises") {
  const Problem p;
  const GaussNewton exact{.damping_rule = Damping::constant,
                          .damping = 0.7,
                          .cg_iterations = 200,
                          .cg_rtol = 1e-13,
                          .martens_stop = false,
                          .line_search = false};
  GaussNewton far = exact;
  far.lr = 50;
  Vector w = p.start(), v = p.start();
  const Numbers start = w.to_host();
  const StepInfo info = Optimizer(p.f, exact).step(w, p.batch());
  CHECK(info.accepted && info.rho == 0 && info.damping == 0.7);
  CHECK(Optimizer(p.f, far).step(v, p.batch()).accepted);
  const Numbers near_by = w.to_host(), far_away = v.to_host();
  for (std::size_t i = 0; i < start.size(); ++i) {
    CHECK_CLOSE(far_away[i] - start[i], 50 * (near_by[i] - start[i]), 1e-9);
  }
  CHECK(p.f.evaluate(v, p.batch()) > p.f.evaluate(p.start(), p.batch()));
}

TEST("without a line search the damping still adapts to a loss that rises") {
  const Problem p;
  Optimizer opt(p.f, GaussNewton{.lr = 50, .damping = 2, .line_search = false});
  Vector w = p.start();
  const StepInfo info = opt.step(w, p.batch());
  CHECK(info.accepted && info.rho < 0.25);
  CHECK(p.f.evaluate(w, p.batch()) > info.loss);
  CHECK_CLOSE(opt.state().scalars.at("damping"), 3, 1e-15);
}

TEST("without a line search a step that is not finite leaves w and the state") {
  for (const Damping rule : {Damping::constant, Damping::lm}) {
    const Problem p(DType::f32);
    Optimizer opt(p.f, GaussNewton{.lr = 1e42, .damping_rule = rule, .line_search = false});
    Vector w = p.start();
    const Numbers before = w.to_host();
    bool taken = false;
    try {
      taken = opt.step(w, p.batch()).accepted;
    } catch (const NonFiniteError&) {
    }
    CHECK(!taken && w.to_host() == before);
  }
}

TEST("gauss-newton solves least squares in one step, with rho = 1") {
  const LeastSquares p(random_numbers(30, 5), random_numbers(10, 6), 3);
  Optimizer opt(p.f, GaussNewton{.damping = 1e-9, .cg_rtol = 1e-12, .martens_stop = false});
  Vector w = vector_of({1, 2, 3}), g = p.f.zeros();
  const StepInfo info = opt.step(w, p.batch());
  CHECK_CLOSE(info.rho, 1, 1e-6);
  p.f.evaluate(w, p.batch(), {.grad = &g});
  for (const double v : g.to_host()) CHECK(std::abs(v) < 1e-7);
  CHECK_CLOSE(opt.state().scalars.at("damping"), 1e-9 * 2 / 3, 1e-15);
}

TEST("a rejected gauss-newton step leaves w, and raises the damping") {
  const Problem p;
  Optimizer opt(p.f, GaussNewton{.lr = Rate([](std::int64_t k) { return k == 1 ? 1e15 : 1.0; })});
  Vector w = p.start();
  opt.step(w, p.batch());
  const Numbers before = w.to_host();
  Optimizer::State state = opt.state();
  const StepInfo info = opt.step(w, p.batch());
  CHECK(!info.accepted && info.step == 2);
  CHECK(w.to_host() == before);
  state.scalars["damping"] *= 1.5;
  CHECK(same(opt.state(), state));
}

TEST("gauss-newton never raises the loss of its batch, and adapts its damping") {
  const Problem p;
  Optimizer opt(p.f, GaussNewton{.damping = 1e-3});
  Vector w = p.start();
  double last = kInf;
  for (int k = 0; k < 30; ++k) {
    const double before = opt.state().scalars.at("damping");
    const StepInfo info = opt.step(w, p.batch());
    const double after = opt.state().scalars.at("damping");
    CHECK(info.loss <= last && info.damping == before);
    CHECK_CLOSE(after, before * (info.rho > 0.75 ? 2.0 / 3 : info.rho < 0.25 ? 1.5 : 1), 1e-15);
    last = info.loss;
  }
  CHECK(last < 0.35);
}

TEST("gauss-newton stays where the gradient is zero") {
  const LeastSquares p({1, 0, 0, 1}, {2, 3}, 2);
  Optimizer opt(p.f, GaussNewton{});
  Vector w = vector_of({2, 3});
  const StepInfo info = opt.step(w, p.batch());
  CHECK(info.accepted && info.iterations == 0 && info.loss == 0);
  CHECK(w.to_host() == Numbers({2, 3}));
}

TEST("the damping stays in its range") {
  if (!check::tests_cpu()) return;  // hundreds of steps
  for (const DType dtype : {DType::f32, DType::f64}) {
    const Problem p(dtype, 0, 60);
    Optimizer opt(p.f, GaussNewton{.damping = 1e-2});
    Vector w = p.start();
    for (int k = 0; k < 400; ++k) {
      const double damping = opt.step(w, p.batch()).damping;
      CHECK(damping >= 1e-17 && damping <= 1e13);
    }
  }
}

TEST("the damping stands still at the minimum") {
  for (const DType dtype : {DType::f32, DType::f64}) {
    const LeastSquares p(random_numbers(30, 5), random_numbers(10, 6), 3, Reduction::mean, dtype);
    Optimizer opt(p.f, GaussNewton{.damping = 1e-2});
    Vector w = vector_of({1, 2, 3}, dtype);
    for (int k = 0; k < 20; ++k) opt.step(w, p.batch());
    const double damping = opt.state().scalars.at("damping");
    CHECK(damping > 1e-5 && damping < 1e-2);
    for (int k = 0; k < 20; ++k) opt.step(w, p.batch());
    CHECK(opt.state().scalars.at("damping") == damping);
  }
}

TEST("the damping has a least and a largest value") {
  const LeastSquares p(random_numbers(30, 5), random_numbers(10, 6), 3);
  const auto after = [&](double damping, double lr) {
    Optimizer opt(p.f, GaussNewton{.lr = lr, .damping = 2});
    Optimizer::State state = opt.state();
    state.scalars["damping"] = damping;
    opt.load_state(state);
    Vector w = vector_of({1, 2, 3});
    opt.step(w, p.batch());
    return opt.state().scalars.at("damping");
  };
  CHECK_CLOSE(after(2.2e-15, 1) * 1e15, 2, 1e-12);    // a step as foretold
  CHECK_CLOSE(after(1.9e15, 1e30) / 1e15, 2, 1e-12);  // one that is rejected
}
