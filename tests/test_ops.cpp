// Every row of the op-case table through every pass.
#include <random>

#include "check.hpp"
#include "hesscore/hesscore.hpp"
#include "op_cases.hpp"

namespace {

namespace hc = hesscore;
using op_cases::OpCase;
using op_cases::Values;

constexpr std::int64_t kBatch = 3;

double dot(const Values& a, const Values& b) {
  double s = 0;
  for (std::size_t i = 0; i < a.size(); ++i) s += a[i] * b[i];
  return s;
}

double distance(const Values& a, const Values& b) {
  double d = 0, n = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    d += (a[i] - b[i]) * (a[i] - b[i]);
    n += b[i] * b[i];
  }
  return std::sqrt(d) / std::max(1e-3, std::sqrt(n));
}

// An array with guard words on both sides, checked when it is read.
template <class T>
class Guarded {
 public:
  explicit Guarded(std::int64_t n) : data_(static_cast<std::size_t>(n) + 2 * kWords, T(kGuard)) {}
  hc::Target target(hc::Shape shape) {
    return hc::View(data_.data() + kWords, sizeof(T) == 4 ? hc::DType::f32 : hc::DType::f64,
                    std::move(shape));
  }
  Values read() const {
    check::device().synchronize();
    for (std::size_t i = 0; i < kWords; ++i) {
      CHECK(data_[i] == T(kGuard) && data_[data_.size() - 1 - i] == T(kGuard));
    }
    return Values(data_.begin() + kWords, data_.end() - kWords);
  }

 private:
  static constexpr std::size_t kWords = 16;
  static constexpr double kGuard = -12345.0;
  check::Array<T> data_;
};

// One row at one point in one dtype: plain vectors in, plain vectors out.
template <class T>
class Problem {
 public:
  Problem(const OpCase& row, unsigned seed) : f_(build(row)), random_(seed) {
    w_ = draw(f_.num_params(), 0.7);
    x_ = draw(kBatch * hc::element_count(row.input), 1);
    for (T& x : x_) {
      if (row.tokens == 0) break;
      x = std::floor(std::fabs(x) * static_cast<T>(1e3));
      x = std::fmod(x, static_cast<T>(row.tokens));
      tokens_.push_back(static_cast<std::int64_t>(x));
    }
    outputs_ = kBatch * hc::element_count(f_.output_shape());
    y_ = draw(outputs_, 1);
    x_shape_ = row.input;
    x_shape_.insert(x_shape_.begin(), kBatch);
    z_shape_ = f_.output_shape();
    z_shape_.insert(z_shape_.begin(), kBatch);
  }

  check::Array<T> draw(std::int64_t n, double scale) {
    std::normal_distribution<double> normal(0, scale);
    check::Array<T> v;
    for (std::int64_t i = 0; i < n; ++i) v.push_back(static_cast<T>(normal(random_)));
    return v;
  }
  std::int64_t params() const { return f_.num_params(); }
  std::int64_t outputs() const { return outputs_; }
  const check::Array<T>& w() const { return w_; }
  const check::Array<T>& x() const { return x_; }

  Values predict(const check::Array<T>& w) {
    Guarded<T> out(outputs_);
    f_.predict(flat(w), x_view(), out.target(z_shape_));
    return out.read();
  }
  Values jvp(const check::Array<T>& v) {
    Guarded<T> out(outputs_);
    f_.jvp(flat(w_), x_view(), flat(v), out.target(z_shape_));
    return out.read();
  }
  Values vjp(const check::Array<T>& u) {
    Guarded<T> out(params());
    f_.vjp(flat(w_), x_view(), view(u, z_shape_), out.target({params()}));
    return out.read();
  }
  Values gradient(const check::Array<T>& w) {
    Guarded<T> out(params());
    loss_ = f_.evaluate(flat(w), batch(), {.grad = out.target({params()})});
    return out.read();
  }
  Values product(hc::Product kind, const check::Array<T>& v) {
    Guarded<T> out(params());
    f_.product(kind, flat(w_), batch(), flat(v), out.target({params()}));
    return out.read();
  }
  Values diagonal(hc::Diag kind, std::int64_t max_memory = 0) {
    Guarded<T> out(params());
    f_.evaluate(flat(w_), batch(), {.diag = {{kind, out.target({params()}), 1, 0, max_memory}}});
    return out.read();
  }
  // The gradient of one sample's loss, from a batch of one.
  Values gradient_of_sample(std::int64_t n) {
    const auto part = [&](const hc::View& all) {
      hc::Shape one = all.shape;
      one[0] = 1;
      const std::int64_t size = hc::element_count(one);
      auto* data = static_cast<std::byte*>(all.data);
      return hc::View(data + n * size * static_cast<std::int64_t>(hc::size_of(all.dtype)),
                      all.dtype, one);
    };
    Guarded<T> out(params());
    const hc::Batch all = batch();
    const hc::View x = all.x.arrays[0].second;
    f_.evaluate(flat(w_), {part(x), part(all.y)}, {.grad = out.target({params()})});
    return out.read();
  }
  Values per_sample_grads() {
    Guarded<T> out(kBatch * params());
    f_.per_sample_grads(flat(w_), batch(), out.target({kBatch, params()}));
    return out.read();
  }
  struct Moments {
    Values mean, second, variance, norms, grad;
  };
  Moments moments() {
    Guarded<T> m(params()), s(params()), v(params()), n(kBatch), g(params());
    f_.evaluate(flat(w_), batch(),
                {.grad = g.target({params()}),
                 .grad_moments = {m.target({params()}), s.target({params()}), v.target({params()}),
                                  n.target({kBatch})}});
    return {m.read(), s.read(), v.read(), n.read(), g.read()};
  }
  Values norms() {
    Guarded<T> n(kBatch);
    f_.grad_moments(flat(w_), batch(), {.norms = n.target({kBatch})});
    return n.read();
  }
  Values dense_diagonal(hc::Product kind) {
    Values d;
    for (std::int64_t i = 0; i < params(); ++i) {
      check::Array<T> e(static_cast<std::size_t>(params()), T(0));
      e[static_cast<std::size_t>(i)] = 1;
      d.push_back(product(kind, e)[static_cast<std::size_t>(i)]);
    }
    return d;
  }
  double loss() const { return loss_; }

 private:
  static hc::Objective build(const OpCase& row) {
    hc::GraphBuilder b;
    const int z = row.build(b, b.input(row.input));
    return hc::Objective(b.finish(z, hc::MSELoss{}), check::device());
  }
  static hc::View view(const check::Array<T>& v, hc::Shape shape) {
    return hc::View(v.data(), sizeof(T) == 4 ? hc::DType::f32 : hc::DType::f64, std::move(shape));
  }
  hc::View x_view() const {
    if (tokens_.empty()) return view(x_, x_shape_);
    return hc::View(tokens_.data(), hc::DType::i64, x_shape_);
  }
  hc::View flat(const check::Array<T>& v) const { return view(v, {params()}); }
  hc::Batch batch() const { return {x_view(), view(y_, z_shape_)}; }

  hc::Objective f_;
  std::mt19937 random_;
  check::Array<T> w_, x_, y_;
  check::Array<std::int64_t> tokens_;  // x, where it is integers
  std::int64_t outputs_ = 0;
  hc::Shape x_shape_, z_shape_;
  double loss_ = 0;
};

Values moved(const Values& w, const Values& v, double h) {
  Values m = w;
  for (std::size_t i = 0; i < m.size(); ++i) m[i] += h * v[i];
  return m;
}

Values slope(const Values& a, const Values& b, double h) {
  Values s;
  for (std::size_t i = 0; i < a.size(); ++i) s.push_back((a[i] - b[i]) / (2 * h));
  return s;
}

template <class Check>
void each_row(Check check) {
  for (const OpCase& row : op_cases::all()) {
    const int before = check::failures;
    Problem<double> p(row, 7);
    check(row, p);
    if (check::failures > before) std::printf("  in row: %s\n", row.name.c_str());
  }
}

}  // namespace

TEST("forward equals plain loops") {
  each_row([](const OpCase& row, Problem<double>& p) {
    Values expected;
    const std::size_t n = p.x().size() / kBatch;
    for (std::size_t s = 0; s < kBatch; ++s) {
      const Values x(p.x().begin() + static_cast<std::ptrdiff_t>(s * n),
                     p.x().begin() + static_cast<std::ptrdiff_t>((s + 1) * n));
      const Values z = row.naive(p.w(), x);
      expected.insert(expected.end(), z.begin(), z.end());
    }
    CHECK(distance(p.predict(p.w()), expected) < 1e-13);
  });
}

TEST("jvp equals symmetric differences") {
  each_row([](const OpCase&, Problem<double>& p) {
    const auto v = p.draw(p.params(), 1);
    const double h = 1e-6;
    const Values fd = slope(p.predict(moved(p.w(), v, h)), p.predict(moved(p.w(), v, -h)), h);
    CHECK(distance(p.jvp(v), fd) < 1e-7);
  });
}

TEST("vjp is the transpose of jvp") {
  each_row([](const OpCase&, Problem<double>& p) {
    const auto v = p.draw(p.params(), 1), u = p.draw(p.outputs(), 1);
    CHECK_CLOSE(dot(u, p.jvp(v)), dot(p.vjp(u), v), 1e-12);
  });
}

TEST("Hessian product equals differences of the gradient, and is symmetric") {
  each_row([](const OpCase&, Problem<double>& p) {
    const auto v = p.draw(p.params(), 1), u = p.draw(p.params(), 1);
    const double h = 1e-6;
    const Values hv = p.product(hc::Product::hessian, v);
    CHECK(distance(hv, slope(p.gradient(moved(p.w(), v, h)), p.gradient(moved(p.w(), v, -h)), h)) <
          1e-6);
    CHECK_CLOSE(dot(u, hv), dot(v, p.product(hc::Product::hessian, u)), 1e-11);
  });
}

TEST("GGN product is symmetric and positive; its exact diagonal matches") {
  each_row([](const OpCase&, Problem<double>& p) {
    const auto v = p.draw(p.params(), 1), u = p.draw(p.params(), 1);
    const Values gv = p.product(hc::Product::ggn, v);
    CHECK(dot(v, gv) >= -1e-13);
    CHECK_CLOSE(dot(u, gv), dot(v, p.product(hc::Product::ggn, u)), 1e-11);
    CHECK(distance(p.diagonal(hc::Diag::ggn), p.dense_diagonal(hc::Product::ggn)) < 1e-11);
  });
}

TEST("exact Hessian diagonal matches products, whatever travels together") {
  each_row([](const OpCase&, Problem<double>& p) {
    const Values dense = p.dense_diagonal(hc::Product::hessian);
    CHECK(distance(p.diagonal(hc::Diag::hessian), dense) < 1e-11);
    CHECK(distance(p.diagonal(hc::Diag::hessian, 1), dense) < 1e-11);
    CHECK(distance(p.diagonal(hc::Diag::hessian, 6000), dense) < 1e-11);
    CHECK(distance(p.diagonal(hc::Diag::ggn, 1), p.dense_diagonal(hc::Product::ggn)) < 1e-11);
  });
}

TEST("empirical Fisher diagonal matches its products") {
  each_row([](const OpCase&, Problem<double>& p) {
    CHECK(distance(p.diagonal(hc::Diag::empirical_fisher),
                   p.dense_diagonal(hc::Product::fisher_empirical)) < 1e-11);
  });
}

TEST("gradients of single samples are those of batches of one") {
  each_row([](const OpCase&, Problem<double>& p) {
    const Values rows = p.per_sample_grads();
    for (std::int64_t n = 0; n < kBatch; ++n) {
      const auto at = rows.begin() + n * p.params();
      CHECK(distance(Values(at, at + p.params()), p.gradient_of_sample(n)) < 1e-13);
    }
  });
}

TEST("moments are those of the rows") {
  each_row([](const OpCase&, Problem<double>& p) {
    const Values rows = p.per_sample_grads();
    const auto size = static_cast<std::size_t>(p.params());
    Values mean(size), second(size), variance(size), norms(kBatch);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      mean[i % size] += rows[i] / kBatch;
      second[i % size] += rows[i] * rows[i] / kBatch;
      norms[i / size] += rows[i] * rows[i];
    }
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const double from_mean = rows[i] - mean[i % size];
      variance[i % size] += from_mean * from_mean / kBatch;
    }
    for (double& n : norms) n = std::sqrt(n);
    const auto got = p.moments();
    CHECK(distance(got.mean, mean) < 1e-13);
    CHECK(distance(got.grad, p.gradient(p.w())) < 1e-13);
    CHECK(distance(got.second, second) < 1e-13);
    CHECK(distance(got.variance, variance) < 1e-12);
    CHECK(distance(got.norms, norms) < 1e-13);
    CHECK(p.norms() == got.norms);
  });
}

TEST("HesScale is exact where the row claims it") {
  each_row([](const OpCase& row, Problem<double>& p) {
    const Values d = p.diagonal(hc::Diag::hesscale);
    const double error = distance(d, p.dense_diagonal(hc::Product::hessian));
    if (row.hesscale_exact) CHECK(error < 1e-11);
  });
}

TEST("float32 stays near float64") {
  for (const OpCase& row : op_cases::all()) {
    Problem<double> p(row, 7);
    Problem<float> q(row, 7);
    const int before = check::failures;
    CHECK(distance(q.gradient(q.w()), p.gradient(p.w())) < 1e-4);
    CHECK(distance(q.diagonal(hc::Diag::hesscale), p.diagonal(hc::Diag::hesscale)) < 1e-4);
    CHECK(distance(q.per_sample_grads(), p.per_sample_grads()) < 1e-4);
    CHECK(distance(q.norms(), p.norms()) < 1e-4);
    CHECK(distance(q.diagonal(hc::Diag::hessian), p.diagonal(hc::Diag::hessian)) < 1e-4);
    CHECK_CLOSE(q.loss(), p.loss(), 1e-4);
    if (check::failures > before) std::printf("  in row: %s\n", row.name.c_str());
  }
}
