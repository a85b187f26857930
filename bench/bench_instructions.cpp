// Micro-cases for a count of instructions, which unlike time is the same on a busy machine: each
// runs once within hesscore_measured(), after a run that makes plans and memory. The compiler and
// their names are printed in order. tests/test_instructions.py counts them under callgrind and
// compares.
#include <functional>

#include "workload.hpp"

// Callgrind collects within this function.
extern "C" __attribute__((noinline)) void hesscore_measured(const std::function<void()>& run) {
  run();
}

namespace {

using namespace hesscore;
using bench::Workload;

void measure(const std::string& net, const std::string& name, const std::function<void()>& run) {
  run();
  std::printf("%s: %s\n", net.c_str(), name.c_str());
  hesscore_measured(run);
}

void diagonal(const std::string& net, Workload& at, const char* name, Diag kind) {
  measure(net, name, [&] { at.diagonal(kind); });
}

void products(const std::string& net, Workload& at) {
  const auto ggn = curvature(at.f, Product::ggn, at.w, at.batch, at.mode, /*snapshot=*/false);
  measure(net, "ggnvp, linearised once", [&] { ggn->apply(at.v.data(), at.out.data()); });
  measure(net, "hvp",
          [&] { at.f.product(Product::hessian, at.w, at.batch, at.v, &at.out, at.mode); });
}

void of_samples(const std::string& net, Workload& at) {
  const auto n = static_cast<std::int64_t>(at.y.size());
  Vector rows(at.w.device(), at.w.dtype(), n * at.f.num_params());
  const View all(rows.data(), rows.dtype(), {n, at.f.num_params()});
  measure(net, "per-sample gradients", [&] { at.f.per_sample_grads(at.w, at.batch, all); });
  measure(net, "second moment",
          [&] { at.f.grad_moments(at.w, at.batch, {.second_moment = &at.d}); });
}

void solvers(const std::string& net, Workload& at) {
  at.evaluate();
  measure(net, "10 CG iterations", [&] { bench::solve(at, 10); });
  const auto hessian = curvature(at.f, Product::hessian, at.w, at.batch, at.mode, false);
  measure(net, "10 Lanczos steps", [&] { lanczos(*hessian, at.v, {.steps = 10}); });
}

// The second one: the first makes state and plans.
void step(const std::string& net, Workload& at, const std::string& name, const Method& method) {
  Optimizer optimizer(at.f, method);
  measure(net, "step of " + name, [&] { optimizer.step(at.w, at.batch); });
}

void steps(const std::string& net, Workload& at) {
  step(net, at, "sgd", Sgd{.lr = 1e-6});
  step(net, at, "adam", Adam{.lr = 1e-6});
  step(net, at, "adahesscale", AdaHesScale{.lr = 1e-6, .eps = 1});
  step(net, at, "gauss_newton", bench::ten_iterations());
  step(net, at, "lbfgs", Lbfgs{});
  step(net, at, "kfac", Kfac{});
}

void perceptron() {
  const bench::Network net = bench::mlp({40, 32, 16, 10}, "tanh");
  const std::string name = net.name + " tanh";
  Workload at(net, 24, DType::f32), wide(net, 24, DType::f64);
  measure(name, "gradient", [&] { at.evaluate(); });
  measure(name + ", float64", "gradient", [&] { wide.evaluate(); });
  diagonal(name, at, "hesscale", Diag::hesscale);
  diagonal(name, at, "hesscale_gn", Diag::hesscale_gn);
  diagonal(name, at, "bl89", Diag::bl89);
  diagonal(name, at, "ggn", Diag::ggn);
  diagonal(name, at, "ggn_mc", Diag::ggn_mc);
  diagonal(name, at, "hessian", Diag::hessian);
  diagonal(name, at, "empirical_fisher", Diag::empirical_fisher);
  products(name, at);
  of_samples(name, at);
  solvers(name, at);
  steps(name, at);
  measure(name, "objective", [&] { Objective f(net.graph); });
}

void convolutional(const std::string& name, bench::Size thin, bench::Size batch) {
  const auto net = bench::convolutional(name, thin);
  Workload at(*net, batch, DType::f32);
  measure(name, "gradient", [&] { at.evaluate(); });
  diagonal(name, at, "hesscale", Diag::hesscale);
  if (!net->train) diagonal(name, at, "ggn_mc", Diag::ggn_mc);
  if (!net->deep) products(name, at);
}

}  // namespace

int main() try {
  set_num_threads(1);
  std::printf("%s\n", __VERSION__);
  perceptron();
  convolutional("lenet5", 1, 4);
  convolutional("3c3d", 8, 2);
  convolutional("resnet18", 8, 2);
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
