// Linear: its products, and the deposit of squared per-sample gradients.
#include "ops/linear.hpp"

namespace hesscore {
namespace {

// The sums of `g` over the samples, taken along by the weight gradient just emitted.
bool ride(Emit& e, In g, Out sum, std::int64_t stride) {
  if (const auto* last = e.last<kernels::Product>(); last && last->trans_a && last->a == g) {
    kernels::Product::Args args = *last;
    args.sum = sum;
    args.stride_sum = stride;
    e.take_back();
    e.call<kernels::Product>(args);
    return true;
  }
  const auto* last = e.last<kernels::DualProduct>();
  if (!last || !last->trans_a || !(last->a1 == g || last->a2 == g)) return false;
  kernels::DualProduct::Args args = *last;
  (args.a1 == g ? args.sum1 : args.sum2) = sum;
  e.take_back();
  e.call<kernels::DualProduct>(args);
  return true;
}

}  // namespace

Linear::Linear(std::int64_t in, std::int64_t out, bool bias) : in_(in), out_(out), bias_(bias) {
  if (in < 1) throw GraphError("in_features", "a positive number", std::to_string(in));
  if (out < 1) throw GraphError("out_features", "a positive number", std::to_string(out));
}

std::string Linear::describe() const {
  return "Linear(" + std::to_string(in_) + ", " + std::to_string(out_) +
         (bias_ ? ")" : ", bias=False)");
}

Shape Linear::output_shape(const std::vector<Shape>& x) const {
  if (x.at(0).empty() || x[0].back() != in_) {
    throw ShapeError("input of " + describe(),
                     "a last axis of " + std::to_string(in_) + " features",
                     "shape " + to_string(x[0]) + " without the batch");
  }
  Shape y = x[0];
  y.back() = out_;
  return y;
}

std::vector<ParameterShape> Linear::parameters() const {
  std::vector<ParameterShape> p{{"weight", {out_, in_}, in_, out_}};
  if (bias_) p.push_back({"bias", {out_}, in_, out_});
  return p;
}

void Linear::product(Emit& e, const Site& s, In w, In bias, In x, Out y, Stack k) const {
  const std::int64_t r = rows(s);
  kernels::Product::Args a{x, w, bias, y, r, out_, in_};
  a.trans_b = true;
  if (k.first) {
    a.batch = k.reps;
    a.stride_a = k.second ? r * in_ : 0;
    a.stride_b = a.stride_bias = k.stride;
    a.stride_c = r * out_;
  } else {
    a.m *= k.reps;
  }
  e.call<kernels::Product>(a);
}

void Linear::product_x(Emit& e, const Site& s, In w, In gy, Out gx, Stack k, bool square) const {
  const std::int64_t r = rows(s);
  kernels::Product::Args a{gy, w, {}, gx, r, in_, out_};
  a.square_b = square;
  if (k.first) {
    a.batch = k.reps;
    a.stride_a = k.second ? r * out_ : 0;
    a.stride_b = k.stride;
    a.stride_c = r * in_;
  } else {
    a.m *= k.reps;
  }
  e.call<kernels::Product>(a);
}

void Linear::product_w(Emit& e, const Site& s, In gy, In x, Out gw, Stack k, bool square) const {
  const std::int64_t r = rows(s);
  kernels::Product::Args a{gy, x, {}, gw, out_, in_, r};
  a.trans_a = true;
  a.square_b = square;
  a.batch = k.reps;
  a.stride_a = k.first ? r * out_ : 0;
  a.stride_b = k.second ? r * in_ : 0;
  a.stride_c = k.stride;
  e.call<kernels::Product>(a);
}

void Linear::bias_sum(Emit& e, const Site& s, In gy, Out gb, Stack k) const {
  if (ride(e, gy, gb, k.stride)) return;
  const std::int64_t r = rows(s);
  kernels::ColumnSum::Args a{gy, gb, r, 1, out_};
  a.batch = k.reps;
  a.stride_x = r * out_;
  a.stride_y = k.stride;
  e.call<kernels::ColumnSum>(a);
}

void Linear::dual_x(Emit& e, const Site& s, In gy, In hy, Out gx, Out hx) const {
  e.call<kernels::DualProduct>({gy, hy, s.w[0], gx, hx, rows(s), in_, out_, false});
}

void Linear::dual_w(Emit& e, const Site& s, In gy, In hy, Out gw, Out hw) const {
  e.call<kernels::DualProduct>({gy, hy, s.x[0], gw, hw, out_, in_, rows(s), true});
}

// As a convolution of single pixels.
std::vector<Op::ParameterColumns> Linear::parameter_columns(Emit&, const Site& s) const {
  ParameterColumns weight{{}, s.x[0]};
  math::ConvGeometry& g = weight.columns.g;
  g.n = rows(s);
  g.h = g.w = g.oh = g.ow = 1;
  g.c = in_;
  g.o = out_;
  std::vector<ParameterColumns> all{weight};
  if (bias_) all.push_back(bias_columns(g.n, out_));
  return all;
}

Op::GramCost Linear::gram_cost(const Site& a, const Site& b) const {
  return {rows(a) * rows(b) * out_, (rows(a) + rows(b)) * in_ * out_};
}

// K = X_a X_b', plus one where there is a bias: the same for every output.
Operand Linear::gram(Emit& e, const Site& a, const Site& b) const {
  const std::int64_t ra = rows(a), rb = rows(b);
  const Operand k = e.temporary(ra * rb);
  In one;
  if (bias_) one = e.constant(std::vector<double>(static_cast<std::size_t>(rb), 1.0));
  kernels::Product::Args p{a.x[0], b.x[0], one, k, ra, rb, in_};
  p.trans_b = true;
  e.call<kernels::Product>(p);
  return k;
}

void Linear::gram_apply(Emit& e, const Site& a, const Site& b, In k, In c, Out u) const {
  e.call<kernels::Product>({k, c, {}, u, rows(a), out_, rows(b)});
}

// What arrived in all uses, the positions of a sample beside each other.
Linear::Together Linear::together(Emit& e, const Uses& uses, std::int64_t reps) const {
  const std::int64_t batch = uses[0].site->batch;
  Together all{uses[0].gy, uses[0].site->x[0], rows(*uses[0].site) / batch};
  if (uses.size() == 1) return all;
  all.positions = 0;
  for (const Use& u : uses) all.positions += rows(*u.site) / batch;
  const std::int64_t row_g = all.positions * out_, row_x = all.positions * in_;
  all.g = e.temporary(reps * batch * row_g);
  all.x = e.temporary(batch * row_x);
  std::int64_t begin = 0;
  for (const Use& u : uses) {
    const std::int64_t t = rows(*u.site) / batch;
    const Operand g = all.g.at(begin * out_), x = all.x.at(begin * in_);
    e.call<kernels::Copy>({u.gy, g, reps * batch, t * out_, t * out_, row_g});
    e.call<kernels::Copy>({u.site->x[0], x, batch, t * in_, t * in_, row_x});
    begin += t;
  }
  return all;
}

// One position: sum_c (g x')^2 = (sum_c g o g)' (x o x). Several positions (time steps, or several
// uses of a shared layer) are contracted before squaring.
void Linear::deposit_squares(Emit& e, const Uses& uses, std::int64_t reps, double scale,
                             const std::vector<Out>& to) const {
  const std::int64_t batch = uses[0].site->batch;
  const auto [g, x, positions] = together(e, uses, reps);
  if (positions == 1) {
    const Operand squares = e.temporary(batch * out_);
    e.call<kernels::SquareSum>({g, squares, batch * out_, reps, scale});
    kernels::Product::Args a{squares, x, {}, to[0], out_, in_, batch};
    a.trans_a = a.square_b = true;
    e.call<kernels::Product>(a);
    if (bias_) ride(e, squares, to[1], 0);
    return;
  }
  e.call<kernels::GroupedSquare>({g, x, to[0], reps * batch, batch, positions, out_, in_, scale});
  if (bias_) {
    e.call<kernels::ColumnSum>({g, to[1], reps * batch, positions, out_, true, scale});
  }
}

// One position: a sample's gradient is g x', and that of a bias g, so that its norm is
// |g| sqrt(|x|^2 + 1); both sums read x once. Several positions are formed: Gram matrices of
// positions would tell the norm, but lose half of its digits where what they contribute cancels.
void Linear::deposit_moments(Emit& e, const Uses& uses, const MomentPorts& to) const {
  const Site& s = *uses[0].site;
  const In g = uses[0].gy;
  const std::int64_t batch = s.batch;
  if (uses.size() > 1 || rows(s) > batch) return Op::deposit_moments(e, uses, to);
  if (to.norms) {
    const Operand of_g = e.temporary(batch), of_x = e.temporary(batch);
    if (bias_) e.call<kernels::Fill>({of_x, batch, 1});
    row_dots(e, g, g, batch, out_, of_g);
    row_dots(e, s.x[0], s.x[0], batch, in_, Out(of_x, bias_));
    e.call<kernels::Multiply>({of_g, of_x, to.norms, batch});
  }
  if (to.sum.empty()) return;
  const Operand squares = e.temporary(batch * out_);
  e.call<kernels::SquareSum>({g, squares, batch * out_, 1, to.scale});
  kernels::DualProduct::Args a{g, squares, s.x[0], to.sum[0], to.squares[0], out_, in_, batch};
  a.trans_a = true;
  if (bias_) a.sum1 = to.sum[1], a.sum2 = to.squares[1];
  e.call<kernels::DualProduct>(a);
}

std::vector<KroneckerPart> Linear::kronecker_parts() const {
  return {{.rows = out_, .channels = in_, .width = out_, .bias = bias_ ? 1 : -1}};
}

In Linear::kronecker_inputs(Emit&, const Site& s, std::size_t, std::int64_t first,
                            std::int64_t) const {
  return s.x[0].at(first * (s.x_size() / s.batch));
}

In Linear::kronecker_adjoints(Emit&, const Site& s, std::size_t, In gy, std::int64_t first,
                              std::int64_t) const {
  return gy.at(first * (s.y_size() / s.batch));
}

}  // namespace hesscore
