// The convolution kernels against the processor's measured peak:
//   bench_conv [--isa NAME] [--threads N] [--dtype f32|f64] [--only PASS] [--layer NAME]
//              [--samples N] [--seconds S]
// One JSON object per line; bench/conv_torch.py gives PyTorch's times of the same layers. FLOPs
// count the zeros of the padding as work.
#include <random>

#include "backend/kernels.hpp"
#include "bench.hpp"
#include "cpu/kernels_for.hpp"
#include "cpu/parallel.hpp"
#include "peak.hpp"

namespace {

using namespace hesscore;
using math::ConvGeometry;

struct Options {
  std::string isa{cpu::supported_isas().front()}, dtype = "f32", only, layer;
  int threads = 1, samples = 32;
  double seconds = 0.2;
};

struct Layer {
  const char* name;
  std::int64_t size, c, o, kernel, pad = 0, stride = 1, groups = 1;

  ConvGeometry geometry(std::int64_t samples) const {
    ConvGeometry g{.n = samples, .h = size, .w = size, .c = c};
    g.o = o, g.kh = g.kw = kernel, g.pad_h = g.pad_w = pad, g.stride_h = g.stride_w = stride;
    g.groups = groups;
    g.oh = g.ow = (size + 2 * pad - kernel) / stride + 1;
    return g;
  }
};

constexpr Layer kLayers[] = {
    {"lenet1", 28, 1, 6, 5, 2},
    {"lenet2", 14, 6, 16, 5},
    {"3c3d_1", 32, 3, 64, 5},
    {"3c3d_2", 14, 64, 96, 3},
    {"3c3d_3", 6, 96, 128, 3, 1},
    {"resnet_first", 32, 3, 64, 3, 1},
    {"resnet_64", 32, 64, 64, 3, 1},
    {"resnet_128", 16, 128, 128, 3, 1},
    {"resnet_256", 8, 256, 256, 3, 1},
    {"resnet_512", 4, 512, 512, 3, 1},
    {"resnet_down", 32, 64, 128, 3, 1, 2},
    {"resnet_shortcut", 32, 64, 128, 1, 0, 2},
    {"pointwise", 16, 128, 128, 1},
    {"depthwise", 32, 64, 64, 3, 1, 1, 64},
};
enum Pass { forward, data, weights, dual_data, dual_weights, squares };
constexpr const char* kPasses[] = {"forward",   "data gradient", "weight gradient",
                                   "dual data", "dual weights",  "squares"};

template <class T>
struct Data {
  std::vector<T> x, x2, y, y2, w, w2, bias;
  explicit Data(const ConvGeometry& g) {
    std::mt19937 bits(7);
    const auto fill = [&](std::vector<T>& v, std::int64_t n) {
      v.resize(static_cast<std::size_t>(n));
      for (T& e : v) e = static_cast<T>(bits() * 0x1p-32 - 0.5);
    };
    for (auto* v : {&x, &x2}) fill(*v, g.n * g.x_image());
    for (auto* v : {&y, &y2}) fill(*v, g.n * g.y_image());
    for (auto* v : {&w, &w2}) fill(*v, g.weights());
    fill(bias, g.o);
  }
};

template <class T>
bench::Timing run_pass(const KernelTable& table, Pass pass, const ConvGeometry& g, Data<T>& d,
                       double seconds) {
  const DType dtype = sizeof(T) == 4 ? DType::f32 : DType::f64;
  const In x(d.x.data()), y(d.y.data()), y2(d.y2.data()), w(d.w.data()), bias(d.bias.data());
  const auto time = [&](auto key, const auto& args) {
    const auto kernel = table.get<decltype(key)>(dtype);
    return bench::measure([&] { kernel(nullptr, args); }, seconds);
  };
  const bool dual = pass == dual_data || pass == dual_weights;
  if (pass == forward) {
    return time(kernels::Convolve{},
                kernels::Convolve::Args{x, w, bias, {}, Out(d.y.data()), {}, g});
  }
  if (pass == data || pass == dual_data) {
    kernels::ConvolveTransposed::Args a{y, w, {}, {}, Out(d.x.data()), {}, g};
    if (dual) a.y2 = y2, a.x2 = Out(d.x2.data());
    return time(kernels::ConvolveTransposed{}, a);
  }
  if (pass == squares) {
    return time(kernels::ConvolveSquares{},
                kernels::ConvolveSquares::Args{y, x, Out(d.w.data()), g});
  }
  kernels::ConvolveWeights::Args a{.y = y, .x = x, .w = Out(d.w.data()), .g = g};
  if (dual) a.y2 = y2, a.w2 = Out(d.w2.data());
  return time(kernels::ConvolveWeights{}, a);
}

template <class T>
void run(const Options& o) {
  const KernelTable table = cpu::make_kernel_table(o.isa);
  const double peak = bench::peak_gflops<T>(o.isa);
  bench::Line()
      .add("isa", o.isa)
      .add("dtype", o.dtype)
      .add("threads", o.threads)
      .add("peak_gflops_per_core", peak)
      .print();
  for (const Layer& layer : kLayers) {
    if (std::string(layer.name).find(o.layer) == std::string::npos) continue;
    const ConvGeometry g = layer.geometry(o.samples);
    Data<T> d(g);
    for (const Pass pass : {forward, data, weights, dual_data, dual_weights, squares}) {
      if (std::string(kPasses[pass]).find(o.only) == std::string::npos) continue;
      const double products = pass == dual_data || pass == dual_weights ? 2 : 1;
      const double flops = products * 2.0 * static_cast<double>(g.n * g.oh * g.ow * g.weights());
      const bench::Timing t = run_pass<T>(table, pass, g, d, o.seconds);
      bench::Line()
          .add("layer", layer.name)
          .add("pass", kPasses[pass])
          .add("threads", o.threads)
          .add(t)
          .add("gflops", flops / t.median * 1e-9, 1)
          .add("percent_of_peak", 100 * flops / t.median * 1e-9 / (peak * o.threads), 1)
          .print();
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string key = argv[i], value = argv[i + 1];
    if (key == "--isa") o.isa = value;
    if (key == "--threads") o.threads = std::stoi(value);
    if (key == "--dtype") o.dtype = value;
    if (key == "--only") o.only = value;
    if (key == "--layer") o.layer = value;
    if (key == "--samples") o.samples = std::stoi(value);
    if (key == "--seconds") o.seconds = std::stod(value);
  }
  cpu::set_num_threads(o.threads);
  o.dtype == "f64" ? run<double>(o) : run<float>(o);
}
