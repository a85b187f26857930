// What steps, products and solves cost on a CUDA device:
//   bench_cuda [--seconds S] [--smoke]
// One JSON object per line. Every number is taken after the work has ended on the device and counts
// the host's part. --smoke: tiny networks, to see that every row runs.
#include <cmath>
#include <random>

#include "backend/kernels.hpp"
#include "bench.hpp"
#include "hesscore/hesscore.hpp"

namespace {

using namespace hesscore;

struct Case {
  std::vector<std::int64_t> widths;
  std::int64_t batch;
  Precision precision;

  std::string net() const {
    std::string text;
    for (const std::int64_t w : widths) text += (text.empty() ? "" : "-") + std::to_string(w);
    return text;
  }
};

Graph make_graph(const Case& c) {
  GraphBuilder b;
  int x = b.input({c.widths[0]});
  for (std::size_t l = 1; l < c.widths.size(); ++l) {
    x = b.linear(x, c.widths[l]);
    if (l + 1 < c.widths.size()) x = b.tanh(x);
  }
  return b.finish(x, CrossEntropyLoss{});
}

std::vector<double> normal(std::int64_t n, int seed) {
  std::mt19937 bits(static_cast<unsigned>(seed));
  std::normal_distribution<double> draw;
  std::vector<double> values(static_cast<std::size_t>(n));
  for (double& v : values) v = draw(bits);
  return values;
}

// Random data of kBatches mini-batches on a device.
struct Data {
  static constexpr std::int64_t kBatches = 8;
  Vector x;
  Buffer y;
  std::int64_t batch, inputs;

  Data(Device& device, DType dtype, const Case& c)
      : x(device, dtype, kBatches * c.batch * c.widths[0]),
        y(device, static_cast<std::size_t>(kBatches * c.batch) * sizeof(std::int64_t)),
        batch(c.batch),
        inputs(c.widths[0]) {
    x.from_host(normal(x.size(), 7));
    std::vector<std::int64_t> labels;
    for (std::int64_t i = 0; i < kBatches * c.batch; ++i) labels.push_back(i * 7 % c.widths.back());
    device.from_host(y.data(), labels.data(), y.bytes());
  }
  Batch rows(std::int64_t n) const {
    return {Inputs(View(x.data(), x.dtype(), {n, inputs})), View(y.data(), DType::i64, {n})};
  }
  Batch one() const { return rows(batch); }
  Batch all() const { return rows(kBatches * batch); }
};

class Bench {
 public:
  Bench(const Case& c, double seconds)
      : case_(c),
        seconds_(seconds),
        device_(device("cuda")),
        f_(make_graph(c), device_, DType::f32, c.precision),
        data_(device_, DType::f32, c),
        w_(f_.init()),
        g_(f_.zeros()),
        d_(f_.zeros()),
        v_(f_.zeros()),
        out_(f_.zeros()) {
    v_.from_host(normal(v_.size(), 8));
  }

  void run() {
    steps("adam step", Adam{.lr = 1e-6});
    steps("adahesscale step", AdaHesScale{.lr = 1e-6});
    row("gradient call", [&] { f_.evaluate(w_, data_.one(), {.grad = &g_}); });
    row("hesscale call", [&] { f_.evaluate(w_, data_.one(), {&g_, {Diag::hesscale, &d_}}); });
    row("ggn_mc call", [&] { f_.evaluate(w_, data_.one(), {&g_, {Diag::ggn_mc, &d_}}); });
    const auto ggn = curvature(f_, Product::ggn, w_, data_.one(), {}, /*snapshot=*/false);
    row("ggnvp", [&] { ggn->apply(v_.data(), out_.data()); });
    const auto hessian = curvature(f_, Product::hessian, w_, data_.one(), {}, /*snapshot=*/false);
    row("hvp", [&] { hessian->apply(v_.data(), out_.data()); });
    const ShiftedOperator damped(*ggn, 0.1);
    CgOptions options;
    options.rtol = 0;
    options.maxiter = 50;
    row("50 CG iterations on the GGN", [&] {
      out_.from_host(std::vector<double>(static_cast<std::size_t>(out_.size()), 0.0));
      cg(damped, g_, out_, options);
    });
    errors();
  }

 private:
  // Time of one step of a run over the data set, mini-batches gathered on the device.
  void steps(const char* name, Method method) {
    Optimizer optimizer(f_, std::move(method));
    const RunOptions options{.batch_size = case_.batch};
    std::int64_t epoch = 0;
    row(
        name, [&] { optimizer.run(w_, data_.all(), options, epoch++, 0, Data::kBatches); },
        Data::kBatches);
  }

  template <class F>
  void row(const char* name, F&& body, std::int64_t count = 1) {
    for (int warm = 0; warm < 3; ++warm) body();
    bench::Timing t = bench::measure(
        [&] {
          body();
          device_.synchronize();
        },
        seconds_);
    t.median /= static_cast<double>(count);
    t.best /= static_cast<double>(count);
    line(name).add(t).print();
  }

  bench::Line line(const char* name) const {
    bench::Line l;
    l.add("side", "hesscore").add("net", case_.net()).add("batch", case_.batch);
    l.add("precision", case_.precision == Precision::tf32 ? "tf32" : "fp32").add("row", name);
    return l;
  }

  // Relative errors against float64 on the CPU, from the same float32 numbers.
  void errors() {
    const Objective exact(make_graph(case_), device("cpu"), DType::f64);
    Vector w = exact.zeros(), g = exact.zeros(), d = exact.zeros(), v = exact.zeros();
    Vector x(device("cpu"), DType::f64, data_.x.size());
    w.from_host(w_.to_host());
    v.from_host(v_.to_host());
    x.from_host(data_.x.to_host());
    std::vector<std::int64_t> y(static_cast<std::size_t>(case_.batch));
    device_.to_host(y.data(), data_.y.data(), y.size() * sizeof y[0]);
    const Batch batch{Inputs(View(x.data(), DType::f64, {case_.batch, case_.widths[0]})),
                      View(y.data(), DType::i64, {case_.batch})};
    exact.evaluate(w, batch, {&g, {Diag::hesscale, &d}});
    f_.evaluate(w_, data_.one(), {&g_, {Diag::hesscale, &d_}});
    error("error of the gradient", g_, g);
    error("error of hesscale", d_, d);
    exact.product(Product::ggn, w, batch, v, &g);
    f_.product(Product::ggn, w_, data_.one(), v_, &out_);
    error("error of ggnvp", out_, g);
  }

  void error(const char* name, const Vector& found, const Vector& exact) const {
    const std::vector<double> a = found.to_host(), b = exact.to_host();
    double apart = 0, norm = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      apart += (a[i] - b[i]) * (a[i] - b[i]);
      norm += b[i] * b[i];
    }
    line(name).add("relative_error", std::sqrt(apart / norm), 9).print();
  }

  const Case& case_;
  double seconds_;
  Device& device_;
  Objective f_;
  Data data_;
  Vector w_, g_, d_, v_, out_;
};

// The update kernel against a plain copy, in bytes moved a second.
void bandwidth(std::int64_t n, double seconds) {
  Device& cuda = device("cuda");
  Vector w(cuda, DType::f32, n), m(cuda, DType::f32, n), u(cuda, DType::f32, n),
      g(cuda, DType::f32, n), d(cuda, DType::f32, n);
  const auto update = cuda.kernels().get<kernels::Update>(DType::f32);
  kernels::Update::Args args;
  args.w = Out(w.data());
  args.m = Out(m.data());
  args.u = Out(u.data());
  args.g = In(g.data());
  args.d = In(d.data());
  args.n = n;
  args.spec.kind = math::UpdateKind::adam;
  const auto report = [&](const char* name, double arrays, auto&& body) {
    constexpr int kBundle = 20;
    const bench::Timing t = bench::measure(
        [&] {
          for (int i = 0; i < kBundle; ++i) body();
          cuda.synchronize();
        },
        seconds);
    bench::Line l;
    l.add("side", "hesscore").add("row", name).add("elements", static_cast<long>(n));
    l.add("gb_per_s", arrays * 4 * static_cast<double>(n) * kBundle / t.median * 1e-9, 1).print();
  };
  report("update bandwidth", 8, [&] { update(cuda.stream(), args); });
  report("copy bandwidth", 2,
         [&] { cuda.copy(m.data(), g.data(), static_cast<std::size_t>(n) * 4); });
}

}  // namespace

int main(int argc, char** argv) {
  double seconds = 0.3;
  bool smoke = false;
  for (int i = 1; i < argc; ++i) {
    if (std::string(argv[i]) == "--smoke") smoke = true;
    if (std::string(argv[i]) == "--seconds" && i + 1 < argc) seconds = std::stod(argv[++i]);
  }
  if (smoke) seconds = 0;
  bench::Line().add("device", device("cuda").description()).print();
  for (const Precision precision : {Precision::fp32, Precision::tf32}) {
    if (smoke) {
      Bench(Case{{12, 9, 3}, 5, precision}, 0).run();
      continue;
    }
    Bench(Case{{784, 128, 10}, 128, precision}, seconds).run();
    Bench(Case{{784, 1024, 1024, 10}, 128, precision}, seconds).run();
    Bench(Case{{784, 1024, 1024, 10}, 4096, precision}, seconds).run();
  }
  bandwidth(smoke ? 100 : 64 << 20, seconds);
}
