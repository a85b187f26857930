// Curvature operators, and conjugate gradients in sample space against those on plain vectors.
#include <random>

#include "check.hpp"
#include "hesscore/hesscore.hpp"

namespace {

namespace hc = hesscore;

// Hides the coordinates of another operator.
class Plain final : public hc::LinearOperator {
 public:
  explicit Plain(const hc::LinearOperator& a) : a_(a) {}
  std::int64_t size() const override { return a_.size(); }
  hc::DType dtype() const override { return a_.dtype(); }
  hc::Device& device() const override { return a_.device(); }
  void apply(const void* v, void* out, std::int64_t count) const override {
    ++products;
    a_.apply(v, out, count);
  }
  mutable int products = 0;

 private:
  const hc::LinearOperator& a_;
};

std::vector<double> draw(std::mt19937& random, std::int64_t n, double scale) {
  std::normal_distribution<double> normal(0, scale);
  std::vector<double> v;
  for (std::int64_t i = 0; i < n; ++i) v.push_back(normal(random));
  return v;
}

hc::View view(const std::vector<double>& v, hc::Shape shape) {
  return hc::View(v.data(), hc::DType::f64, std::move(shape));
}

hc::Graph mlp() {
  hc::GraphBuilder b;
  const int x = b.input({40});
  return b.finish(b.linear(b.tanh(b.linear(b.sigmoid(b.linear(x, 30)), 20)), 4), hc::MSELoss{});
}

// A layer used twice, one without bias, a gate and a skip.
hc::Graph dag() {
  hc::GraphBuilder b;
  const auto shared = b.make_linear(40, 40, true, "shared");
  const int h = b.tanh(b.call(shared, b.input({40})));
  const int k = b.call(shared, b.add({h, b.multiply(h, b.sigmoid(b.linear(h, 40)))}));
  return b.finish(b.linear(k, 4, false), hc::MSELoss{});
}

struct Problem {
  Problem(hc::Graph graph, std::int64_t batch)
      : f(std::move(graph), hc::device("cpu"), hc::DType::f64),
        random(5),
        w(draw(random, f.num_params(), 0.3)),
        x(draw(random, batch * 40, 1)),
        y(draw(random, batch * 4, 1)),
        b(draw(random, f.num_params(), 1)),
        data{view(x, {batch, 40}), view(y, {batch, 4})} {}

  hc::View flat(const std::vector<double>& v) const { return view(v, {f.num_params()}); }
  std::unique_ptr<hc::LinearOperator> ggn() const { return hc::ggn(f, flat(w), data); }

  hc::Objective f;
  std::mt19937 random;
  std::vector<double> w, x, y, b;
  hc::Batch data;
};

double worst(const std::vector<double>& a, const std::vector<double>& b) {
  double d = 0;
  for (std::size_t i = 0; i < a.size(); ++i) d = std::fmax(d, std::abs(a[i] - b[i]));
  return d;
}

// Solves on plain vectors and in coordinates; returns the largest difference of x.
void compare(const Problem& p, bool start, std::int64_t iterations) {
  const auto G = p.ggn();
  const hc::ShiftedOperator A(*G, 0.1, 2.0);
  CHECK(A.krylov_coordinates(p.b.data()) != nullptr);
  const Plain plain(A);
  std::mt19937 random(9);
  std::vector<double> x0(p.b.size(), 0.0);
  if (start) x0 = draw(random, p.f.num_params(), 1);
  std::vector<double> u = x0, v = x0;
  const hc::CgOptions options{.rtol = 1e-12, .maxiter = iterations};
  const hc::SolveReport a = hc::cg(A, p.flat(p.b), p.flat(u), options);
  const hc::SolveReport b = hc::cg(plain, p.flat(p.b), p.flat(v), options);
  CHECK(a.iterations == b.iterations);
  CHECK(worst(u, v) < 1e-9);
  for (std::size_t i = 0; i < a.history.size(); ++i) {
    CHECK_CLOSE(a.history[i], b.history[i], 1e-9);
    CHECK_CLOSE(a.model[i], b.model[i], 1e-9);
  }
}

}  // namespace

TEST("CG takes the same steps in sample space, whatever the graph and the start") {
  for (const bool start : {false, true}) {
    compare(Problem(mlp(), 6), start, 12);
    compare(Problem(dag(), 6), start, 12);
  }
}

TEST("where float32 coordinates resolve nothing more, CG goes on from the true residual") {
  const Problem p(mlp(), 6);
  const auto single = [](const std::vector<double>& v) {
    return std::vector<float>(v.begin(), v.end());
  };
  const std::vector<float> w = single(p.w), x = single(p.x), y = single(p.y), b = single(p.b);
  const auto f32 = [](const std::vector<float>& v, hc::Shape shape) {
    return hc::View(v.data(), hc::DType::f32, std::move(shape));
  };
  const hc::Shape n{p.f.num_params()};
  const auto G = hc::ggn(p.f, f32(w, n), {f32(x, {6, 40}), f32(y, {6, 4})});
  const hc::ShiftedOperator A(*G, 0.5);
  std::vector<float> solution(b.size(), 0.0F), back(b.size());
  const hc::SolveReport r = hc::cg(A, f32(b, n), f32(solution, n), {.rtol = 0, .maxiter = 60});
  CHECK(r.residual > 0 || r.status != hc::Status::converged);
  A.apply(solution.data(), back.data());
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < b.size(); ++i) {
    error += std::pow(static_cast<double>(back[i]) - static_cast<double>(b[i]), 2);
    norm += std::pow(static_cast<double>(b[i]), 2);
  }
  CHECK(std::sqrt(error / norm) < 1e-6);
}

TEST("the callback sees the iterate in parameter space, when it asks for it") {
  const Problem p(mlp(), 6);
  const auto G = p.ggn();
  const hc::ShiftedOperator A(*G, 1);
  const Plain plain(A);
  std::vector<std::vector<double>> seen[2];
  for (int k = 0; k < 2; ++k) {
    std::vector<double> x(p.b.size(), 0.0);
    hc::CgOptions options{.maxiter = 6};
    options.callback = [&](std::int64_t, double, const hc::View& at) {
      const auto* values = static_cast<const double*>(at.data);
      seen[k].emplace_back(values, values + at.shape[0]);
      return false;
    };
    options.callback_at = [](std::int64_t i) { return i % 2 == 0; };
    hc::cg(k == 0 ? static_cast<const hc::LinearOperator&>(A) : plain, p.flat(p.b), p.flat(x),
           options);
  }
  CHECK(seen[0].size() == 3 && seen[1].size() == 3);
  for (std::size_t i = 0; i < 3; ++i) CHECK(worst(seen[0][i], seen[1][i]) < 1e-10);
}

TEST("a batch too wide for them, another product or a preconditioner leaves plain vectors") {
  const Problem narrow(mlp(), 6), wide(mlp(), 200);
  CHECK(wide.ggn()->krylov_coordinates(wide.b.data()) == nullptr);
  CHECK(hc::hessian(narrow.f, narrow.flat(narrow.w), narrow.data)
            ->krylov_coordinates(narrow.b.data()) == nullptr);

  hc::Vector ones(narrow.f.device(), hc::DType::f64, narrow.f.num_params());
  ones.from_host(std::vector<double>(narrow.b.size(), 1.0));
  const hc::DiagonalOperator identity(std::move(ones));
  const auto G = narrow.ggn();
  const hc::ShiftedOperator A(*G, 1);
  std::vector<double> u(narrow.b.size(), 0.0), v = u;
  hc::cg(A, narrow.flat(narrow.b), narrow.flat(u), {.maxiter = 5, .preconditioner = &identity});
  hc::cg(A, narrow.flat(narrow.b), narrow.flat(v), {.maxiter = 5});
  CHECK(worst(u, v) < 1e-10);
}

TEST("an operator keeps its point when the caller's arrays change") {
  Problem p(mlp(), 6);
  const auto H = hc::hessian(p.f, p.flat(p.w), p.data);
  std::vector<double> before(p.b.size()), after(p.b.size());
  H->apply(p.b.data(), before.data());
  for (double& v : p.w) v += 1;
  for (double& v : p.x) v += 1;
  H->apply(p.b.data(), after.data());
  CHECK(before == after);
}

TEST("many vectors at once give what each gives alone") {
  const Problem p(dag(), 5);
  const auto H = hc::hessian(p.f, p.flat(p.w), p.data);
  std::mt19937 random(11);
  const std::int64_t n = p.f.num_params(), k = 19;  // more than travel together
  const std::vector<double> v = draw(random, k * n, 1);
  std::vector<double> all(v.size()), one(static_cast<std::size_t>(n));
  H->apply(v.data(), all.data(), k);
  for (std::int64_t i = 0; i < k; ++i) {
    H->apply(v.data() + i * n, one.data());
    const std::vector<double> row(all.begin() + i * n, all.begin() + (i + 1) * n);
    CHECK(worst(row, one) < 1e-11);
  }
}
