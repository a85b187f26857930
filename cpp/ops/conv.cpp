// Convolution: its products, and the deposit of squared per-sample gradients.
#include "ops/conv.hpp"

#include <utility>

namespace hesscore {
namespace {

// The sums of `g` over samples and positions, taken along by the weight gradient just emitted.
bool ride(Emit& e, In g, Out sum, std::int64_t stride) {
  const auto* last = e.last<kernels::ConvolveWeights>();
  if (!last || !(last->y == g || (last->y2 && last->y2 == g))) return false;
  kernels::ConvolveWeights::Args args = *last;
  (args.y == g ? args.sum : args.sum2) = sum;
  args.stride_sum = stride;
  e.take_back();
  e.call<kernels::ConvolveWeights>(args);
  return true;
}

}  // namespace

// y = P(w, x), in the direction of the layer (forward) or against it.
void Convolution::apply(Emit& e, const Site& s, bool forward, In w, In bias, In from, Out to,
                        Stack k, bool square) const {
  const math::ConvGeometry g = geometry(s, k.first ? 1 : k.reps);
  const std::int64_t batch = k.first ? k.reps : 1, stride = k.first ? k.stride : 0;
  const std::int64_t read = forward ? s.x_size() : s.y_size();
  const std::int64_t written = forward ? s.y_size() : s.x_size();
  const std::int64_t step_from = k.first && k.second ? read : 0, step_to = k.first ? written : 0;
  if (forward == transposed_) {
    e.call<kernels::ConvolveTransposed>(
        {from, w, bias, {}, to, {}, g, square, batch, step_from, stride, stride, step_to});
  } else {
    e.call<kernels::Convolve>(
        {from, w, bias, {}, to, {}, g, square, batch, step_from, stride, stride, step_to});
  }
}

void Convolution::product(Emit& e, const Site& s, In w, In bias, In x, Out y, Stack k) const {
  apply(e, s, true, w, bias, x, y, k, false);
}

void Convolution::product_x(Emit& e, const Site& s, In w, In gy, Out gx, Stack k,
                            bool square) const {
  apply(e, s, false, w, {}, gy, gx, k, square);
}

void Convolution::product_w(Emit& e, const Site& s, In gy, In x, Out gw, Stack k,
                            bool square) const {
  kernels::ConvolveWeights::Args a{.y = gy, .x = x, .w = gw, .g = geometry(s)};
  a.batch = k.reps;
  a.stride_y = k.first ? s.y_size() : 0;
  a.stride_x = k.second ? s.x_size() : 0;
  a.stride_w = k.stride;
  a.square_x = square;
  if (transposed_) {
    std::swap(a.y, a.x);
    std::swap(a.stride_y, a.stride_x);
    std::swap(a.square_y, a.square_x);
  }
  e.call<kernels::ConvolveWeights>(a);
}

void Convolution::bias_sum(Emit& e, const Site& s, In gy, Out gb, Stack k) const {
  if (!transposed_ && ride(e, gy, gb, k.stride)) return;
  kernels::ColumnSum::Args a{gy, gb, s.y_size() / out_, 1, out_};
  a.batch = k.reps;
  a.stride_x = s.y_size();
  a.stride_y = k.stride;
  e.call<kernels::ColumnSum>(a);
}

void Convolution::dual_x(Emit& e, const Site& s, In gy, In hy, Out gx, Out hx) const {
  if (transposed_) {
    e.call<kernels::Convolve>({gy, s.w[0], {}, hy, gx, hx, geometry(s)});
  } else {
    e.call<kernels::ConvolveTransposed>({gy, s.w[0], {}, hy, gx, hx, geometry(s)});
  }
}

void Convolution::dual_w(Emit& e, const Site& s, In gy, In hy, Out gw, Out hw) const {
  if (transposed_) {
    product_w(e, s, gy, s.x[0], gw, {}, false);
    product_w(e, s, hy, s.x[0], hw, {}, true);
    return;
  }
  e.call<kernels::ConvolveWeights>(
      {.y = gy, .x = s.x[0], .y2 = hy, .w = gw, .w2 = hw, .g = geometry(s)});
}

std::vector<Op::ParameterColumns> Convolution::parameter_columns(Emit&, const Site& s) const {
  std::vector<ParameterColumns> all{{{geometry(s), transposed_}, s.x[0]}};
  if (o_.bias) all.push_back(bias_columns(s.y_size() / out_, out_));
  return all;
}

void Convolution::deposit_squares(Emit& e, const Uses& uses, std::int64_t reps, double scale,
                                  const std::vector<Out>& to) const {
  if (uses.size() > 1) return Op::deposit_squares(e, uses, reps, scale, to);
  const Site& s = *uses[0].site;
  kernels::ConvolveSquares::Args a{uses[0].gy, s.x[0], to[0], geometry(s), reps};
  a.scale = scale;
  if (transposed_) {
    std::swap(a.y, a.x);
    std::swap(a.reps_y, a.reps_x);
  }
  e.call<kernels::ConvolveSquares>(a);
  if (o_.bias) {
    const std::int64_t positions = element_count(s.y_shape) / out_;
    e.call<kernels::ColumnSum>({uses[0].gy, to[1], reps * s.batch, positions, out_, true, scale});
  }
}

}  // namespace hesscore
