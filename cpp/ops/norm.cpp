// Normalizations: one set of passes, and what each kind adds.
#include "ops/norm.hpp"

#include <limits>
#include <sstream>

namespace hesscore {
namespace {

void positive(const char* name, std::int64_t value) {
  if (value < 1) throw GraphError(name, "a positive number", std::to_string(value));
}

std::string text(double value) {
  std::ostringstream s;
  s << value;
  return s.str();
}

Shape checked(const Shape& shape) {
  for (const std::int64_t d : shape) {
    if (d < 1) throw GraphError("normalized_shape", "positive sizes", to_string(shape));
  }
  if (shape.empty()) throw GraphError("normalized_shape", "at least one axis", "()");
  return shape;
}

}  // namespace

Normalization::Normalization(double eps, bool weight, bool bias, Shape weights)
    : eps_(eps), weight_(weight), bias_(bias), weights_(std::move(weights)) {
  if (!(eps >= 0 && eps <= std::numeric_limits<double>::max())) {
    throw GraphError("eps", "a finite number >= 0", text(eps));
  }
}

Shape Normalization::output_shape(const std::vector<Shape>& x) const {
  check(x.at(0));
  return x[0];
}

std::vector<ParameterShape> Normalization::parameters() const {
  std::vector<ParameterShape> p;
  if (weight_) p.push_back({"weight", weights_, 1, 1, Start::ones});
  if (bias_) p.push_back({"bias", weights_, 1, 1, Start::zeros});
  return p;
}

void Normalization::wrong_input(const std::string& expected, const Shape& x) const {
  throw ShapeError("input of " + describe(), expected,
                   "shape " + to_string(x) + " without the batch");
}

std::vector<Operand> Normalization::save(Emit& e, const Site& s) const {
  const math::NormGeometry g = geometry(s);
  const Operand statistics = e.temporary(3 * g.statistics());
  e.call<kernels::NormStatistics>({s.x[0], statistics, {}, g, eps(e)});
  return {statistics};
}

void Normalization::forward(Emit& e, const Site& s, Out y) const {
  e.call<kernels::NormForward>({s.x[0], s.saved[0], weight(s), bias(s), y, geometry(s)});
}

void Normalization::jvp(Emit& e, const Site& s, const JvpPorts& p) const {
  kernels::NormTangent::Args a{.x = s.x[0], .statistics = s.saved[0], .w = weight(s)};
  a.dx = p.dx[0];
  if (weight_ && !p.v.empty()) a.dw = p.v[0];
  if (bias_ && !p.v.empty()) a.db = p.v[1];
  a.dy = p.dy;
  a.g = geometry(s);
  a.reps = p.reps;
  a.stride = p.stride;
  e.call<kernels::NormTangent>(a);
}

void Normalization::vjp(Emit& e, const Site& s, const VjpPorts& p) const {
  kernels::NormAdjoint::Args a{.x = s.x[0], .statistics = s.saved[0], .w = weight(s), .gy = p.gy};
  a.gx = p.gx[0];
  if (weight_ && !p.gw.empty()) a.gw = p.gw[0];
  if (bias_ && !p.gw.empty()) a.gb = p.gw[1];
  if (!a.gx && !a.gw && !a.gb) return;
  a.g = geometry(s);
  a.reps = p.reps;
  a.stride = p.stride;
  e.call<kernels::NormAdjoint>(a);
}

void Normalization::vjp_dot(Emit& e, const Site& s, const SecondPorts& p) const {
  kernels::NormSecond::Args a{.x = s.x[0], .statistics = s.saved[0], .w = weight(s), .gy = p.gy};
  a.dx = p.dx[0];
  a.dgy = p.dgy;
  if (weight_ && !p.v.empty()) a.dw = p.v[0];
  a.dgx = p.dgx[0];
  if (weight_ && !p.hw.empty()) a.hw = p.hw[0];
  if (bias_ && !p.hw.empty()) a.hb = p.hw[1];
  a.g = geometry(s);
  a.reps = p.reps;
  a.stride = p.stride;
  e.call<kernels::NormSecond>(a);
}

void Normalization::diag(Emit& e, const Site& s, const DiagPorts& p) const {
  kernels::NormDiagonal::Args a{.x = s.x[0], .statistics = s.saved[0], .w = weight(s)};
  a.gy = p.gy;
  a.hy = p.hy;
  a.gx = p.gx[0];
  a.hx = p.hx[0];
  if (weight_ && !p.gw.empty()) a.gw = p.gw[0];
  if (bias_ && !p.gw.empty()) a.gb = p.gw[1];
  if (weight_ && !p.hw.empty()) a.hw = p.hw[0];
  if (bias_ && !p.hw.empty()) a.hb = p.hw[1];
  a.g = geometry(s);
  a.gauss_newton = p.gauss_newton;
  a.flat = couples_samples(s.train);
  e.call<kernels::NormDiagonal>(a);
}

std::vector<Op::ParameterColumns> Normalization::parameter_columns(Emit& e, const Site& s) const {
  const std::int64_t units = element_count(weights_);
  const ParameterColumns bias = bias_columns(s.y_size() / units, units);
  std::vector<ParameterColumns> all;
  if (weight_) {
    ParameterColumns weight = bias;  // a group for each channel
    weight.columns.constant = false;
    weight.columns.g.c = weight.columns.g.groups = units;
    const Operand xhat = e.temporary(s.y_size());
    e.call<kernels::NormForward>({s.x[0], s.saved[0], {}, {}, xhat, geometry(s)});
    weight.x = xhat;
    all.push_back(weight);
  }
  if (bias_) all.push_back(bias);
  return all;
}

Operand Normalization::weight_terms(Emit& e, const Site& s, In gy, std::int64_t reps) const {
  const std::int64_t size = s.y_size();
  const Operand xhat = e.temporary(size), product = e.temporary(reps * size);
  e.call<kernels::NormForward>({s.x[0], s.saved[0], {}, {}, xhat, geometry(s)});
  e.call<kernels::Multiply>({gy, xhat, product, size, reps, true, false});
  return product;
}

// Scale and shift are vectors: the gradients of a sample are what their blocks are made of.
std::vector<KroneckerPart> Normalization::kronecker_parts() const {
  const std::int64_t n = element_count(weights_);
  KroneckerPart p{.rows = n, .width = n};
  p.contracted = true;
  std::vector<KroneckerPart> parts;
  if (weight_) parts.push_back(p);
  p.parameter = weight_ ? 1 : 0;
  if (bias_) parts.push_back(p);
  return parts;
}

In Normalization::kronecker_adjoints(Emit& e, const Site& s, std::size_t part, In gy, std::int64_t,
                                     std::int64_t count) const {
  if (!weight_ || part == 1) return gy;
  return weight_terms(e, s, gy, count / s.batch);
}

// The gradients of a sample are sums over its positions in all uses: gy xhat and gy, side by side.
Normalization::Terms Normalization::terms(Emit& e, const Uses& uses, std::int64_t reps) const {
  const std::int64_t batch = uses[0].site->batch;
  Terms t;
  for (const Use& u : uses) t.size += u.site->y_size() / batch;
  const bool one = uses.size() == 1;
  t.products = weight_ && !one ? e.temporary(reps * batch * t.size) : Operand{};
  t.gy = one ? Operand(uses[0].gy) : e.temporary(reps * batch * t.size);
  std::int64_t begin = 0;
  for (const Use& u : uses) {
    const Site& s = *u.site;
    const std::int64_t own = s.y_size() / batch;
    if (weight_) {
      const Operand product = weight_terms(e, s, u.gy, reps);
      if (one) {
        t.products = product;
      } else {
        e.call<kernels::Copy>({product, t.products.at(begin), reps * batch, own, own, t.size});
      }
    }
    if (!one) e.call<kernels::Copy>({u.gy, t.gy.at(begin), reps * batch, own, own, t.size});
    begin += own;
  }
  return t;
}

// Samples of one column: the terms are those of the whole batch.
void Normalization::deposit_per_sample(Emit& e, const Uses& uses, SampleRange samples,
                                       const std::vector<SampleRows>& to) const {
  const std::int64_t columns = element_count(weights_);
  const Terms t = terms(e, uses, 1);
  const auto deposit = [&](Operand from, const SampleRows& rows) {
    kernels::ColumnSum::Args a{from.at(samples.first * t.size), rows.to, t.size / columns, 1,
                               columns};
    a.batch = samples.count;
    a.stride_x = t.size;
    a.stride_y = rows.stride;
    e.call<kernels::ColumnSum>(a);
  };
  if (weight_) deposit(t.products, to[0]);
  if (bias_) deposit(t.gy, to[1]);
}

void Normalization::deposit_squares(Emit& e, const Uses& uses, std::int64_t reps, double scale,
                                    const std::vector<Out>& to) const {
  const std::int64_t columns = element_count(weights_), groups = reps * uses[0].site->batch;
  const Terms t = terms(e, uses, reps);
  const auto deposit = [&](Operand from, Out out) {
    e.call<kernels::ColumnSum>({from, out, groups, t.size / columns, columns, true, scale});
  };
  if (weight_) deposit(t.products, to[0]);
  if (bias_) deposit(t.gy, to[1]);
}

// ---- batch norm --------------------------------------------------------------------------------

BatchNorm::BatchNorm(std::size_t dimensions, std::int64_t features, const BatchNormOptions& o)
    : Normalization(o.eps, o.affine, o.affine, {features}),
      dimensions_(dimensions),
      features_(features),
      o_(o) {
  positive("num_features", features);
  if (o.momentum && !(*o.momentum >= 0 && *o.momentum <= 1)) {
    throw GraphError("momentum", "0 <= momentum <= 1, or none", text(*o.momentum));
  }
}

std::string BatchNorm::describe() const {
  std::string d = std::string(type()) + "(" + std::to_string(features_);
  if (eps_ != 1e-5) d += ", eps=" + text(eps_);
  if (!o_.momentum) d += ", momentum=None";
  if (o_.momentum && *o_.momentum != 0.1) d += ", momentum=" + text(*o_.momentum);
  if (!o_.affine) d += ", affine=False";
  if (!o_.track_running_stats) d += ", track_running_stats=False";
  return d + ")";
}

void BatchNorm::check(const Shape& x) const {
  const bool rank = dimensions_ == 1 ? x.size() == 1 || x.size() == 2 : x.size() == 3;
  if (rank && x[0] == features_) return;
  const std::string c = std::to_string(features_);
  wrong_input(dimensions_ == 1 ? "(" + c + ",) or (" + c + ", L)" : "(" + c + ", H, W)", x);
}

std::vector<BufferShape> BatchNorm::buffers() const {
  if (!o_.track_running_stats) return {};
  return {{"running_mean", {features_}, 0},
          {"running_var", {features_}, 1},
          {"num_batches_tracked", {}, 0}};
}

math::NormGeometry BatchNorm::geometry(const Site& s) const {
  math::NormGeometry g{1, s.y_size() / features_, features_, 1};
  g.fixed = !couples_samples(s.train);
  return g;
}

std::vector<Operand> BatchNorm::save(Emit& e, const Site& s) const {
  const math::NormGeometry g = geometry(s);
  const Operand statistics = e.temporary(3 * features_);
  if (g.fixed) {
    e.call<kernels::NormFixed>({s.buffers[0], s.buffers[1], statistics, features_, eps_});
    return {statistics};
  }
  if (g.count() < 2) {
    throw ShapeError("x", "more than one value for each channel of " + describe() + " in training",
                     "one sample with one position");
  }
  e.call<kernels::NormStatistics>({s.x[0], statistics, s.batch_statistics, g, eps_});
  return {statistics};
}

void BatchNorm::track(Emit& e, const Site& s) const {
  e.call<kernels::NormTrack>({s.batch_statistics, s.buffers[0], s.buffers[1], s.buffers[2],
                              features_, o_.momentum.value_or(-1)});
}

// ---- layer norm and root mean square -----------------------------------------------------------

LayerNorm::LayerNorm(const Shape& shape, const LayerNormOptions& o)
    : Normalization(o.eps, o.affine, o.affine && o.bias, checked(shape)),
      centred_(true),
      given_(true) {}

LayerNorm::LayerNorm(const Shape& shape, const RMSNormOptions& o)
    : Normalization(o.eps.value_or(0), o.affine, false, checked(shape)),
      centred_(false),
      given_(o.eps.has_value()) {}

std::string LayerNorm::describe() const {
  std::string d = std::string(type()) + "(";
  d += weights_.size() == 1 ? std::to_string(weights_[0]) : to_string(weights_);
  if (given_ && !(centred_ && eps_ == 1e-5)) d += ", eps=" + text(eps_);
  if (!weight_) d += ", elementwise_affine=False";
  if (weight_ && !bias_ && centred_) d += ", bias=False";
  return d + ")";
}

void LayerNorm::check(const Shape& x) const {
  const bool fits =
      x.size() >= weights_.size() && std::equal(weights_.rbegin(), weights_.rend(), x.rbegin());
  if (!fits) wrong_input("last axes " + to_string(weights_), x);
}

math::NormGeometry LayerNorm::geometry(const Site& s) const {
  const std::int64_t size = element_count(weights_);
  math::NormGeometry g{s.y_size() / size, 1, 1, size};
  g.centred = centred_;
  return g;
}

double LayerNorm::eps(const Emit& e) const {
  if (given_) return eps_;
  return e.dtype() == DType::f32 ? static_cast<double>(std::numeric_limits<float>::epsilon())
                                 : std::numeric_limits<double>::epsilon();
}

// ---- group and instance norm -------------------------------------------------------------------

GroupNorm::GroupNorm(std::int64_t groups, std::int64_t channels, const GroupNormOptions& o)
    : Normalization(o.eps, o.affine, o.affine, {channels}), groups_(groups), channels_(channels) {
  positive("num_groups", groups);
  positive("num_channels", channels);
  if (channels % groups != 0) {
    throw GraphError("num_channels", "a multiple of num_groups = " + std::to_string(groups),
                     std::to_string(channels));
  }
}

GroupNorm::GroupNorm(std::size_t dimensions, std::int64_t features, const GroupNormOptions& o)
    : Normalization(o.eps, o.affine, o.affine, {features}),
      groups_(features),
      channels_(features),
      dimensions_(dimensions) {
  positive("num_features", features);
}

std::string_view GroupNorm::type() const {
  return dimensions_ == 0 ? "GroupNorm" : dimensions_ == 1 ? "InstanceNorm1d" : "InstanceNorm2d";
}

std::string GroupNorm::describe() const {
  std::string d = std::string(type()) + "(";
  if (dimensions_ == 0) d += std::to_string(groups_) + ", ";
  d += std::to_string(channels_);
  if (eps_ != 1e-5) d += ", eps=" + text(eps_);
  if (dimensions_ == 0 && !weight_) d += ", affine=False";
  if (dimensions_ > 0 && weight_) d += ", affine=True";
  return d + ")";
}

void GroupNorm::check(const Shape& x) const {
  const std::string c = std::to_string(channels_);
  if (dimensions_ == 0) {
    if (x.empty() || x[0] != channels_) wrong_input("(" + c + ", ...)", x);
    return;
  }
  if (x.size() != dimensions_ + 1 || x[0] != channels_) {
    wrong_input(dimensions_ == 1 ? "(" + c + ", L)" : "(" + c + ", H, W)", x);
  }
  if (element_count(x) == channels_) wrong_input("more than one position", x);
}

math::NormGeometry GroupNorm::geometry(const Site& s) const {
  return {s.batch, element_count(s.y_shape) / channels_, groups_, channels_ / groups_};
}

}  // namespace hesscore
