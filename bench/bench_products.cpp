// The product kernels against the processor's measured peak and against OpenBLAS:
//   bench_products [--isa NAME] [--threads N] [--dtype f32|f64] [--only OP] [--samples N]
//                  [--seconds S] [--openblas libscipy_openblas.so]
// One JSON object per line. `floor_us` is the larger of the FLOPs at peak and the bytes (every
// operand once) at the measured read bandwidth; `times_floor` is the median over it.
#include <dlfcn.h>

#include <cstdint>
#include <cstring>
#include <random>

#include "backend/kernels.hpp"
#include "bench.hpp"
#include "cpu/kernels_for.hpp"
#include "cpu/parallel.hpp"
#include "peak.hpp"

namespace {

using namespace hesscore;

struct Options {
  std::string isa{cpu::supported_isas().front()}, dtype = "f32", only, openblas;
  int threads = 1, samples = 0;
  double seconds = 0.2;
};

// ---- the processor's limits -------------------------------------------------------------------

double read_gbytes() {
  typedef std::uint64_t V __attribute__((vector_size(16)));
  const std::vector<V> data(1 << 19, V{} + 3);
  volatile std::uint64_t sink = 0;
  const bench::Timing t = bench::measure([&] {
    V w{}, x{}, y{}, z{};
    for (std::size_t i = 0; i < data.size(); i += 4) {
      w += data[i], x += data[i + 1], y += data[i + 2], z += data[i + 3];
    }
    sink = sink + (w + x + y + z)[0];
  });
  return data.size() * sizeof(V) * 1e-9 / t.best;
}

// ---- OpenBLAS ---------------------------------------------------------------------------------

template <class T>
using Gemm = void (*)(int, int, int, int, int, int, T, const T*, int, const T*, int, T, T*, int);

template <class T>
Gemm<T> find_gemm(const Options& o) {
  if (o.openblas.empty()) return nullptr;
  void* library = dlopen(o.openblas.c_str(), RTLD_NOW);
  if (library == nullptr) {
    std::fprintf(stderr, "%s\n", dlerror());
    return nullptr;
  }
  const auto set_threads =
      reinterpret_cast<void (*)(int)>(dlsym(library, "scipy_openblas_set_num_threads"));
  if (set_threads) set_threads(o.threads);
  return reinterpret_cast<Gemm<T>>(
      dlsym(library, sizeof(T) == 4 ? "scipy_cblas_sgemm" : "scipy_cblas_dgemm"));
}

// ---- the cases --------------------------------------------------------------------------------

enum class Op { forward, backward, weights, dual_backward, dual_weights, squares, grouped };
constexpr const char* kNames[] = {"NT forward", "NN backward", "TN weights",     "dual NN",
                                  "dual TN",    "squares TN",  "grouped squares"};

struct Case {
  Op op;
  std::int64_t samples, in, out, batch = 1, positions = 1;
  bool shared_a = false;  // batch: the operands with stride 0

  std::int64_t m() const { return op == Op::forward || is_backward() ? samples : out; }
  std::int64_t n() const { return op == Op::forward ? out : in; }
  std::int64_t k() const {
    return op == Op::forward ? in : is_backward() ? out : samples * positions;
  }
  bool is_backward() const { return op == Op::backward || op == Op::dual_backward; }
  bool is_dual() const { return op == Op::dual_backward || op == Op::dual_weights; }
  double products() const { return static_cast<double>(batch) * (is_dual() ? 2 : 1); }
  double flops() const { return 2.0 * m() * n() * k() * products(); }
  double numbers() const {
    const double items = static_cast<double>(batch), a = m() * k(), b = k() * n(), c = m() * n();
    if (is_dual()) return 2 * a + b + 2 * c;
    return shared_a ? a + items * (b + c) : b + items * (a + c);
  }
};

std::vector<Case> cases() {
  std::vector<Case> all;
  const std::int64_t layers[][2] = {{784, 512}, {512, 256}, {256, 10}, {784, 128}, {128, 10}};
  for (std::int64_t samples : {128, 32, 512, 2048}) {
    for (const auto& l : layers) {
      for (Op op : {Op::forward, Op::backward, Op::weights, Op::dual_backward, Op::dual_weights,
                    Op::squares}) {
        all.push_back({op, samples, l[0], l[1]});
      }
    }
  }
  for (std::int64_t tangents : {1, 4, 16}) {
    for (const auto& l : layers) {
      for (Op op : {Op::forward, Op::backward, Op::weights}) {
        all.push_back({op, 128, l[0], l[1], tangents});
      }
      all.push_back({Op::forward, 128, l[0], l[1], tangents, 1, true});
    }
  }
  all.push_back({Op::grouped, 32, 72, 16, 1, 196});
  all.push_back({Op::grouped, 32, 288, 64, 1, 49});
  all.push_back({Op::grouped, 128, 64, 64, 1, 4});
  return all;
}

template <class T>
struct Data {
  std::vector<T> a, a2, b, bias, c, c2;
  explicit Data(const Case& c_) {
    std::mt19937 bits(7);
    const auto fill = [&](std::vector<T>& x, std::int64_t n) {
      x.resize(static_cast<std::size_t>(n));
      for (T& v : x) v = static_cast<T>(bits() * 0x1p-32 - 0.5);
    };
    fill(a, c_.batch * c_.m() * c_.k());
    fill(a2, c_.m() * c_.k());
    fill(b, c_.batch * c_.k() * c_.n());
    fill(bias, c_.n());
    fill(c, c_.batch * c_.m() * c_.n());
    fill(c2, c_.m() * c_.n());
  }
};

template <class T>
bench::Timing run_kernel(const KernelTable& table, DType dtype, const Case& c, Data<T>& d,
                         double seconds) {
  if (c.is_dual()) {
    const kernels::DualProduct::Args p{
        In(d.a.data()), In(d.a2.data()), In(d.b.data()), Out(d.c.data()),         Out(d.c2.data()),
        c.m(),          c.n(),           c.k(),          c.op == Op::dual_weights};
    const auto kernel = table.get<kernels::DualProduct>(dtype);
    return bench::measure([&] { kernel(nullptr, p); }, seconds);
  }
  if (c.op == Op::squares || c.op == Op::grouped) {
    const kernels::GroupedSquare::Args p{In(d.a.data()), In(d.b.data()), Out(d.c.data()), c.samples,
                                         c.samples,      c.positions,    c.m(),           c.n()};
    const auto kernel = table.get<kernels::GroupedSquare>(dtype);
    return bench::measure([&] { kernel(nullptr, p); }, seconds);
  }
  kernels::Product::Args p{In(d.a.data()), In(d.b.data()), In(), Out(d.c.data()),
                           c.m(),          c.n(),          c.k()};
  if (c.op == Op::forward) p.bias = In(d.bias.data());
  p.trans_a = c.op == Op::weights;
  p.trans_b = c.op == Op::forward;
  p.batch = c.batch;
  p.stride_a = c.shared_a ? 0 : c.m() * c.k();
  p.stride_b = c.shared_a ? c.k() * c.n() : 0;
  p.stride_c = c.m() * c.n();
  const auto kernel = table.get<kernels::Product>(dtype);
  return bench::measure([&] { kernel(nullptr, p); }, seconds);
}

// The same FLOPs by calls of a GEMM, without the squares and the bias.
template <class T>
bench::Timing run_gemm(Gemm<T> gemm, const Case& c, Data<T>& d, double seconds) {
  const bool ta = c.op == Op::weights || c.op == Op::dual_weights || c.op == Op::squares;
  const bool tb = c.op == Op::forward;
  const int m = static_cast<int>(c.m()), n = static_cast<int>(c.n()), k = static_cast<int>(c.k());
  return bench::measure(
      [&] {
        for (int i = 0; i < c.products(); ++i) {
          const T* a = d.a.data() + (c.is_dual() || c.shared_a ? 0 : i * c.m() * c.k());
          const T* b = d.b.data() + (c.shared_a ? i * c.k() * c.n() : 0);
          gemm(101, ta ? 112 : 111, tb ? 112 : 111, m, n, k, 1, a, ta ? m : k, b, tb ? k : n, 0,
               d.c.data() + (c.is_dual() ? 0 : i * c.m() * c.n()), n);
        }
      },
      seconds);
}

template <class T>
void run(const Options& o) {
  const DType dtype = sizeof(T) == 4 ? DType::f32 : DType::f64;
  const KernelTable table = cpu::make_kernel_table(o.isa);
  const Gemm<T> gemm = find_gemm<T>(o);
  const double peak = bench::peak_gflops<T>(o.isa), read = read_gbytes();
  bench::Line()
      .add("isa", o.isa)
      .add("dtype", o.dtype)
      .add("peak_gflops_per_core", peak)
      .add("read_gbytes_per_second", read)
      .print();
  double single = 0;
  for (const Case& c : cases()) {
    const std::string name = kNames[static_cast<int>(c.op)];
    if (name.find(o.only) == std::string::npos) continue;
    if (o.samples != 0 && c.samples != o.samples) continue;
    Data<T> d(c);
    const bench::Timing t = run_kernel<T>(table, dtype, c, d, o.seconds);
    const double limit = peak * o.threads;
    const double floor =
        std::max(c.flops() / limit * 1e-3, c.numbers() * sizeof(T) / (read * o.threads) * 1e-3);
    bench::Line line;
    line.add("op", name).add("m", c.m()).add("n", c.n()).add("k", c.k()).add("batch", c.batch);
    line.add("isa", o.isa).add("dtype", o.dtype).add("threads", o.threads).add(t);
    line.add("gflops", c.flops() / t.median * 1e-9, 1);
    line.add("percent_of_peak", 100 * c.flops() / t.median * 1e-9 / limit, 1);
    line.add("best_percent", 100 * c.flops() / t.best * 1e-9 / limit, 1);
    line.add("floor_us", floor).add("times_floor", t.median * 1e6 / floor);
    if (!c.is_dual()) single = t.median;
    if (c.is_dual()) {
      Case one = c;
      one.op = c.op == Op::dual_backward ? Op::backward : Op::weights;
      single = run_kernel<T>(table, dtype, one, d, o.seconds).median;
      line.add("dual_over_single", t.median / single);
    }
    if (gemm && c.op != Op::grouped) {
      const bench::Timing g = run_gemm<T>(gemm, c, d, o.seconds);
      line.add("openblas_us", g.median * 1e6).add("speedup", g.median / t.median);
    }
    line.print();
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
                       {"--samples", &o.samples},
                       {"--seconds", &o.seconds},
                       {"--openblas", &o.openblas}});
  cpu::set_num_threads(o.threads);
  o.dtype == "f64" ? run<double>(o) : run<float>(o);
}
