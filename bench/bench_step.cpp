// What one evaluation and one optimizer step of a network cost, against one gradient and the
// processor's peak:
//   bench_step [--net big|small|lenet5|3c3d|allcnnc|resnet18] [--activation tanh|relu] [--batch N]
//              [--dtype f32|f64] [--threads N] [--only ROW] [--seconds S]
// Without an option all its values are run, of --net the first two; activations are those of these
// two. One JSON object per line; `over_gradient` divides by a gradient that was timed just before;
// `gflops` counts the products' multiply-adds as two each, and is left out where the number of
// products is the solver's choice. Batch norm is in training mode, and rows that it has no rule
// for, or that take many passes over a deep network, are left out.
#include "bench.hpp"
#include "cpu/kernels_for.hpp"
#include "hesscore/hesscore.hpp"
#include "peak.hpp"
#include "workload.hpp"

namespace {

using namespace hesscore;

struct Options {
  std::string net, activation, dtype, only;
  int batch = 0, threads = 0;
  double seconds = 0.2;
};

struct Case {
  bench::Network net;
  std::string activation;
  std::int64_t batch;
  DType dtype;
  int threads;
};

// Multiply-adds, counted as two, of the layers' products. `all` is one product for each layer,
// `inner` one for each but the first, whose input needs neither adjoint nor tangent; `conv` one for
// each convolution, whose squares take the gradient of a sample at a time.
struct Flops {
  double all = 0, inner = 0, conv = 0;
  explicit Flops(const Case& c) {
    for (const Node& node : c.net.graph.nodes()) {
      if (node.group < 0) continue;
      const auto& ids = c.net.graph.groups()[static_cast<std::size_t>(node.group)].ids;
      const Parameter& w = c.net.graph.parameters()[static_cast<std::size_t>(ids[0])];
      if (w.shape.size() < 2) continue;
      const double one = 2.0 * static_cast<double>(c.batch * w.size / w.shape[0]) *
                         static_cast<double>(element_count(node.shape));
      if (all > 0) inner += one;
      if (w.shape.size() > 2) conv += one;
      all += one;
    }
  }
  double gradient() const { return 2 * all + inner; }
  double diagonal() const { return 3 * all + 2 * inner; }
  double ggn(double columns) const {
    return 2 * all + inner + columns * (inner + conv) + (all - conv);
  }
  double ggnvp() const { return 2 * all + 2 * inner; }
  double hvp() const { return 3 * all + 5 * inner; }
};

class Bench {
 public:
  Bench(const Case& c, const Options& o, double peak)
      : case_(c), options_(o), peak_(peak * c.threads), at_(c.net, c.batch, c.dtype) {}

  void run() {
    const Flops flops(case_);
    row("gradient", flops.gradient(), [&] { at_.evaluate(); });
    diagonal("hesscale", Diag::hesscale, flops.diagonal());
    diagonal("hesscale_gn", Diag::hesscale_gn, flops.diagonal());
    diagonal("bl89", Diag::bl89, flops.diagonal());
    const bool squares = case_.net.supports("ggn");
    const auto columns = static_cast<double>(case_.net.classes);
    if (squares && !case_.net.deep) diagonal("ggn", Diag::ggn, flops.ggn(columns));
    if (squares) diagonal("ggn_mc", Diag::ggn_mc, flops.ggn(1));
    products(flops);
    if (!case_.net.deep) solve();
    step("sgd", Sgd{.lr = 1e-6}, flops.gradient());
    step("adam", Adam{.lr = 1e-6}, flops.gradient());
    step("adahesscale", AdaHesScale{.lr = 1e-6, .eps = 1}, flops.diagonal());  // divides by >= 1
    if (!case_.net.deep) step("gauss_newton, 10 CG iterations", bench::ten_iterations(), 0);
  }

 private:
  void diagonal(const char* name, Diag kind, double flops) {
    row(name, flops, [&] { at_.diagonal(kind); });
  }

  void products(const Flops& flops) {
    const auto ggn = curvature(at_.f, Product::ggn, at_.w, at_.batch, at_.mode, /*snapshot=*/false);
    row("ggnvp, linearised once", flops.ggnvp(), [&] { ggn->apply(at_.v.data(), at_.out.data()); });
    row("hvp", flops.hvp(),
        [&] { at_.f.product(Product::hessian, at_.w, at_.batch, at_.v, &at_.out, at_.mode); });
  }

  void solve() {
    at_.evaluate();
    row("50 CG iterations on the GGN", 0, [&] { bench::solve(at_, 50); });
  }

  void step(const char* name, Method method, double flops) {
    Optimizer opt(at_.f, std::move(method));
    row(std::string("step of ") + name, flops, [&] { opt.step(at_.w, at_.batch); });
  }

  template <class F>
  void row(const std::string& name, double flops, F&& body) {
    if (name.find(options_.only) == std::string::npos) return;
    const double base = bench::measure([&] { at_.evaluate(); }, options_.seconds / 2).median;
    const bench::Timing t = bench::measure(body, options_.seconds);
    bench::Line line;
    line.add("net", case_.net.name);
    if (!case_.activation.empty()) line.add("activation", case_.activation);
    line.add("batch", case_.batch);
    line.add("dtype", std::string(name_of(case_.dtype))).add("threads", case_.threads);
    line.add("row", name).add(t).add("over_gradient", t.median / base);
    if (flops > 0) {
      line.add("gflops", flops / t.median * 1e-9, 1);
      line.add("percent_of_peak", flops / t.median * 1e-7 / peak_, 1);
    }
    line.print();
  }

  const Case& case_;
  const Options& options_;
  double peak_;
  bench::Workload at_;
};

bench::Network make_net(const std::string& name, const std::string& activation) {
  if (auto net = bench::convolutional(name)) return *net;
  if (name == "big") return bench::mlp({784, 512, 256, 10}, activation);
  if (name == "small") return bench::mlp({784, 128, 10}, activation);
  throw OptionError("--net: there is no network '" + name + "'");
}

std::vector<Case> cases(const Options& o) {
  using Names = std::vector<std::string>;
  const bool mlp = o.net.empty() || o.net == "big" || o.net == "small";
  const Names nets = o.net.empty() ? Names{"big", "small"} : Names{o.net};
  const Names activations = !mlp                   ? Names{""}
                            : o.activation.empty() ? Names{"tanh", "relu"}
                                                   : Names{o.activation};
  const auto batches = o.batch > 0 ? std::vector<int>{o.batch} : std::vector<int>{128, 32, 512};
  std::vector<Case> all;
  for (DType dtype : {DType::f32, DType::f64}) {
    if (!o.dtype.empty() && (o.dtype == "f32") != (dtype == DType::f32)) continue;
    for (int threads : o.threads > 0 ? std::vector<int>{o.threads} : std::vector<int>{2, 1}) {
      for (const std::string& net : nets) {
        for (const std::string& activation : activations) {
          for (int batch : batches) {
            all.push_back({make_net(net, activation), activation, batch, dtype, threads});
          }
        }
      }
    }
  }
  return all;
}

}  // namespace

int main(int argc, char** argv) try {
  Options o;
  bench::read_options(argc, argv,
                      {{"--net", &o.net},
                       {"--activation", &o.activation},
                       {"--dtype", &o.dtype},
                       {"--only", &o.only},
                       {"--batch", &o.batch},
                       {"--threads", &o.threads},
                       {"--seconds", &o.seconds}});
  const std::vector<Case> all = cases(o);
  const std::string isa(cpu::supported_isas().front());
  const double f32 = bench::peak_gflops<float>(isa), f64 = bench::peak_gflops<double>(isa);
  bench::Line()
      .add("processor", device("cpu").description())
      .add("peak_gflops_per_core_float32", f32, 1)
      .add("peak_gflops_per_core_float64", f64, 1)
      .print();
  for (const Case& c : all) {
    set_num_threads(c.threads);
    Bench(c, o, c.dtype == DType::f32 ? f32 : f64).run();
  }
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
