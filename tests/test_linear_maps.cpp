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

namespace {

// A dense matrix that counts its products.
class Dense final : public hc::LinearMap {
 public:
  Dense(std::int64_t rows, std::int64_t cols, Numbers a)
      : rows_(rows), cols_(cols), a_(std::move(a)) {}
  std::int64_t rows() const override { return rows_; }
  std::int64_t cols() const override { return cols_; }
  hc::DType dtype() const override { return hc::DType::f64; }
  hc::Device& device() const override { return hc::device("cpu"); }
  double at(std::int64_t i, std::int64_t j) const {
    return a_[static_cast<std::size_t>(i * cols_ + j)];
  }
  void apply(const void* v, void* out, std::int64_t count) const override {
    run(static_cast<const double*>(v), static_cast<double*>(out), count, false);
  }
  void apply_adjoint(const void* u, void* out, std::int64_t count) const override {
    run(static_cast<const double*>(u), static_cast<double*>(out), count, true);
  }

 private:
  void run(const double* in, double* out, std::int64_t count, bool adjoint) const {
    const std::int64_t m = adjoint ? cols_ : rows_, n = adjoint ? rows_ : cols_;
    for (std::int64_t k = 0; k < count; ++k) {
      for (std::int64_t i = 0; i < m; ++i) {
        double sum = 0;
        for (std::int64_t j = 0; j < n; ++j) sum += (adjoint ? at(j, i) : at(i, j)) * in[k * n + j];
        out[k * m + i] = sum;
      }
    }
  }
  std::int64_t rows_, cols_;
  Numbers a_;
};

// Entry (i, j) by products with unit vectors, forth and back.
double entry(const hc::LinearMap& A, std::int64_t i, std::int64_t j) {
  Numbers e(static_cast<std::size_t>(A.cols())), out(static_cast<std::size_t>(A.rows()));
  e[static_cast<std::size_t>(j)] = 1;
  A.apply(e.data(), out.data());
  Numbers u(out.size()), back(e.size());
  u[static_cast<std::size_t>(i)] = 1;
  A.apply_adjoint(u.data(), back.data());
  const double forth = out[static_cast<std::size_t>(i)];
  CHECK_CLOSE(forth, back[static_cast<std::size_t>(j)], 1e-14);
  return forth;
}

}  // namespace

TEST("sums, products, transposes and blocks are those of the matrices") {
  std::mt19937 random(7);
  const Dense A(4, 5, draw(random, 20)), B(4, 5, draw(random, 20)), C(5, 3, draw(random, 15));
  const hc::SumMap sum(A, 2, B, -3), scaled(A, 0.5);
  const hc::ProductMap product(A, C);
  const hc::TransposedMap transposed(C);
  const hc::BlockMap block(A, {{3, 1}, {0, 2}}, {{4, 1}, {1, 2}});
  const std::int64_t rows[] = {3, 0, 1}, cols[] = {4, 1, 2};
  for (std::int64_t i = 0; i < 3; ++i) {
    for (std::int64_t j = 0; j < 3; ++j) {
      CHECK_CLOSE(entry(sum, i, j), 2 * A.at(i, j) - 3 * B.at(i, j), 1e-14);
      CHECK_CLOSE(entry(scaled, i, j), 0.5 * A.at(i, j), 1e-15);
      double by_hand = 0;
      for (std::int64_t k = 0; k < 5; ++k) by_hand += A.at(i, k) * C.at(k, j);
      CHECK_CLOSE(entry(product, i, j), by_hand, 1e-14);
      CHECK_CLOSE(entry(transposed, i, j), C.at(j, i), 1e-15);
      CHECK_CLOSE(entry(block, i, j), A.at(rows[i], cols[j]), 1e-15);
    }
  }
  const Numbers v = draw(random, 3 * 37);
  Numbers many(v.size()), one(3);
  block.apply(v.data(), many.data(), 37);
  for (std::size_t k = 0; k < 37; ++k) {
    block.apply(v.data() + 3 * k, one.data());
    for (std::size_t i = 0; i < 3; ++i) CHECK_CLOSE(many[3 * k + i], one[i], 1e-15);
  }
}

TEST("maps that do not fit are refused") {
  std::mt19937 random(7);
  const Dense A(4, 5, draw(random, 20)), C(5, 3, draw(random, 15));
  CHECK_THROWS(hc::ShapeError, hc::SumMap(A, 1, C, 1));
  CHECK_THROWS(hc::ShapeError, hc::ProductMap(C, A));
  CHECK_THROWS(hc::ShapeError, hc::SymmetricOperator(A));
  CHECK_THROWS(hc::ShapeError, hc::BlockMap(A, {{0, 5}}, {{0, 1}}));
  CHECK_THROWS(hc::ShapeError, hc::BlockMap(A, {{0, 1}}, {{2, 2}, {3, 1}}));
  CHECK_THROWS(hc::ShapeError, hc::BlockMap(A, {{-1, 2}}, {{0, 1}}));
  const hc::IdentityOperator single(hc::device("cpu"), hc::DType::f32, 4);
  const Dense square(4, 4, draw(random, 16));
  CHECK_THROWS(hc::DTypeError, hc::SumMap(square, 1, single, 1));
}

TEST("an inverse undoes its operator, and says when it cannot") {
  Problem p(6);
  const auto G = hc::ggn(p.f, p.at(), p.data());
  const hc::ShiftedOperator A(*G, 0.1);
  const Numbers v = draw(p.random, 2 * A.size());
  Numbers av(v.size()), back(v.size());
  A.apply(v.data(), av.data(), 2);
  hc::InverseOperator(A, {.rtol = 1e-13}).apply(av.data(), back.data(), 2);
  for (std::size_t i = 0; i < v.size(); ++i) CHECK_CLOSE(back[i], v[i], 1e-8);
  const hc::InverseOperator hasty(A, {.rtol = 1e-13, .maxiter = 1});
  CHECK_THROWS(hc::ConvergenceError, hasty.apply(av.data(), back.data()));
}

TEST("the gap is the Hessian less the Gauss-Newton matrix") {
  Problem p(6);
  const Numbers v = draw(p.random, 3 * p.f.num_params());
  const hc::Shape shape{3, p.f.num_params()};
  Numbers h(v.size()), g(v.size()), gap(v.size());
  p.f.product(hc::Product::hessian, p.at(), p.data(), view(v, shape), view(h, shape));
  p.f.product(hc::Product::ggn, p.at(), p.data(), view(v, shape), view(g, shape));
  p.f.product(hc::Product::gap, p.at(), p.data(), view(v, shape), view(gap, shape));
  for (std::size_t i = 0; i < v.size(); ++i) CHECK_CLOSE(gap[i], h[i] - g[i], 1e-13);
}

TEST("batches together are one large batch, whatever is kept of them") {
  Problem p(11);
  const auto part = [&](std::int64_t first, std::int64_t n) {
    return hc::Batch{hc::View(p.x.data() + 12 * first, hc::DType::f64, {n, 12}),
                     hc::View(p.y.data() + 3 * first, hc::DType::f64, {n, 3})};
  };
  const std::vector<hc::Batch> parts{part(0, 4), part(4, 1), part(5, 4), part(9, 2)};
  const Numbers v = draw(p.random, 3 * p.f.num_params());
  Numbers expected(v.size()), got(v.size());
  for (const auto kind : {hc::Product::hessian, hc::Product::ggn, hc::Product::gap}) {
    hc::curvature(p.f, kind, p.at(), p.data())->apply(v.data(), expected.data(), 3);
    for (const std::int64_t bytes : {0, 20'000, 1 << 30}) {
      std::int64_t seen = 0;
      hc::BatchesOptions options{.max_memory = bytes};
      options.watch = [&](std::int64_t done) { seen += done; };
      const auto A = hc::curvature(p.f, kind, p.at(), parts, {}, options);
      for (int again = 0; again < 2; ++again) {
        for (const std::int64_t count : {1, 3}) {
          A->apply(v.data(), got.data(), count);
          for (std::int64_t i = 0; i < count * A->size(); ++i) {
            CHECK_CLOSE(got[static_cast<std::size_t>(i)], expected[static_cast<std::size_t>(i)],
                        1e-13);
          }
        }
      }
      CHECK(seen == 4 * (1 + 2 + 3 + 4));
    }
  }
  CHECK_THROWS(hc::ShapeError,
               hc::curvature(p.f, hc::Product::ggn, p.at(), std::vector<hc::Batch>{}));
}
