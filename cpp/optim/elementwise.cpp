// A step of the element-wise methods: one evaluation, finite checks, one update kernel.
#include "optim/elementwise.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "optim/options.hpp"
#include "solve/krylov.hpp"

namespace hesscore {
namespace {

class ElementwiseMethod final : public Optimizer::Impl {
 public:
  ElementwiseMethod(const Objective& f, Elementwise method)
      : Impl(f),
        method_(std::move(method)),
        m_(keeps_m() ? &add_vector("m") : nullptr),
        u_(keeps_u() ? &add_vector(name_of_u()) : nullptr) {}

 private:
  bool keeps_u() const { return method_.spec.kind != math::UpdateKind::sgd; }
  // Sophia's curvature has a sign.
  const char* name_of_u() const {
    return method_.spec.kind == math::UpdateKind::sophia ? "h" : "u";
  }
  bool keeps_m() const { return keeps_u() || method_.spec.momentum > 0; }

  StepInfo attempt(const View& w, const Batch& batch, const Mode& mode) override;
  std::optional<DeviceUpdate> device_update() const override;
  bool describe(math::StepRecord& r) const override;
  void allocate_scratch() override;
  void after_load() override;
  bool averages() const override { return true; }

  math::UpdateSpec spec_at(std::uint64_t step) const;
  void set_limits(math::UpdateSpec& spec) const {
    spec.clip_norm = options().clip_norm;
    spec.clip_value = options().clip_value;
    spec.ema = options().ema;
  }
  bool is_moderate(const math::UpdateSpec& spec) const;
  bool wants_diagonal(std::uint64_t step) const {
    return method_.diag && step % static_cast<std::uint64_t>(method_.interval) == 0;
  }
  using Spec = math::UpdateSpec;
  Algebra::UpdateArrays arrays(const View& w, bool diagonal) const;
  void update(const Spec& spec, const View& w, bool diagonal) const;
  void scaled_update(const Spec& spec, const View& w) const;
  void guarded_update(const Spec& spec, const View& w, bool diagonal, const Mode& mode);

  // Moments of gradients up to this size have squares, sums and quotients far inside the range.
  double moderate() const { return dtype_ == DType::f32 ? 1e18 : 1e153; }

  const Elementwise method_;
  Vector *m_, *u_;
  Vector g_, d_;
  Buffer square_;               // of the gradient's norm, where that is clipped
  bool guarded_ = false;        // moments may be immoderate
  std::vector<Vector> backup_;  // of w and the moments, when guarded
};

void ElementwiseMethod::allocate_scratch() {
  g_ = make_vector();
  if (method_.diag) d_ = make_vector();
  if (options().clip_norm > 0) square_ = Buffer(f_.device(), sizeof(double));
  backup_.clear();
}

void ElementwiseMethod::after_load() {
  guarded_ = (m_ != nullptr && algebra().norm(m_->data(), n_) > moderate()) ||
             (u_ != nullptr && algebra().norm(u_->data(), n_) > moderate());
}

math::UpdateSpec ElementwiseMethod::spec_at(std::uint64_t step) const {
  math::UpdateSpec spec = method_.spec;
  const auto t = method_.frozen ? 1 : static_cast<double>(step + 1);
  spec.lr = value_at("lr", method_.lr, step);
  spec.correction1 = 1 - std::pow(spec.beta1, t);
  spec.correction2 = 1 - std::pow(spec.beta2, t);
  spec.first = step == 0;
  set_limits(spec);
  return spec;
}

std::optional<DeviceUpdate> ElementwiseMethod::device_update() const {
  if (guarded_ || method_.interval > 1 || method_.delta > 0) return {};
  DeviceUpdate update{.spec = method_.spec, .m = m_, .u = u_, .g = &g_, .mean = mean()};
  set_limits(update.spec);
  if (method_.diag) {
    update.diag = {{*method_.diag, method_.samples}};
    update.d = &d_;
  }
  return update;
}

bool ElementwiseMethod::describe(math::StepRecord& r) const {
  const math::UpdateSpec spec = spec_at(r.step);
  r.seeds[0] = step_seed(method_.seed, r.step);
  r.lr = spec.lr;
  r.correction1 = spec.correction1;
  r.correction2 = spec.correction2;
  r.first = spec.first ? 1 : 0;
  return is_moderate(spec);
}

StepInfo ElementwiseMethod::attempt(const View& w, const Batch& batch, const Mode& mode) {
  const math::UpdateSpec spec = spec_at(mode.step);
  const bool diagonal = wants_diagonal(mode.step);
  Outputs out{.grad = &g_};
  if (diagonal) {
    out.diag = {{*method_.diag, &d_, method_.samples, step_seed(method_.seed, mode.step)}};
  }
  StepInfo info{.loss = f_.evaluate(w, batch, out, mode)};
  require_finite(info.loss, mode);
  const double norm_g = info.grad_norm = require_finite("gradient", g_, mode);
  require_norm(norm_g, mode);
  const double norm_d = diagonal ? require_finite("curvature", d_, mode) : 0;
  const bool decays = spec.decay > 0 && !spec.decoupled;
  const double norm_w = decays ? spec.decay * algebra().norm(w.data, n_) : 0;
  guarded_ = guarded_ || !is_moderate(spec) ||
             !(norm_g <= moderate() && norm_d <= moderate() && norm_w <= moderate());
  if (guarded_) {
    guarded_update(spec, w, diagonal, mode);
  } else {
    update(spec, w, diagonal);
  }
  return info;
}

// Does an update from moderate arrays stay far inside the range?
bool ElementwiseMethod::is_moderate(const math::UpdateSpec& s) const {
  const double largest =
      dtype_ == DType::f32 ? std::numeric_limits<float>::max() : std::numeric_limits<double>::max();
  double step = s.lr;
  if (s.kind == math::UpdateKind::sgd) step *= moderate() * 2 / (1 - s.momentum);
  if (s.kind == math::UpdateKind::adam) step *= moderate() / s.correction1 / s.eps;
  return step <= largest / 4 && s.decay <= 1 && s.lr * s.decay <= 1;
}

void ElementwiseMethod::update(const Spec& spec, const View& w, bool diagonal) const {
  if (spec.clip_norm > 0) {
    const KrylovKernels kernels(f_.device(), dtype_);
    kernels.dots({.x = In(g_.data()), .y = In(g_.data()), .result = Out(square_.data()), .n = n_});
  }
  if (method_.delta > 0) return scaled_update(spec, w);
  algebra().update(spec, arrays(w, diagonal), n_);
}

Algebra::UpdateArrays ElementwiseMethod::arrays(const View& w, bool diagonal) const {
  const auto data = [](const Vector* v) { return v != nullptr ? v->data() : nullptr; };
  return {.w = w.data,
          .m = data(m_),
          .u = data(u_),
          .g = g_.data(),
          .d = diagonal ? d_.data() : nullptr,
          .square = static_cast<const double*>(square_.data()),
          .mean = data(mean())};
}

// Moments first, with w at rest; then, with the moments at rest, the step that they give.
void ElementwiseMethod::scaled_update(const Spec& spec, const View& w) const {
  Algebra::UpdateArrays to_moments = arrays(w, true);
  to_moments.mean = nullptr;
  Spec moments = spec, step = spec;
  moments.lr = 0;
  algebra().update(moments, to_moments, n_);
  const double curvature = algebra().step_curvature(spec, m_->data(), u_->data(), n_);
  step.beta1 = step.beta2 = 1;
  step.lr *= std::min(method_.max_scale, std::sqrt(2 * method_.delta / curvature));
  algebra().update(step, arrays(w, true), n_);
}

// Numbers near the end of the range: whether the update overflows is known only afterwards.
void ElementwiseMethod::guarded_update(const Spec& spec, const View& w, bool diagonal,
                                       const Mode& mode) {
  std::vector<void*> targets{w.data};
  if (m_ != nullptr) targets.push_back(m_->data());
  if (u_ != nullptr) targets.push_back(u_->data());
  if (mean() != nullptr) targets.push_back(mean()->data());
  while (backup_.size() < targets.size()) backup_.push_back(make_vector());
  bool finite = true;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    algebra().copy(targets[i], backup_[i].data(), n_);
  }
  update(spec, w, diagonal);
  for (const void* p : targets) finite = finite && algebra().all_finite(p, n_);
  if (finite) return;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    algebra().copy(backup_[i].data(), targets[i], n_);
  }
  throw_non_finite("the update overflows " + std::string(name_of(dtype_)), mode);
}

}  // namespace

std::unique_ptr<Optimizer::Impl> make_elementwise(const Objective& f, Elementwise method) {
  return std::make_unique<ElementwiseMethod>(f, std::move(method));
}

}  // namespace hesscore
