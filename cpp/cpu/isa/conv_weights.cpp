// Gradients of a convolution's weights, and squares of those of single samples: products of output
// adjoints and patches, summed over slices of the batch and brought into the weights' order.
#include "cpu/isa/column_sum.hpp"
#include "cpu/isa/conv_channels.hpp"
#include "cpu/isa/conv_patches.hpp"
#include "cpu/isa/conv_planes.hpp"
#include "cpu/isa/products.hpp"
#include "cpu/isa/winograd_weights.hpp"

namespace hesscore::cpu::HC_ISA {
namespace {

constexpr std::int64_t kPartials = 1 << 20;  // numbers of partial sums
constexpr std::int64_t kTasks = 16;          // that are worth cutting the batch for
enum Buffer { partial_buffer = 5 };

// Memory for partial sums; none in a rehearsal.
template <class T>
T* partial_sums(std::int64_t numbers) {
  const std::int64_t bytes = numbers * std::int64_t{sizeof(T)};
  Workspace* const needed = rehearsal();
  if (needed == nullptr) return static_cast<T*>(scratch(partial_buffer, bytes));
  needed->add(needed->own[partial_buffer], bytes);
  return nullptr;
}

// The smallest number of slices of n images that makes tasks enough, or 1.
std::int64_t slices_of(std::int64_t n, std::int64_t tasks, std::int64_t numbers) {
  for (std::int64_t d = 1; d <= n; ++d) {
    if (n % d == 0 && d * tasks >= kTasks) return d * numbers <= kPartials ? d : 1;
  }
  return n * numbers <= kPartials ? n : 1;
}

// A product of some group's output adjoints and patches, for items of a batch.
template <class T>
struct Weights {
  const math::ConvGeometry& g;
  Window win;
  bool square_y, square_x;
  std::int64_t batch, stride_y, stride_x, stride_w;
  // squares of single samples: see ConvolveSquares
  bool squares = false;
  std::int64_t reps = 1, rep_y = 0;
  T scale = 1;

  std::int64_t pixels() const { return g.oh * g.ow; }
  std::int64_t columns() const { return g.group_c() * g.taps(); }
  std::int64_t numbers() const { return g.group_o() * columns(); }

  bool minimal() const { return !squares && winograd::suits<T>(win); }

  std::int64_t slices() const {
    if (minimal()) return batch > 1 ? 1 : slices_of(g.n, WinogradWeights<T>::tasks(win), numbers());
    const std::int64_t vectors = (columns() + kLanes<T> - 1) / kLanes<T>;
    const std::int64_t work = g.n * pixels() * g.group_o() * vectors * reps;
    if (batch > 1 || work < kSerialWork) return 1;
    const Cut panels(vectors, kTileVectors), tiles(g.group_o(), kTileRows);
    return slices_of(g.n, panels.parts * ((tiles.parts + 2) / 3), numbers());
  }

  // A batch is cut up so that partial sums stay in the caches.
  void run(const T* y, const T* x, Out w, const T* y2, Out w2) const {
    const std::int64_t most = at_least(kPartials / numbers(), 1);
    for (std::int64_t b = 0; b < batch; b += most) {
      Weights some = *this;
      some.batch = at_most(most, batch - b);
      Out to = w;
      to.ptr = w.as<T>() + b * stride_w;
      some.run_groups(y + b * stride_y, x + b * stride_x, to, y2, w2);
    }
  }

  void run_groups(const T* y, const T* x, Out w, const T* y2, Out w2) const {
    for (std::int64_t group = 0; group < g.groups; ++group) {
      const std::int64_t at = group * numbers();
      Out first = w, second = w2;
      first.ptr = w.as<T>() + at;
      if (w2) second.ptr = w2.as<T>() + at;
      run_group(y + group * g.group_o(), x + group * g.group_c(), first,
                y2 ? y2 + group * g.group_o() : nullptr, second);
    }
  }

  void run_group(const T* y, const T* x, Out w, const T* y2, Out w2) const {
    const std::int64_t parts = slices(), images = g.n / parts, items = batch * parts;
    Window slice = win;
    slice.n = images;
    if (minimal()) return run_minimal(slice, parts, y, x, w, y2, w2);
    const Patches<T> patches(slice, x, parts > 1 ? images * g.x_image() : stride_x);
    T* sums = partial_sums<T>(items * numbers() * (y2 ? 2 : 1));
    Problem<T> p;
    p.s = y;
    p.s2 = y2;
    p.s_layout = Layout::along_rows;
    p.s_stride = g.o;
    p.square_s = square_y;
    p.panels = patches.panels();
    p.square_v = square_x;
    p.c = sums;
    p.c2 = y2 && sums ? sums + items * numbers() : nullptr;
    p.c_stride = columns();
    p.rows = g.group_o();
    p.columns = columns();
    p.k = images * pixels();
    p.batch = items;
    p.s_batch = parts > 1 ? images * g.y_image() : stride_y;
    p.v_batch = parts > 1 ? 1 : stride_x;
    p.c_batch = numbers();
    if (squares) {
      p.square_s = p.square_v = pixels() == 1;
      p.positions = pixels() == 1 ? 0 : pixels();
      p.reps = reps;
      p.s_rep = rep_y;
      p.scale = scale;
    }
    Blocks<T>(p).run();
    if (rehearsal() != nullptr) return;
    reorder_all(p.c, parts, w);
    if (y2) reorder_all(p.c2, parts, w2);
  }

  void run_minimal(const Window& slice, std::int64_t parts, const T* y, const T* x, Out w,
                   const T* y2, Out w2) const {
    const std::int64_t items = batch * parts, step_y = parts > 1 ? slice.n * g.y_image() : stride_y,
                       step_x = parts > 1 ? slice.n * g.x_image() : stride_x;
    T* sums = partial_sums<T>(items * numbers());
    WinogradWeights<T>(slice, square_y, square_x).run(items, y, step_y, x, step_x, sums);
    if (rehearsal() != nullptr) return;
    reorder_all(sums, parts, w);
    if (!y2) return;
    WinogradWeights<T>(slice, false, true).run(items, y2, step_y, x, step_x, sums);
    reorder_all(sums, parts, w2);
  }

  void reorder_all(const T* sums, std::int64_t parts, Out w) const {
    const std::int64_t rows = batch * g.group_o(), k = columns();
    for_each_task(rows, rows * k * parts < 4 * kGrain, [&](std::int64_t i) {
      const std::int64_t b = i / g.group_o(), o = i % g.group_o();
      reorder(sums + b * parts * numbers() + o * k, parts, numbers(), g.group_c(), g.taps(),
              w.accumulate, w.as<T>() + b * stride_w + o * k);
    });
  }
};

// Samples of a pass without patches: sample s reads y and x of sample s mod samples_y and
// samples_x.
template <class T>
struct Samples {
  std::int64_t count, count_y, count_x;
  const T *y, *x;
};

// A kernel's sums over samples, by slices.
template <class T, class Kernel>
void run_samples(const Kernel& kernel, const math::ConvGeometry& g, const Samples<T>& a,
                 std::int64_t least, const Out& w) {
  const std::int64_t numbers = kernel.numbers();
  const Cut slices(a.count, at_least(least, (a.count + kTasks - 1) / kTasks));
  T* sums = partial_sums<T>(slices.parts * numbers);
  if (Workspace* needed = rehearsal()) return kernel.note(*needed);
  parallel_for(slices.parts, [&](std::int64_t i) {
    T* mine = sums + i * numbers;
    std::memset(mine, 0, static_cast<std::size_t>(numbers) * sizeof(T));
    for (std::int64_t s = slices.begin(i); s < slices.begin(i) + slices.length(i); ++s) {
      kernel.add(a.y + s % a.count_y * g.y_image(), a.x + s % a.count_x * g.x_image(), mine);
    }
  });
  kernel.finish(sums, slices.parts, w);
}

bool without_patches(const Window& win, int lanes) {
  return win.by_channel() || is_planar(win, lanes);
}

template <class T>
void run_samples(const Weights<T>& p, const Samples<T>& a, const Out& w, bool square_x) {
  if (p.win.by_channel()) {
    const ChannelWeights<T> kernel(p.win, p.square_y, square_x, p.squares, p.scale);
    const std::int64_t work = at_least(p.pixels() * kernel.numbers() / kLanes<T>, 1);
    return run_samples(kernel, p.g, a, 4 * kSerialWork / work + 1, w);
  }
  const PlaneWeights<T> kernel(p.win, p.square_y, square_x, p.squares, p.scale);
  const bool serial = a.count * kernel.work() < kSerialWork;
  run_samples(kernel, p.g, a, serial ? a.count : kTaskWork / kernel.work() + 1, w);
}

// The sums of every item of a batch; a task has one.
template <class T, class Kernel>
void run_items(const Kernel& kernel, const kernels::ConvolveWeights::Args& a) {
  const std::int64_t bytes = kernel.numbers() * std::int64_t{sizeof(T)};
  if (Workspace* needed = rehearsal()) {
    needed->add(needed->each[partial_buffer], bytes);
    return kernel.note(*needed);
  }
  parallel_for(a.batch, [&](std::int64_t b) {
    T* sums = static_cast<T*>(scratch(partial_buffer, bytes));
    std::memset(sums, 0, static_cast<std::size_t>(bytes));
    const T *y = a.y.as<T>() + b * a.stride_y, *x = a.x.as<T>() + b * a.stride_x;
    for (std::int64_t n = 0; n < a.g.n; ++n) {
      kernel.add(y + n * a.g.y_image(), x + n * a.g.x_image(), sums);
    }
    Out w = a.w;
    w.ptr = a.w.as<T>() + b * a.stride_w;
    kernel.finish(sums, 1, w);
  });
}

template <class T>
void sum_pixels(const In& y, const Out& sum, const kernels::ConvolveWeights::Args& a) {
  if (!sum) return;
  column_sum<T>(nullptr, {.x = y,
                          .y = sum,
                          .groups = a.g.n * a.g.oh * a.g.ow,
                          .positions = 1,
                          .columns = a.g.o,
                          .batch = a.batch,
                          .stride_x = a.stride_y,
                          .stride_y = a.stride_sum});
}

template <class T>
void convolve_weights(void*, const kernels::ConvolveWeights::Args& a) {
  sum_pixels<T>(a.y, a.sum, a);
  sum_pixels<T>(a.y2, a.sum2, a);
  const Weights<T> weights{a.g,     window_of(a.g), a.square_y, a.square_x,
                           a.batch, a.stride_y,     a.stride_x, a.stride_w};
  if (!without_patches(weights.win, kLanes<T>)) {
    return weights.run(a.y.as<T>(), a.x.as<T>(), a.w, a.y2.as<T>(), a.w2);
  }
  const std::int64_t n = a.g.n;
  if (a.batch > 1 && (n == 1 || a.batch >= kTasks)) {
    if (weights.win.by_channel()) {
      const ChannelWeights<T> kernel(weights.win, a.square_y, a.square_x, false, T(1));
      return run_items<T>(kernel, a);
    }
    return run_items<T>(PlaneWeights<T>(weights.win, a.square_y, a.square_x, false, T(1)), a);
  }
  for (std::int64_t b = 0; b < a.batch; ++b) {
    const T *y = a.y.as<T>() + b * a.stride_y, *x = a.x.as<T>() + b * a.stride_x;
    Out w = a.w;
    w.ptr = a.w.as<T>() + b * a.stride_w;
    run_samples<T>(weights, {n, n, n, y, x}, w, a.square_x);
  }
  if (a.y2) run_samples<T>(weights, {n, n, n, a.y2.as<T>(), a.x.as<T>()}, a.w2, true);
}

template <class T>
void convolve_squares(void*, const kernels::ConvolveSquares::Args& a) {
  math::ConvGeometry g = a.g;
  const std::int64_t x = g.n * g.x_image(), y = g.n * g.y_image();
  if (a.reps_y && a.reps_x) g.n *= a.reps;
  Weights<T> weights{g, window_of(g), false, false, 1, 0, 0, 0, true};
  weights.scale = static_cast<T>(a.scale);
  if (without_patches(weights.win, kLanes<T>)) {
    const std::int64_t all = a.reps * a.g.n;
    return run_samples<T>(
        weights, {all, a.reps_y ? all : a.g.n, a.reps_x ? all : a.g.n, a.y.as<T>(), a.x.as<T>()},
        a.w, false);
  }
  if (a.reps_y == a.reps_x) {
    if (!a.reps_y) weights.scale *= static_cast<T>(a.reps);
    return weights.run(a.y.as<T>(), a.x.as<T>(), a.w, nullptr, {});
  }
  if (a.reps_y) {
    weights.reps = a.reps;
    weights.rep_y = y;
    return weights.run(a.y.as<T>(), a.x.as<T>(), a.w, nullptr, {});
  }
  for (std::int64_t r = 0; r < a.reps; ++r) {
    weights.run(a.y.as<T>(), a.x.as<T>() + r * x, r > 0 ? a.w.adding() : a.w, nullptr, {});
  }
}

}  // namespace

void register_conv_weights(KernelTable& table) {
  HC_ADD_REHEARSED(table, ConvolveWeights, convolve_weights);
  HC_ADD_REHEARSED(table, ConvolveSquares, convolve_squares);
}

}  // namespace hesscore::cpu::HC_ISA
