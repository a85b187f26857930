// Running statistics: evaluations leave them alone, and accepted steps move them exactly once.
#include "optim_problems.hpp"

namespace {

constexpr std::int64_t kRows = 26, kBatch = 6, kWidth = 3;
using Buffers = Objective::Buffers;

// Two batch norms, one of them used twice and without weights.
Graph net(std::optional<double> momentum = 0.1) {
  GraphBuilder b;
  const auto first = b.make_batch_norm(1, 5, {.momentum = momentum}, "first");
  const auto twice = b.make_batch_norm(1, 5, {.affine = false}, "twice");
  int h = b.tanh(b.call(first, b.linear(b.input({kWidth}), 5)));
  h = b.call(twice, b.tanh(b.linear(b.call(twice, h), 5)));
  return b.finish(b.linear(h, 2), MSELoss{});
}

struct Problem2 {
  explicit Problem2(DType dtype_ = DType::f64, Graph graph = net())
      : f(std::move(graph), check::device(), dtype_),
        dtype(dtype_),
        x(vector_of(random_numbers(kRows * kWidth, 1), dtype)),
        y(vector_of(random_numbers(kRows * 2, 2), dtype)) {}
  View rows(const Vector& all, std::int64_t width, std::int64_t begin, std::int64_t count) const {
    auto* p = static_cast<std::byte*>(all.data());
    return {p + static_cast<std::size_t>(begin * width) * size_of(dtype), dtype, {count, width}};
  }
  Batch batch(std::int64_t begin = 0, std::int64_t count = kRows) const {
    return {rows(x, kWidth, begin, count), rows(y, 2, begin, count)};
  }

  Objective f;
  DType dtype;
  Vector x, y;
};

RunOptions in_order() { return {.batch_size = kBatch, .shuffle = false, .every_step = false}; }

}  // namespace

TEST("buffers have names, starts and float64 values") {
  const Problem2 p(DType::f32);
  const Buffers start = p.f.buffers();
  CHECK(start.size() == 6);
  CHECK(start.at("first.running_mean") == Numbers(5, 0.0));
  CHECK(start.at("twice.running_var") == Numbers(5, 1.0));
  CHECK(start.at("twice.num_batches_tracked") == Numbers(1, 0.0));

  p.f.load_buffers({{"first.running_mean", {1, 2, 3, 4, 1.0 / 3}}});
  CHECK(p.f.buffers().at("first.running_mean")[4] == 1.0 / 3);
  CHECK(p.f.buffers().at("twice.running_mean") == Numbers(5, 0.0));
  const Buffers before = p.f.buffers();
  CHECK_THROWS(StateError, p.f.load_buffers({{"first.mean", Numbers(5)}}));
  CHECK_THROWS(StateError, p.f.load_buffers({{"first.running_mean", Numbers(4)}}));
  CHECK_THROWS(StateError, p.f.load_buffers({{"first.running_mean", Numbers(5)},
                                             {"first.running_var", Numbers(5, -1.0)}}));
  CHECK_THROWS(StateError, p.f.load_buffers({{"twice.running_mean", Numbers(5, kNaN)}}));
  CHECK(p.f.buffers() == before);
}

TEST("buffers follow the batch as in PyTorch: momentum or an average, variances unbiased") {
  for (const bool average : {false, true}) {
    GraphBuilder b;
    const std::optional<double> momentum = average ? std::nullopt : std::optional(0.25);
    const auto norm = b.make_batch_norm(1, 3, {.momentum = momentum}, "n");
    Problem2 p(DType::f64, b.finish(b.linear(b.call(norm, b.input({3})), 2), MSELoss{}));
    const Vector w = p.f.init();
    Numbers mean(3, 0.0), variance(3, 1.0);
    const Numbers x = p.x.to_host();
    for (int k = 0; k < 3; ++k) {
      const std::int64_t first = k * kBatch, count = kBatch + k;
      p.f.update_buffers(w, p.batch(first, count).x);
      const double part = average ? 1.0 / (k + 1) : 0.25;
      for (std::size_t c = 0; c < 3; ++c) {
        double m = 0, v = 0;
        const auto n = static_cast<double>(count);
        const auto at = [&](std::int64_t i) {
          return x[static_cast<std::size_t>(3 * (first + i)) + c];
        };
        for (std::int64_t i = 0; i < count; ++i) m += at(i) / n;
        for (std::int64_t i = 0; i < count; ++i) v += (at(i) - m) * (at(i) - m) / (n - 1);
        mean[c] = (1 - part) * mean[c] + part * m;
        variance[c] = (1 - part) * variance[c] + part * v;
      }
      const Buffers now = p.f.buffers();
      for (std::size_t c = 0; c < 3; ++c) {
        CHECK_CLOSE(now.at("n.running_mean")[c], mean[c], 1e-13);
        CHECK_CLOSE(now.at("n.running_var")[c], variance[c], 1e-13);
      }
      CHECK(now.at("n.num_batches_tracked")[0] == k + 1);
    }
  }
}

TEST("evaluation reads them; evaluations in training do not change them") {
  const Problem2 p;
  const Vector w = p.f.init(3);
  const double loss = p.f.evaluate(w, p.batch());
  Vector g = p.f.zeros(), d = p.f.zeros();
  const Buffers before = p.f.buffers();
  p.f.evaluate(w, p.batch(), {.grad = &g, .diag = {Diag::hesscale, &d}}, {.train = true});
  p.f.evaluate(w, p.batch(), {.grad = &g}, {.train = true, .track = true});
  p.f.product(Product::hessian, w, p.batch(), g, &d, {.train = true});
  CHECK(p.f.buffers() == before);
  CHECK(p.f.evaluate(w, p.batch()) == loss);
  p.f.update_buffers(w, p.batch().x);
  CHECK(p.f.buffers() != before && p.f.evaluate(w, p.batch()) != loss);
}

// Whether a method needs gradients of single samples, which batch statistics do not let apart.
static bool wants_samples(const Problem2& p, const Method& method) {
  try {
    Optimizer(p.f, method).step(p.f.init(), p.batch());
  } catch (const UnsupportedError& error) {
    CHECK(std::string(error.what()).find("gradients of single samples") != std::string::npos);
    return true;
  }
  return false;
}

TEST("a step moves them once, by its batch at the parameters before it") {
  for (const DType dtype : {DType::f64, DType::f32}) {
    for (const Method& method : all_methods()) {
      if (wants_samples(Problem2(dtype), method)) continue;
      const Problem2 p(dtype), by_hand(dtype);
      Optimizer opt(p.f, method);
      const Vector w = p.f.init(3);
      std::int64_t taken = 0;
      for (int k = 0; k < 3; ++k) {
        const Batch batch = p.batch(k * kBatch, kBatch);
        const Numbers before = w.to_host();
        const StepInfo info = opt.step(w, batch);
        if (info.accepted) {
          ++taken;
          by_hand.f.update_buffers(vector_of(before, dtype), batch.x);
        }
        CHECK(p.f.buffers() == by_hand.f.buffers());
      }
      CHECK(taken > 0);
      CHECK(p.f.buffers().at("first.num_batches_tracked")[0] == static_cast<double>(taken));
      CHECK(p.f.buffers().at("twice.num_batches_tracked")[0] == static_cast<double>(2 * taken));
    }
  }
}

TEST("a step that fails or is rejected leaves them") {
  Problem2 p;
  const Vector w = p.f.init(3);
  Optimizer opt(p.f, Adam{}), newton(p.f, GaussNewton{.lr = 1e15});
  opt.step(w, p.batch());
  const Buffers before = p.f.buffers();
  CHECK(!newton.step(w, p.batch()).accepted);
  CHECK(p.f.buffers() == before);
  Numbers poisoned = p.y.to_host();
  poisoned[0] = kInf;
  p.y.from_host(poisoned);
  CHECK_THROWS(NonFiniteError, opt.step(w, p.batch()));
  CHECK(p.f.buffers() == before);
}

TEST("a run moves them as its steps do, up to one that fails") {
  for (const DType dtype : {DType::f64, DType::f32}) {
    for (const Method& method : {Method(Sgd{.lr = 0.05, .momentum = 0.9}), Method(AdaHesScale{})}) {
      Problem2 p(dtype), q(dtype);
      Optimizer a(p.f, method), b(q.f, method);
      const Vector v = p.f.init(3), w = q.f.init(3);
      for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
        CHECK(a.run(v, p.batch(), in_order(), epoch, 0, 99) == 5);
        for (std::int64_t i = 0; i < kRows; i += kBatch) {
          b.step(w, q.batch(i, std::min(kBatch, kRows - i)));
        }
      }
      CHECK(v.to_host() == w.to_host());
      CHECK(p.f.buffers() == q.f.buffers());
      CHECK(p.f.buffers().at("first.num_batches_tracked")[0] == 15);

      Numbers poisoned = p.y.to_host();
      poisoned[2 * 2 * kBatch] = kInf;  // of the third batch
      p.y.from_host(poisoned);
      CHECK_THROWS(NonFiniteError, a.run(v, p.batch(), in_order(), 3, 0, 99));
      for (std::int64_t i = 0; i < 2 * kBatch; i += kBatch) b.step(w, q.batch(i, kBatch));
      CHECK(v.to_host() == w.to_host());
      CHECK(p.f.buffers() == q.f.buffers());
    }
  }
}

TEST("products through shared statistics are exact and symmetric") {
  const Problem2 p;
  const std::int64_t n = p.f.num_params();
  const Mode train{.train = true};
  const Vector w = p.f.init(3), u = vector_of(random_numbers(n, 4)),
               v = vector_of(random_numbers(n, 5));
  const auto gradient = [&](double t) {
    Numbers at = w.to_host();
    const Numbers along = v.to_host();
    for (std::size_t i = 0; i < at.size(); ++i) at[i] += t * along[i];
    Vector g = p.f.zeros();
    p.f.evaluate(vector_of(at), p.batch(), {.grad = &g}, train);
    return g.to_host();
  };
  const auto product = [&](Product kind, const Vector& a) {
    Vector out = p.f.zeros();
    p.f.product(kind, w, p.batch(), a, &out, train);
    return out.to_host();
  };
  const auto dot = [](const Numbers& a, const Numbers& b) {
    double s = 0;
    for (std::size_t i = 0; i < a.size(); ++i) s += a[i] * b[i];
    return s;
  };
  const Numbers hv = product(Product::hessian, v), plus = gradient(1e-5), minus = gradient(-1e-5);
  for (std::size_t i = 0; i < hv.size(); ++i) CHECK_CLOSE(hv[i], (plus[i] - minus[i]) / 2e-5, 1e-7);
  for (const Product kind : {Product::hessian, Product::ggn, Product::fisher_empirical}) {
    CHECK_CLOSE(dot(u.to_host(), product(kind, v)), dot(v.to_host(), product(kind, u)), 1e-11);
  }
  CHECK(dot(v.to_host(), product(Product::ggn, v)) > 0);
}

TEST("squared gradients of single samples are refused where samples share statistics") {
  const Problem2 p;
  const Vector w = p.f.init(3);
  Vector d = p.f.zeros();
  for (const Diag kind : {Diag::ggn, Diag::ggn_mc, Diag::empirical_fisher}) {
    p.f.evaluate(w, p.batch(), {.diag = {kind, &d}});
    try {
      p.f.evaluate(w, p.batch(), {.diag = {kind, &d}}, {.train = true});
      CHECK(false);
    } catch (const UnsupportedError& error) {
      CHECK(std::string(error.what()).find("BatchNorm1d(5)") != std::string::npos);
      CHECK(std::string(error.what()).find("affine=False") != std::string::npos);
    }
  }
  CHECK_THROWS(ShapeError, p.f.evaluate(w, p.batch(0, 1), {}, {.train = true}));
}
