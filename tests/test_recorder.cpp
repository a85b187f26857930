// Kernels per step, as the emulator of CUDA counts them: what a launch costs is paid for each.
#include <dlfcn.h>

#include <cstdlib>
#include <map>

#include "check.hpp"
#include "hesscore/hesscore.hpp"

namespace {

namespace hc = hesscore;

// The emulator's list of launches; absent on a real GPU, and where there is no plugin.
struct Recorder {
  long (*launches)() = nullptr;
  void (*reset)() = nullptr;
  const char* (*name)(long) = nullptr;

  Recorder() {
    const char* const plugin = std::getenv("HESSCORE_CUDA_PLUGIN");
    if (plugin == nullptr || hc::cuda_status() != "available") return;
    void* const handle = dlopen(plugin, RTLD_NOW | RTLD_NOLOAD);
    if (handle == nullptr || dlsym(handle, "hesscore_emulator_reset") == nullptr) return;
    launches = reinterpret_cast<long (*)()>(dlsym(handle, "hesscore_emulator_launches"));
    reset = reinterpret_cast<void (*)()>(dlsym(handle, "hesscore_emulator_reset"));
    name = reinterpret_cast<const char* (*)(long)>(dlsym(handle, "hesscore_emulator_name"));
  }
  explicit operator bool() const { return name != nullptr; }

  template <class F>
  long count(F&& work) const {
    reset();
    work();
    return launches();
  }
  // of the launches since the last reset
  std::map<std::string, int> names() const {
    std::map<std::string, int> found;
    for (long i = 0; i < launches(); ++i) ++found[name(i)];
    return found;
  }
};

// 6 - 5 - 3 with tanh, a batch of four on the device.
struct Problem {
  hc::Device& device = hc::device("cuda");
  hc::Objective f;
  hc::Vector w, g, d, x;
  hc::Buffer y;

  explicit Problem(std::int64_t samples = 4)
      : f(graph(), device),
        w(f.init()),
        g(f.zeros()),
        d(f.zeros()),
        x(device, hc::DType::f32, 6 * samples),
        y(device, static_cast<std::size_t>(samples) * 8) {
    std::vector<std::int64_t> labels;
    std::vector<double> values;
    for (std::int64_t i = 0; i < samples; ++i) labels.push_back(i % 3);
    for (std::int64_t i = 0; i < 6 * samples; ++i) values.push_back(0.1 * double(i % 17) - 0.8);
    x.from_host(values);
    device.from_host(y.data(), labels.data(), y.bytes());
  }
  static hc::Graph graph() {
    hc::GraphBuilder b;
    const int in = b.input({6});
    return b.finish(b.linear(b.tanh(b.linear(in, 5)), 3), hc::CrossEntropyLoss{});
  }
  hc::Batch batch() const {
    const std::int64_t n = x.size() / 6;
    return {hc::Inputs(hc::View(x.data(), hc::DType::f32, {n, 6})),
            hc::View(y.data(), hc::DType::i64, {n})};
  }
};

void expect(const Recorder& recorder, const char* what, long found, long most) {
  if (found <= most) return;
  check::fail(what, static_cast<int>(found), "kernels instead of " + std::to_string(most));
  for (const auto& [name, times] : recorder.names())
    std::printf("    %d %s\n", times, name.c_str());
}

}  // namespace

TEST("evaluations of a network of two layers") {
  const Recorder recorder;
  if (!recorder) return;
  Problem p;
  const auto gradient = [&] { p.f.evaluate(p.w, p.batch(), {.grad = &p.g}); };
  const auto hesscale = [&] { p.f.evaluate(p.w, p.batch(), {&p.g, {hc::Diag::hesscale, &p.d}}); };
  gradient();
  hesscale();
  expect(recorder, "loss and gradient", recorder.count(gradient), 6);
  expect(recorder, "with HesScale", recorder.count(hesscale), 6);
  CHECK(recorder.count(hesscale) == 6);  // as a recording, too
}

TEST("training steps of a network of two layers") {
  const Recorder recorder;
  if (!recorder) return;
  constexpr std::int64_t kSteps = 4, kSamples = 16;
  Problem p(kSamples);
  for (const hc::Method& method : {hc::Method(hc::Adam{}), hc::Method(hc::AdaHesScale{})}) {
    hc::Optimizer optimizer(p.f, method);
    const hc::RunOptions options{.batch_size = kSamples / kSteps};
    const auto epoch = [&] { optimizer.run(p.w, p.batch(), options, 0, 0, kSteps); };
    epoch();
    recorder.reset();
    epoch();
    std::map<std::string, int> names = recorder.names();
    int gathers = 0, others = 0;
    for (const auto& [name, times] : names) {
      (name.find("gather") != std::string::npos ? gathers : others) += times;
    }
    // seven for the step, samples and labels gathered; the order and the records for all
    expect(recorder, "gathers", gathers, 2 * kSteps);
    expect(recorder, "kernels of the steps", others, 7 * kSteps + 4);
  }
}

TEST("products and solves of a network of two layers") {
  const Recorder recorder;
  if (!recorder) return;
  Problem p;
  hc::Vector v = p.f.init(1), out = p.f.zeros();
  const auto ggn = hc::ggn(p.f, p.w, p.batch());
  const auto product = [&] { ggn->apply(v.data(), out.data()); };
  product();
  expect(recorder, "a Gauss-Newton product", recorder.count(product), 7);

  const hc::ShiftedOperator damped(*ggn, 0.1);
  const auto solve = [&](std::int64_t iterations) {
    return recorder.count([&] {
      out.from_host(std::vector<double>(static_cast<std::size_t>(out.size()), 0.0));
      hc::CgOptions options;
      options.rtol = 0;
      options.maxiter = iterations;
      hc::cg(damped, v, out, options);
    });
  };
  solve(2);
  solve(6);
  expect(recorder, "four more iterations", solve(6) - solve(2), 4 * 11);
}
