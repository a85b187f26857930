// What steps, products and solves cost on a CUDA device:
//   bench_cuda [--net NAME] [--seconds S] [--smoke]
// One JSON object per line. Every number is taken after the work has ended on the device and counts
// the host's part. Batch norm is in training mode; rows that it has no rule for, or that take many
// passes over a deep network, are left out. --smoke: tiny networks, to see that every row runs.
#include <cmath>
#include <random>

#include "backend/kernels.hpp"
#include "bench.hpp"
#include "hesscore/hesscore.hpp"
#include "networks.hpp"

namespace {

using namespace hesscore;

struct Case {
  bench::Network net;
  std::int64_t batch;
  Precision precision;
};

std::vector<double> normal(std::int64_t n, int seed) {
  std::mt19937 bits(static_cast<unsigned>(seed));
  std::normal_distribution<double> draw;
  std::vector<double> values(static_cast<std::size_t>(n));
  for (double& v : values) v = draw(bits);
  return values;
}

// Random data of some mini-batches on a device.
struct Data {
  Vector x;
  Buffer y;
  std::int64_t batch, batches;
  Shape input;

  Data(Device& device, DType dtype, const Case& c, std::int64_t count)
      : x(device, dtype, count * c.batch * element_count(c.net.input)),
        y(device, static_cast<std::size_t>(count * c.batch) * sizeof(std::int64_t)),
        batch(c.batch),
        batches(count),
        input(c.net.input) {
    x.from_host(normal(x.size(), 7));
    std::vector<std::int64_t> labels;
    for (std::int64_t i = 0; i < count * c.batch; ++i) labels.push_back(i * 7 % c.net.classes);
    device.from_host(y.data(), labels.data(), y.bytes());
  }
  Batch rows(std::int64_t n) const { return of(x, n); }
  Batch one() const { return rows(batch); }
  Batch all() const { return rows(batches * batch); }
  // The first n samples, with inputs that may lie elsewhere.
  Batch of(const Vector& inputs, std::int64_t n, const void* labels = nullptr) const {
    Shape shape = input;
    shape.insert(shape.begin(), n);
    return {Inputs(View(inputs.data(), inputs.dtype(), shape)),
            View(labels != nullptr ? labels : y.data(), DType::i64, {n})};
  }
};

class Bench {
 public:
  Bench(const Case& c, double seconds)
      : case_(c),
        seconds_(seconds),
        device_(device("cuda")),
        f_(c.net.graph, device_, DType::f32, c.precision),
        data_(device_, DType::f32, c, seconds > 0 ? 8 : 2),
        w_(f_.init()),
        g_(f_.zeros()),
        d_(f_.zeros()),
        v_(f_.zeros()),
        out_(f_.zeros()) {
    v_.from_host(normal(v_.size(), 8));
  }

  void run() {
    steps("adam step", Adam{.lr = 1e-6, .eps = 1});  // divides by 1 or more
    steps("adahesscale step", AdaHesScale{.lr = 1e-6, .eps = 1});
    row("gradient call", [&] { f_.evaluate(w_, data_.one(), {.grad = &g_}, mode_); });
    diagonal("hesscale", Diag::hesscale);
    if (case_.net.supports("ggn_mc")) diagonal("ggn_mc", Diag::ggn_mc);
    if (case_.net.supports("ggn") && !case_.net.deep) diagonal("ggn", Diag::ggn);
    diagonal("hutchinson", Diag::hutchinson);
    if (case_.net.supports("kron")) factors();
    const auto ggn = operation(Product::ggn), hessian = operation(Product::hessian);
    row("ggnvp", [&] { ggn->apply(v_.data(), out_.data()); });
    row("hvp", [&] { hessian->apply(v_.data(), out_.data()); });
    if (!case_.net.deep) {
      probes(*hessian);
      solve(*ggn);
    }
    errors();
  }

 private:
  std::unique_ptr<LinearOperator> operation(Product kind) const {
    return curvature(f_, kind, w_, data_.one(), mode_, /*snapshot=*/false);
  }

  void diagonal(const std::string& name, Diag kind) {
    row((name + " call").c_str(), [&] { f_.evaluate(w_, data_.one(), {&g_, {kind, &d_}}, mode_); });
  }

  // Kronecker factors with loss and gradient, and the inverses that are made of them.
  void factors() {
    const Vector to(device_, DType::f32, KroneckerFactors::count(f_, {}));
    const auto at = [&] {
      return KroneckerFactors(f_, w_, data_.one(), {}, mode_, View(to), {.grad = &g_});
    };
    row("kfac call", at);
    const KroneckerFactors factors = at();
    row("kfac inverse", [&] { factors.inverse(1); });
    const auto inverse = factors.inverse(1);
    row("kfac solve", [&] { inverse->apply(v_.data(), out_.data()); });
  }

  void probes(const LinearOperator& hessian) {
    constexpr std::int64_t kProbes = 32;
    const std::int64_t n = kProbes * v_.size();
    Vector v(device_, DType::f32, n);
    const Vector hv(device_, DType::f32, n);
    v.from_host(normal(n, 9));
    row("32 hvp at once", [&] { hessian.apply(v.data(), hv.data(), kProbes); });
  }

  void solve(const LinearOperator& ggn) {
    const ShiftedOperator damped(ggn, 0.1);
    CgOptions options;
    options.rtol = 0;
    options.maxiter = 50;
    row("50 CG iterations on the GGN", [&] {
      out_.from_host(std::vector<double>(static_cast<std::size_t>(out_.size()), 0.0));
      cg(damped, g_, out_, options);
    });
  }

  // Time of one step of a run over the data set, mini-batches gathered on the device.
  void steps(const char* name, Method method) {
    Optimizer optimizer(f_, std::move(method));
    const RunOptions options{.batch_size = case_.batch};
    std::int64_t epoch = 0;
    row(
        name, [&] { optimizer.run(w_, data_.all(), options, epoch++, 0, data_.batches); },
        data_.batches);
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
    l.add("side", "hesscore").add("net", case_.net.name).add("batch", case_.batch);
    l.add("precision", case_.precision == Precision::tf32 ? "tf32" : "fp32").add("row", name);
    return l;
  }

  // Relative errors against float64 on the CPU, from the same float32 numbers.
  void errors() {
    const Objective exact(case_.net.graph, device("cpu"), DType::f64);
    Vector w = exact.zeros(), g = exact.zeros(), d = exact.zeros(), v = exact.zeros();
    Vector x(device("cpu"), DType::f64, data_.x.size());
    w.from_host(w_.to_host());
    v.from_host(v_.to_host());
    x.from_host(data_.x.to_host());
    const std::int64_t n = std::min<std::int64_t>(case_.batch, case_.net.deep ? 32 : 4096);
    std::vector<std::int64_t> y(static_cast<std::size_t>(n));
    device_.to_host(y.data(), data_.y.data(), y.size() * sizeof y[0]);
    const Batch batch = data_.of(x, n, y.data());
    exact.evaluate(w, batch, {&g, {Diag::hesscale, &d}}, mode_);
    f_.evaluate(w_, data_.rows(n), {&g_, {Diag::hesscale, &d_}}, mode_);
    error("error of the gradient", g_, g);
    error("error of hesscale", d_, d);
    exact.product(Product::ggn, w, batch, v, &g, mode_);
    f_.product(Product::ggn, w_, data_.rows(n), v_, &out_, mode_);
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
  const Mode mode_{.train = case_.net.train};
};

std::vector<Case> cases(Precision precision, bool smoke) {
  std::vector<Case> all;
  const auto mlp = [&](const std::vector<std::int64_t>& widths, std::int64_t batch) {
    all.push_back({bench::mlp(widths, "tanh"), batch, precision});
  };
  if (smoke) {
    mlp({12, 9, 3}, 5);
  } else {
    mlp({784, 128, 10}, 128);
    mlp({784, 1024, 1024, 10}, 128);
    mlp({784, 1024, 1024, 10}, 4096);
  }
  for (const char* name : {"lenet5", "3c3d", "allcnnc", "resnet18"}) {
    const std::int64_t batch = std::string(name) == "allcnnc" ? 256 : 128;
    all.push_back({*bench::convolutional(name, smoke ? 32 : 1), smoke ? 2 : batch, precision});
  }
  return all;
}

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
  double seconds = 0.1;
  bool smoke = false;
  std::string net;
  for (int i = 1; i < argc; ++i) {
    if (std::string(argv[i]) == "--smoke") smoke = true;
    if (std::string(argv[i]) == "--net" && i + 1 < argc) net = argv[++i];
    if (std::string(argv[i]) == "--seconds" && i + 1 < argc) seconds = std::stod(argv[++i]);
  }
  if (smoke) seconds = 0;
  bench::Line().add("device", device("cuda").description()).print();
  for (const Precision precision : {Precision::fp32, Precision::tf32}) {
    for (const Case& c : cases(precision, smoke)) {
      if (c.net.name.find(net) != std::string::npos) Bench(c, seconds).run();
    }
  }
  bandwidth(smoke ? 100 : 64 << 20, seconds);
}
