// Rectangular operators: the Jacobian against single products, and adjoints against maps.
#include <random>

#include "check.hpp"
#include "hesscore/hesscore.hpp"

namespace {

namespace hc = hesscore;

using Numbers = std::vector<double>;

Numbers draw(std::mt19937& random, std::int64_t n, double scale = 1) {
  std::normal_distribution<double> normal(0, scale);
  Numbers v;
  for (std::int64_t i = 0; i < n; ++i) v.push_back(normal(random));
  return v;
}

hc::View view(const Numbers& v, hc::Shape shape) {
  return hc::View(v.data(), hc::DType::f64, std::move(shape));
}

double dot(const Numbers& a, const Numbers& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

struct Problem {
  explicit Problem(std::int64_t n)
      : f(graph(), hc::device("cpu"), hc::DType::f64),
        batch(n),
        w(draw(random, f.num_params(), 0.3)),
        x(draw(random, n * 12)),
        y(draw(random, n * 3)) {}

  static hc::Graph graph() {
    hc::GraphBuilder b;
    const int x = b.input({12});
    return b.finish(b.linear(b.tanh(b.linear(b.sigmoid(b.linear(x, 9)), 7)), 3), hc::MSELoss{});
  }
  hc::View at() const { return view(w, {f.num_params()}); }
  hc::View inputs() const { return view(x, {batch, 12}); }
  hc::Batch data() const { return {inputs(), view(y, {batch, 3})}; }

  hc::Objective f;
  std::int64_t batch;
  std::mt19937 random{3};
  Numbers w, x, y;
};

}  // namespace

TEST("the Jacobian operator gives the products of jvp and vjp, however many at once") {
  Problem p(5);
  const auto J = hc::jacobian(p.f, p.at(), p.inputs());
  CHECK(J->rows() == 15 && J->cols() == p.f.num_params());
  for (const std::int64_t count : {1, 3, 21}) {
    const Numbers v = draw(p.random, count * J->cols()), u = draw(p.random, count * J->rows());
    Numbers jv(u.size()), ju(v.size()), one_jv(15), one_ju(p.w.size());
    J->apply(v.data(), jv.data(), count);
    J->apply_adjoint(u.data(), ju.data(), count);
    CHECK_CLOSE(dot(jv, u), dot(v, ju), 1e-11);
    for (std::int64_t k = 0; k < count; ++k) {
      const hc::Shape n{J->cols()}, z{5, 3};
      p.f.jvp(p.at(), p.inputs(), {v.data() + k * J->cols(), hc::DType::f64, n}, view(one_jv, z));
      p.f.vjp(p.at(), p.inputs(), {u.data() + k * 15, hc::DType::f64, z}, view(one_ju, n));
      for (std::size_t i = 0; i < one_jv.size(); ++i) {
        CHECK_CLOSE(jv[static_cast<std::size_t>(k) * 15 + i], one_jv[i], 1e-12);
      }
      for (std::size_t i = 0; i < one_ju.size(); ++i) {
        CHECK_CLOSE(ju[static_cast<std::size_t>(k) * one_ju.size() + i], one_ju[i], 1e-12);
      }
    }
  }
}

TEST("a Jacobian of no samples is refused") {
  Problem p(1);
  CHECK_THROWS(hc::ShapeError, hc::jacobian(p.f, p.at(), view(p.x, {0, 12})));
}
