// The convolution keys: each call becomes a problem for the tiles, or for the kernels of depthwise
// convolutions.
#include "conv/geometry.hpp"
#include "conv/reorder.cuh"
#include "product/policy.cuh"
#include "register.hpp"

namespace hesscore::cuda {

namespace {

// The images of a call, whichever of x and y they are.
struct ImageCall {
  const In &from, &from2;
  const Out &to, &to2;
  std::int64_t stride_from, stride_to;
  bool of_x;
};

template <class Policy, class T, class Args>
void images(void* stream, const Args& a, const ImageCall& call) {
  const Context& ctx = context_of(stream);
  const math::ConvGeometry& g = a.g;
  const std::int64_t size_from = g.n * (call.of_x ? g.y_image() : g.x_image());
  const std::int64_t size_to = g.n * (call.of_x ? g.x_image() : g.y_image());
  const bool one = stacked(a.batch, call.stride_from, size_from, call.stride_to, size_to,
                           a.stride_w, a.stride_bias);
  const std::int64_t batch = one ? 1 : a.batch;
  if (batch * size_to == 0) return;
  ConvProblem<T> p;
  set_geometry(p, g, one ? a.batch * g.n : g.n);
  set_images(p, g, batch, call.of_x);
  p.a = call.from.template as<T>();
  p.a2 = call.from2.template as<T>();
  p.b = a.w.template as<T>();
  p.bias = a.bias.template as<T>();
  p.stride_a = call.stride_from;
  p.stride_b = a.stride_w;
  p.stride_bias = a.stride_bias;
  p.stride_c = call.stride_to;
  p.square_b = a.square_w;
  p.c = Sink<T>(ctx, call.to);
  p.c2 = Sink<T>(ctx, call.to2);
  p.then = Then<T>(ctx, a.then);
  const std::int64_t alike = p.stride_a | std::int64_t{p.channels.by};
  p.wide_a = may_copy_wide<T>(p.a, p.lead_a, alike) && may_copy_wide<T>(p.a2, 0, 0);
  if (is_depthwise(g)) {
    p.batch = extent(batch);
    p.m = extent(call.of_x ? p.images * g.h * g.w : p.images * g.oh * g.ow);
    p.y_down = math::Divider(call.of_x ? p.down.x : p.down.y);
    p.y_across = math::Divider(call.of_x ? p.across.x : p.across.y);
    set_depthwise_weights(ctx, p, g, batch);
    return run_depthwise_images(ctx, p);
  }
  set_weights(ctx, p, g, batch);
  run_images<Policy>(ctx, p, static_cast<bool>(call.to2));
}

template <class Policy>
void convolve(void* stream, const kernels::Convolve::Args& a) {
  using T = typename Policy::Number;
  images<Policy, T>(stream, a, {a.x, a.x2, a.y, a.y2, a.stride_x, a.stride_y, false});
}

template <class Policy>
void convolve_transposed(void* stream, const kernels::ConvolveTransposed::Args& a) {
  using T = typename Policy::Number;
  images<Policy, T>(stream, a, {a.y, a.y2, a.x, a.x2, a.stride_y, a.stride_x, true});
}

template <class Policy>
void convolve_weights(void* stream, const kernels::ConvolveWeights::Args& a) {
  using T = typename Policy::Number;
  const Context& ctx = context_of(stream);
  const math::ConvGeometry& g = a.g;
  if (g.weights() * a.batch == 0) return;
  ConvProblem<T> p = weight_problem<T>(g, a.y, a.y2, a.x, a.batch, a.stride_y, a.stride_x);
  p.steps = extent(g.n * g.oh * g.ow);
  p.length = p.steps_a = p.steps_b = p.steps > 0 ? p.steps : 1;
  p.square_a = a.square_y;
  p.square_b = a.square_x;
  p.stride_c = a.stride_w;
  p.stride_sum = a.stride_sum;
  p.c = Sink<T>(ctx, a.w);
  p.c2 = Sink<T>(ctx, a.w2);
  p.sum = Sink<T>(ctx, a.sum);
  p.sum2 = Sink<T>(ctx, a.sum2);
  if (is_depthwise(g)) {
    p.batch = extent(a.batch);
    return run_depthwise_weights(ctx, p, false);
  }
  run_weights<Policy>(ctx, p, static_cast<bool>(a.w2));
}

template <class Policy>
void convolve_squares(void* stream, const kernels::ConvolveSquares::Args& a) {
  using T = typename Policy::Number;
  const Context& ctx = context_of(stream);
  const math::ConvGeometry& g = a.g;
  if (g.weights() == 0) return;
  ConvProblem<T> p = weight_problem<T>(g, a.y, {}, a.x, 1, 0, 0);
  const std::int64_t positions = g.oh * g.ow, samples = a.reps * g.n * positions;
  extent(a.reps * (g.n * g.h + g.h) * g.w);
  p.steps = extent(samples);
  p.length = extent(positions);
  const auto own = [&](bool reps) { return extent(reps ? samples : g.n * positions); };
  p.steps_a = own(a.reps_y) > 0 ? own(a.reps_y) : 1;
  p.steps_b = own(a.reps_x) > 0 ? own(a.reps_x) : 1;
  p.scale = static_cast<T>(a.scale);
  p.c = Sink<T>(ctx, a.w);
  if (is_depthwise(g)) {
    p.batch = 1;
    return run_depthwise_weights(ctx, p, true);
  }
  run_squares<Policy>(ctx, p);
}

template <class Policy>
void add_convolutions(KernelTable& table) {
  constexpr DType dtype = kDType<typename Policy::Number>;
  table.add<kernels::Convolve>(dtype, &convolve<Policy>);
  table.add<kernels::ConvolveTransposed>(dtype, &convolve_transposed<Policy>);
  table.add<kernels::ConvolveWeights>(dtype, &convolve_weights<Policy>);
  table.add<kernels::ConvolveSquares>(dtype, &convolve_squares<Policy>);
}

}  // namespace

void register_convolutions(KernelTable& table, Precision precision) {
  add_convolutions<Simt<double>>(table);
  if (precision == Precision::tf32) {
    add_convolutions<Tf32>(table);
  } else {
    add_convolutions<Tf32x3>(table);
  }
}

}  // namespace hesscore::cuda
