// The convolution kernels, on a CPU against the processor's measured peak:
//   bench_conv [--isa NAME] [--threads N] [--dtype f32|f64] [--only PASS] [--layer NAME]
//              [--samples N] [--seconds S] [--device cpu|cuda]
// One JSON object per line; bench/conv_torch.py gives PyTorch's times of the same layers. FLOPs
// count the zeros of the padding as work. On a CUDA device float32 is timed with products of
// float32 and of TF32, in bundles of launches.
#include <random>

#include "backend/kernels.hpp"
#include "bench.hpp"
#include "cpu/kernels_for.hpp"
#include "cpu/parallel.hpp"
#include "hesscore/hesscore.hpp"
#include "peak.hpp"

namespace {

using namespace hesscore;
using math::ConvGeometry;

struct Options {
  std::string isa{cpu::supported_isas().front()}, dtype = "f32", only, layer, device = "cpu";
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

// Where kernels run, and how many calls are waited for at once.
struct Place {
  Device& device;
  KernelTable table;
  DType dtype;
  int bundle;
};

struct Data {
  Vector x, x2, y, y2, w, w2, bias;
  Data(const Place& p, const ConvGeometry& g)
      : x(p.device, p.dtype, g.n * g.x_image()),
        x2(p.device, p.dtype, x.size()),
        y(p.device, p.dtype, g.n * g.y_image()),
        y2(p.device, p.dtype, y.size()),
        w(p.device, p.dtype, g.weights()),
        w2(p.device, p.dtype, w.size()),
        bias(p.device, p.dtype, g.o) {
    std::mt19937 bits(7);
    for (Vector* v : {&x, &x2, &y, &y2, &w, &w2, &bias}) {
      std::vector<double> values(static_cast<std::size_t>(v->size()));
      for (double& e : values) e = bits() * 0x1p-32 - 0.5;
      v->from_host(values);
    }
  }
};

bench::Timing run_pass(const Place& p, Pass pass, const ConvGeometry& g, Data& d, double seconds) {
  const In x(d.x.data()), y(d.y.data()), y2(d.y2.data()), w(d.w.data()), bias(d.bias.data());
  const auto time = [&](auto key, const auto& args) {
    const auto kernel = p.table.get<decltype(key)>(p.dtype);
    bench::Timing t = bench::measure(
        [&] {
          for (int i = 0; i < p.bundle; ++i) kernel(p.device.stream(), args);
          p.device.synchronize();
        },
        seconds);
    t.median /= p.bundle;
    t.best /= p.bundle;
    return t;
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

// Every layer and pass. `about` fills in where; `peak`: of it all, in GFLOP/s, if it is known.
template <class F>
void run(const Options& o, const Place& place, F about, double peak) {
  for (const Layer& layer : kLayers) {
    if (std::string(layer.name).find(o.layer) == std::string::npos) continue;
    const ConvGeometry g = layer.geometry(o.samples);
    Data d(place, g);
    for (const Pass pass : {forward, data, weights, dual_data, dual_weights, squares}) {
      if (std::string(kPasses[pass]).find(o.only) == std::string::npos) continue;
      const double products = pass == dual_data || pass == dual_weights ? 2 : 1;
      const double flops = products * 2.0 * static_cast<double>(g.n * g.oh * g.ow * g.weights());
      const bench::Timing t = run_pass(place, pass, g, d, o.seconds);
      bench::Line line;
      line.add("layer", layer.name).add("pass", kPasses[pass]);
      about(line);
      line.add(t).add("gflops", flops / t.median * 1e-9, 1);
      if (peak > 0) line.add("percent_of_peak", 100 * flops / t.median * 1e-9 / peak, 1);
      line.print();
    }
  }
}

void run_cpu(const Options& o) {
  cpu::set_num_threads(o.threads);
  const bool f64 = o.dtype == "f64";
  const double peak = f64 ? bench::peak_gflops<double>(o.isa) : bench::peak_gflops<float>(o.isa);
  bench::Line()
      .add("isa", o.isa)
      .add("dtype", o.dtype)
      .add("threads", o.threads)
      .add("peak_gflops_per_core", peak)
      .print();
  const DType dtype = f64 ? DType::f64 : DType::f32;
  const Place place{device("cpu"), cpu::make_kernel_table(o.isa), dtype, 1};
  run(o, place, [&](bench::Line& line) { line.add("threads", o.threads); }, peak * o.threads);
}

void run_cuda(const Options& o) {
  Device& cuda = device(o.device);
  const bool f64 = o.dtype == "f64";
  for (const Precision precision : {Precision::fp32, Precision::tf32}) {
    const std::string name = f64 ? "fp64" : precision == Precision::tf32 ? "tf32" : "fp32";
    const Place place{cuda, cuda.kernels(precision), f64 ? DType::f64 : DType::f32,
                      o.seconds > 0 ? 10 : 1};
    const auto about = [&](bench::Line& l) { l.add("side", "hesscore").add("precision", name); };
    run(o, place, about, 0);
    if (f64) return;
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  bench::read_options(argc, argv,
                      {{"--isa", &o.isa},
                       {"--threads", &o.threads},
                       {"--dtype", &o.dtype},
                       {"--only", &o.only},
                       {"--layer", &o.layer},
                       {"--samples", &o.samples},
                       {"--device", &o.device},
                       {"--seconds", &o.seconds}});
  o.device == "cpu" ? run_cpu(o) : run_cuda(o);
}
