// Optimizers against updates written out by hand, and their promises: options, transactions,
// resume.
#include <cmath>

#include "optim_problems.hpp"

namespace {

// Adam's family by hand, from w, the gradient and the diagonal (the gradient for Adam itself).
struct AdamByHand {
  double lr, beta1, beta2, eps, l2, decoupled, power;
  bool abs_moment;
  Numbers m = {}, u = {};
  int t = 0;

  void step(Numbers& w, Numbers g, const Numbers& diagonal) {
    m.resize(w.size());
    u.resize(w.size());
    ++t;
    for (std::size_t i = 0; i < w.size(); ++i) {
      g[i] += l2 * w[i];
      const double d = diagonal.empty() ? g[i] : diagonal[i];
      m[i] = beta1 * m[i] + (1 - beta1) * g[i];
      u[i] = beta2 * u[i] + (1 - beta2) * (abs_moment ? std::abs(d) : d * d);
      const double mhat = m[i] / (1 - std::pow(beta1, t)), uhat = u[i] / (1 - std::pow(beta2, t));
      const double root = std::pow(uhat, abs_moment ? power : power / 2);
      w[i] -= lr * decoupled * w[i] + lr * mhat / (root + eps);
    }
  }
};

void compare(const Problem& p, Method method, AdamByHand rule, const Diag* diag) {
  Optimizer opt(p.f, std::move(method));
  Vector w = p.start();
  for (int k = 1; k <= 4; ++k) {
    Numbers expected = w.to_host();
    const double loss = p.loss(w);
    rule.step(expected, p.gradient(w), diag ? p.diagonal(w, *diag) : Numbers{});
    const StepInfo info = opt.step(w, p.batch());
    CHECK(info.loss == loss && info.step == k && info.accepted);
    const Numbers got = w.to_host();
    for (std::size_t i = 0; i < got.size(); ++i) CHECK_CLOSE(got[i], expected[i], 1e-12);
  }
}

}  // namespace

TEST("sgd is the textbook's, with momentum, Nesterov and decay") {
  const Problem p;
  for (const bool nesterov : {false, true}) {
    for (const double momentum : {0.0, 0.9}) {
      if (nesterov && momentum == 0) continue;
      Optimizer opt(p.f, Sgd{0.1, momentum, nesterov, 0.01});
      Vector w = p.start();
      Numbers m(static_cast<std::size_t>(w.size()));
      for (int k = 0; k < 3; ++k) {
        Numbers expected = w.to_host(), g = p.gradient(w);
        for (std::size_t i = 0; i < g.size(); ++i) {
          g[i] += 0.01 * expected[i];
          m[i] = momentum * m[i] + g[i];
          expected[i] -= 0.1 * (nesterov ? g[i] + momentum * m[i] : m[i]);
        }
        opt.step(w, p.batch());
        for (std::size_t i = 0; i < g.size(); ++i) CHECK_CLOSE(w.to_host()[i], expected[i], 1e-14);
      }
    }
  }
}

TEST("adam, adamw and the HesScale methods are their formulas") {
  const Problem p;
  const Diag hesscale = Diag::hesscale, gn = Diag::hesscale_gn;
  compare(p, Adam{.lr = 0.1, .weight_decay = 0.02}, {0.1, 0.9, 0.999, 1e-8, 0.02, 0, 1, false},
          nullptr);
  compare(p, AdamW{.lr = 0.1, .weight_decay = 0.02}, {0.1, 0.9, 0.999, 1e-8, 0, 0.02, 1, false},
          nullptr);
  compare(p, AdaHesScale{.lr = 0.1}, {0.1, 0.9, 0.999, 1e-8, 0, 0, 1, false}, &hesscale);
  compare(p, AdaHesScale{.lr = 0.1, .beta1 = 0, .eps = 0.1, .power = 0.7, .moment = Moment::abs},
          {0.1, 0, 0.999, 0.1, 0, 0, 0.7, true}, &hesscale);
  compare(p, AdaHesScaleGN{{.lr = 0.1, .beta2 = 0.9, .weight_decay = 0.1}},
          {0.1, 0.9, 0.9, 1e-8, 0.1, 0, 1, false}, &gn);
}

TEST("adahessian sees the Hessian where one probe is exact") {
  const LeastSquares p({1, 2, -1}, {1, 0, 3}, 1);
  Optimizer opt(p.f, AdaHessian{.lr = 0.1, .beta1 = 0.8, .beta2 = 0.9, .eps = 0.01});
  Vector w = vector_of({0.5});
  AdamByHand rule{0.1, 0.8, 0.9, 0.01, 0, 0, 1, false};
  Numbers expected = w.to_host();
  for (int k = 0; k < 3; ++k) {
    Vector g = p.f.zeros();
    p.f.evaluate(w, p.batch(), {.grad = &g});
    rule.step(expected, g.to_host(), {2.0 * (1 + 4 + 1) / 3});
    opt.step(w, p.batch());
    CHECK_CLOSE(w.to_host()[0], expected[0], 1e-13);
  }
}

TEST("adahessian draws fresh probes each step, the same for the same seed") {
  const Problem p;
  const auto second_moments = [&](std::uint64_t seed) {
    Optimizer opt(p.f, AdaHessian{.lr = 0, .beta2 = 0, .seed = seed});
    Vector w = p.start();
    std::vector<Numbers> u;
    for (int k = 0; k < 3; ++k) {
      opt.step(w, p.batch());
      u.push_back(opt.state().vectors.at("u"));
    }
    return u;
  };
  const auto a = second_moments(1);
  CHECK(a == second_moments(1) && a != second_moments(2));
  CHECK(a[0] != a[1] && a[1] != a[2]);
}

TEST("every method lowers the loss, in both dtypes") {
  for (const DType dtype : {DType::f64, DType::f32}) {
    const Problem p(dtype);
    for (const Method& method : all_methods()) {
      Optimizer opt(p.f, method);
      Vector w = p.start();
      const double before = p.loss(w);
      for (int k = 0; k < 20; ++k) opt.step(w, p.batch());
      CHECK(p.loss(w) < 0.9 * before);
    }
  }
}

TEST("rates may be schedules of the step number") {
  const Problem p;
  std::vector<std::int64_t> asked;
  Optimizer opt(p.f, Sgd{.lr = Rate([&](std::int64_t step) {
                           asked.push_back(step);
                           return step == 2 ? kNaN : 0.1;
                         })});
  Vector w = p.start();
  opt.step(w, p.batch());
  opt.step(w, p.batch());
  const Numbers before = w.to_host();
  CHECK_THROWS(OptionError, opt.step(w, p.batch()));
  CHECK(w.to_host() == before && opt.state().scalars.at("step") == 2);
  CHECK(asked == std::vector<std::int64_t>({0, 1, 2}));
}

TEST("bad options are told by name when the optimizer is made") {
  const Problem p;
  const std::vector<std::pair<Method, std::string>> bad{
      {Sgd{.lr = -1}, "lr"},
      {Sgd{.lr = kNaN}, "lr"},
      {Sgd{.momentum = 1}, "momentum"},
      {Sgd{.nesterov = true}, "momentum"},
      {Adam{.beta1 = 1}, "beta1"},
      {Adam{.beta2 = -0.1}, "beta2"},
      {Adam{.eps = 0}, "eps"},
      {AdamW{.weight_decay = kInf}, "weight_decay"},
      {AdaHessian{.power = 0}, "power"},
      {AdaHessian{.samples = 0}, "samples"},
      {AdaHesScaleGN{{.eps = kNaN}}, "eps"},
      {GaussNewton{.damping = -1}, "damping"},
      {GaussNewton{.damping = 0}, "damping"},
      {GaussNewton{.cg_iterations = 0}, "cg_iterations"},
      {GaussNewton{.cg_rtol = kNaN}, "cg_rtol"},
      {GaussNewton{.warm_start = -1}, "warm_start"},
      {GaussNewton{.preconditioner = "jacobi"}, "preconditioner"}};
  for (const auto& [method, name] : bad) {
    try {
      Optimizer opt(p.f, method);
      CHECK(false);
    } catch (const OptionError& error) {
      CHECK(error.arg() == name);
    }
  }
}

TEST("a step on data that is not finite changes nothing") {
  const Problem p;
  Numbers poisoned = p.x.to_host();
  poisoned[4] = kInf;
  const Vector bad = vector_of(poisoned);
  for (const Method& method : all_methods()) {
    Optimizer opt(p.f, method);
    Vector w = p.start();
    opt.step(w, p.batch());
    const Numbers before = w.to_host();
    const Optimizer::State state = opt.state();
    Batch batch = p.batch();
    batch.x = View(bad.data(), DType::f64, {p.rows, 3});
    batch.y = View(bad.data(), DType::f64, {p.rows, 2});
    CHECK_THROWS(NonFiniteError, opt.step(w, batch));
    CHECK(w.to_host() == before && same(opt.state(), state));
  }
}

TEST("an update that overflows changes nothing") {
  const Problem p(DType::f32);
  for (const Method& method :
       {Method(Sgd{.lr = Rate([](std::int64_t k) { return k ? 1e300 : 0.1; }), .momentum = 0.9}),
        Method(Adam{.lr = Rate([](std::int64_t k) { return k ? 1e39 : 0.1; })})}) {
    Optimizer opt(p.f, method);
    Vector w = p.start();
    opt.step(w, p.batch());
    const Numbers before = w.to_host();
    const Optimizer::State state = opt.state();
    CHECK_THROWS(NonFiniteError, opt.step(w, p.batch()));
    CHECK(w.to_host() == before && same(opt.state(), state));
  }
}

TEST("an update near the end of the range that fits is done") {
  const Problem p(DType::f32);
  Optimizer opt(p.f, Sgd{.lr = 1e30});
  Vector w = p.start();
  opt.step(w, p.batch());
  for (const double v : w.to_host()) CHECK(std::isfinite(v));
  CHECK_THROWS(NonFiniteError, opt.step(w, p.batch()));
}

TEST("a run that goes on from a state is the uninterrupted one, bit for bit") {
  for (const DType dtype : {DType::f64, DType::f32}) {
    const Problem p(dtype, 0.2);
    for (const Method& method : all_methods()) {
      Optimizer whole(p.f, method), first(p.f, method), second(p.f, method), late(p.f, method);
      Vector w = p.start(), v = p.start();
      const RunOptions options{.batch_size = 5, .shuffle_seed = 4, .dropout_seed = 9};
      for (int epoch = 0; epoch < 4; ++epoch) whole.run(w, p.batch(), options, epoch, 0, 100);
      for (int epoch = 0; epoch < 2; ++epoch) first.run(v, p.batch(), options, epoch, 0, 100);
      Vector other = p.start();
      late.step(other, p.batch());
      late.load_state(first.state());  // over a state of its own
      second.load_state(first.state());
      CHECK(same(second.state(), first.state()) && same(late.state(), first.state()));
      Vector u = vector_of(v.to_host(), dtype);
      for (int epoch = 2; epoch < 4; ++epoch) {
        second.run(v, p.batch(), options, epoch, 0, 100);
        late.run(u, p.batch(), options, epoch, 0, 100);
      }
      CHECK(w.to_host() == v.to_host() && w.to_host() == u.to_host());
      CHECK(same(second.state(), whole.state()));
    }
  }
}

TEST("a wrong state is refused whole") {
  const Problem p;
  Optimizer opt(p.f, Adam{});
  CHECK(opt.state().vectors.empty() && opt.state().scalars.at("step") == 0);
  Vector w = p.start();
  opt.step(w, p.batch());
  const Optimizer::State good = opt.state();
  const auto refuse = [&](auto&& change) {
    Optimizer::State state = good;
    change(state);
    CHECK_THROWS(StateError, opt.load_state(state));
    CHECK(same(opt.state(), good));
    Optimizer fresh(p.f, Adam{});
    CHECK_THROWS(StateError, fresh.load_state(state));
  };
  refuse([](auto& s) { s.vectors.erase("u"); });
  refuse([](auto& s) { s.vectors["extra"] = {}; });
  refuse([](auto& s) { s.vectors["m"].pop_back(); });
  refuse([](auto& s) { s.vectors.clear(); });
  refuse([](auto& s) { s.scalars.erase("step"); });
  refuse([](auto& s) { s.scalars["damping"] = 1; });
  refuse([](auto& s) { s.scalars["step"] = -1; });
  refuse([](auto& s) { s.scalars["step"] = 1.5; });
  refuse([](auto& s) { s.scalars["step"] = kNaN; });
  Optimizer::State poisoned = good;
  poisoned.vectors["m"][0] = kNaN;
  CHECK_THROWS(StateError, opt.load_state(poisoned));
  CHECK(same(opt.state(), good));
  opt.load_state(Optimizer(p.f, Adam{}).state());
  CHECK(opt.state().vectors.at("m") == Numbers(static_cast<std::size_t>(w.size())));
}

TEST("the state follows the dtype of w") {
  const Problem p32(DType::f32), p64(DType::f64);
  Optimizer opt(p64.f, Adam{});
  Vector w32 = p32.start(), w64 = p64.start(), short_one = vector_of({1, 2});
  CHECK_THROWS(ShapeError, opt.step(short_one, p64.batch()));
  CHECK_THROWS(DTypeError, opt.step(w32, p64.batch()));  // x is float64
  opt.step(w32, p32.batch());
  CHECK_THROWS(DTypeError, opt.step(w64, p64.batch()));
}

TEST("weight decay of large parameters leaves no infinite moments") {
  const LeastSquares p({0}, {1}, 1);
  for (const Method& method : {Method(Adam{.weight_decay = 1}),
                               Method(Sgd{.lr = 1, .momentum = 0.9, .weight_decay = 1})}) {
    Optimizer opt(p.f, method);
    Vector w = vector_of({1.5e308}, DType::f64);
    try {
      for (int k = 0; k < 5; ++k) opt.step(w, p.batch());
    } catch (const NonFiniteError&) {
    }
    for (const auto& [name, values] : opt.state().vectors) {
      for (const double v : values) CHECK(std::isfinite(v));
    }
    CHECK(std::isfinite(w.to_host()[0]));
  }
}
