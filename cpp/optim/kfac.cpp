// KFAC: the natural gradient of Kronecker-factored curvature, with the step length, momentum and
// damping that the exact Gauss-Newton model asks for (Martens & Grosse 2015, algorithm 2).
//
// New averages, inverses and w are made beside the old ones, which they replace when the step is
// accepted.
#include <algorithm>
#include <array>
#include <cmath>

#include "curvature/curvature_operator.hpp"
#include "curvature/factor_work.hpp"
#include "curvature/kronecker_operator.hpp"
#include "objective/supported.hpp"
#include "optim/impl.hpp"
#include "optim/options.hpp"

namespace hesscore {
namespace {

constexpr std::uint64_t kFirst = 3;            // steps that make an inverse in any case
constexpr std::uint64_t kDampingInterval = 5;  // T1
constexpr double kShrink = 19.0 / 20;          // omega1 = kShrink^T1
constexpr double kBad = 0.25, kGood = 0.75;
constexpr double kDampingRange = 1e15;  // up and down from where it starts

using Pair = std::array<double, 2>;  // of the natural step d and the last one p

// M(a d + b p) - M(0) = (a, b) B (a, b)' / 2 + slope (a, b)'
struct Model {
  double dd = 0, dp = 0, pp = 0;  // B
  Pair slope{};

  double at(const Pair& c) const {
    return (c[0] * (dd * c[0] + 2 * dp * c[1]) + pp * c[1] * c[1]) / 2 + slope[0] * c[0] +
           slope[1] * c[1];
  }
  // Where d and p are parallel up to rounding: along d alone.
  Pair minimum(double rounding) const {
    const double determinant = dd * pp - dp * dp;
    if (determinant > std::sqrt(rounding) * dd * pp) {
      return {(dp * slope[1] - pp * slope[0]) / determinant,
              (dp * slope[0] - dd * slope[1]) / determinant};
    }
    return {dd > 0 ? -slope[0] / dd : 1, 0};
  }
};

class KfacMethod final : public Optimizer::Impl {
 public:
  KfacMethod(const Objective& f, Kfac method);

 private:
  // Averages or inverses: those of the state, and the next ones.
  struct Factor {
    Vector& now;
    Vector next = {};
    bool renewed = false;
  };
  struct Step {
    double scale = 1;      // w += scale * kept_
    double predicted = 0;  // what the model foretells, where it is asked
  };

  StepInfo attempt(const View& w, const Batch& batch, const Mode& mode) override;
  void allocate_scratch() override;
  void after_load() override { make_operators(); }
  void make_operators();

  bool adaptive() const { return !method_.momentum; }
  StepInfo linearise(const View& w, const Batch& batch, const Mode& mode);
  bool invert(const Mode& mode, double damping);
  void find_direction(const Mode& mode);
  Step find_step(double lr, double damping, bool model_wanted);
  Model model(std::int64_t count, double shift) const;
  double shortening(double lr) const;
  double objective(const void* w, double loss) const;
  StepInfo refuse(StepInfo info);
  void adapt_damping(double rho);
  void accept(const View& w);

  const Kfac method_;
  const std::shared_ptr<const KroneckerLayout> layout_, inverse_layout_;
  Factor factors_, inverses_;
  Vector* direction_ = nullptr;  // the last step, or a heavy ball's velocity
  double* damping_ = nullptr;    // of Levenberg and Marquardt
  double* stale_ = nullptr;      // 1: damping has grown since a step was refused
  double start_ = 0;             // the damping's first value

  CurvatureOperator curvature_;
  std::optional<FactorAlgebra> factor_algebra_;
  std::unique_ptr<KroneckerOperator> now_, next_;  // of the inverses
  Vector g_, rows_, products_, kept_, trial_;      // rows: d, p
};

KfacMethod::KfacMethod(const Objective& f, Kfac method)
    : Impl(f),
      method_(std::move(method)),
      layout_(std::make_shared<KroneckerLayout>(kronecker_layout(f.graph(), false))),
      inverse_layout_(std::make_shared<KroneckerLayout>(inverse_layout(*layout_))),
      factors_{add_vector("factors", layout_->factors)},
      inverses_{add_vector("inverses", inverse_layout_->factors)},
      curvature_(f, Product::ggn) {
  Request needed;
  needed.train = true;
  needed.kronecker = {.kind = method_.kind};
  check_supported(needed, f.graph());
  if (adaptive() || *method_.momentum > 0) direction_ = &add_vector("direction");
  if (method_.damping_rule != Damping::lm) return;
  start_ = method_.damping(0);
  damping_ = &add_scalar("damping", start_);
  stale_ = &add_scalar("stale", 0);
}

void KfacMethod::allocate_scratch() {
  for (Vector* v : {&g_, &kept_, &trial_}) *v = make_vector();
  for (Vector* v : {&rows_, &products_}) *v = make_vector(2 * n_);
  factors_.next = make_vector(layout_->factors);
  inverses_.next = make_vector(inverse_layout_->factors);
  factor_algebra_.emplace(f_.device(), dtype_);
  make_operators();
}

void KfacMethod::make_operators() {
  const auto of = [&](const Vector& v) {
    return std::make_unique<KroneckerOperator>(f_.device(), dtype_, n_, inverse_layout_,
                                               KroneckerForm::direct, v.data(), nullptr);
  };
  now_ = of(inverses_.now);
  next_ = of(inverses_.next);
}

StepInfo KfacMethod::attempt(const View& w, const Batch& batch, const Mode& mode) {
  const double lr = value_at("lr", method_.lr, mode.step);
  const double damping = damping_ ? *damping_ : value_at("damping", method_.damping, mode.step);
  StepInfo info = linearise(w, batch, mode);
  info.damping = damping;
  poll();
  if (!invert(mode, damping)) return refuse(info);
  poll();
  find_direction(mode);
  Mode still = mode;  // the running statistics are to follow the batch at w alone
  still.track = false;
  const bool adapts = damping_ && (mode.step + 1) % kDampingInterval == 0;
  if (adaptive() || adapts) curvature_.move_to(w, batch, still, /*snapshot=*/false);
  poll();
  const Step step = find_step(lr, damping + method_.weight_decay, adapts);
  algebra().copy(w.data, trial_.data(), n_);
  algebra().axpby(step.scale, kept_.data(), 1, trial_.data(), n_);
  require_finite("step", trial_, mode);
  if (adapts) {
    poll();
    const double loss = f_.evaluate(trial_, batch, {}, still);
    if (!std::isfinite(loss)) return refuse(info);
    const double before = objective(w.data, info.loss), after = objective(trial_.data(), loss);
    info.rho = step.predicted < 0 ? (after - before) / step.predicted : 0;
    const double change = std::max(std::abs(after - before), std::abs(step.predicted));
    if (change > resolution(before)) adapt_damping(info.rho);
  }
  accept(w);
  return info;
}

// Loss, gradient and, where they are due, the averages that go on with this batch's factors.
StepInfo KfacMethod::linearise(const View& w, const Batch& batch, const Mode& mode) {
  const auto interval = static_cast<std::uint64_t>(method_.interval);
  factors_.renewed = mode.step % interval == 0;
  StepInfo info;
  if (factors_.renewed) {
    const std::uint64_t seed = step_seed(mode.seed, mode.step) >> 1;  // one that f.kron takes, too
    const KroneckerOptions options{.kind = method_.kind, .seed = seed};
    info.loss =
        evaluate_factors(f_.impl(), w, batch, options, mode, factors_.next.data(), {.grad = &g_});
  } else {
    info.loss = f_.evaluate(w, batch, {.grad = &g_}, mode);
  }
  require_finite(info.loss, mode);
  info.grad_norm = require_finite("gradient", g_, mode);
  if (method_.weight_decay > 0) {
    algebra().axpby(method_.weight_decay, w.data, 1, g_.data(), n_);
    require_finite("gradient with decay", g_, mode);
  }
  if (!factors_.renewed) return info;
  if (!algebra().all_finite(factors_.next.data(), layout_->factors)) {
    throw_non_finite("a Kronecker factor is not finite", mode);
  }
  const auto k = static_cast<double>(mode.step / interval + 1);
  const double kept = std::min(1 - 1 / k, method_.factor_ema);
  algebra().axpby(kept, factors_.now.data(), 1 - kept, factors_.next.data(), layout_->factors);
  return info;
}

// The inverses of the averages, where they are due. False: more damping may make them definite.
bool KfacMethod::invert(const Mode& mode, double damping) {
  const auto interval = static_cast<std::uint64_t>(method_.inverse_interval);
  inverses_.renewed = mode.step < kFirst || mode.step % interval == 0 || (stale_ && *stale_ > 0);
  if (!inverses_.renewed) return true;
  const Vector& from = factors_.renewed ? factors_.next : factors_.now;
  const double shift = damping + method_.weight_decay;
  const KroneckerPlace* const failed =
      invert_factors(*factor_algebra_, *layout_, from.data(), shift, inverses_.next.data());
  if (failed == nullptr || damping_) return failed == nullptr;
  throw OptionError("damping", "enough to make block '" + failed->name + "' positive definite",
                    std::to_string(damping));
}

// d = -P g
void KfacMethod::find_direction(const Mode& mode) {
  void* const d = row(rows_, 0);
  (inverses_.renewed ? next_ : now_)->apply(g_.data(), d);
  algebra().scale(-1, d, d, n_);
  if (!algebra().all_finite(d, n_)) throw_non_finite("the natural gradient is not finite", mode);
  if (direction_ != nullptr) algebra().copy(direction_->data(), row(rows_, 1), n_);
}

// What the state will keep, and how much of it is the step.
KfacMethod::Step KfacMethod::find_step(double lr, double shift, bool model_wanted) {
  Step step;
  Pair c{1, 0};
  if (adaptive()) {
    const bool moved = algebra().dot(row(rows_, 1), row(rows_, 1), n_) > 0;
    const std::int64_t count = moved ? 2 : 1;
    curvature_.apply(rows_.data(), products_.data(), count);
    const Model m = model(count, shift);
    c = m.minimum(resolution(1));
    const double by = lr * shortening(lr * c[0]);
    c = {by * c[0], by * c[1]};
    step.predicted = m.at(c);
  } else {
    step.scale = lr;
    c = {shortening(lr), *method_.momentum};
  }
  algebra().scale(c[0], row(rows_, 0), kept_.data(), n_);
  if (c[1] != 0) algebra().axpby(c[1], row(rows_, 1), 1, kept_.data(), n_);
  if (!adaptive() && model_wanted) {
    algebra().copy(kept_.data(), rows_.data(), n_);
    curvature_.apply(rows_.data(), products_.data());
    step.predicted = model(1, shift).at({lr, 0});
  }
  return step;
}

// From the products of the first `count` rows.
Model KfacMethod::model(std::int64_t count, double shift) const {
  const auto entry = [&](std::int64_t i, std::int64_t j) {
    const void* const v = row(rows_, i);
    return algebra().dot(v, row(products_, j), n_) + shift * algebra().dot(v, row(rows_, j), n_);
  };
  Model m{.dd = entry(0, 0)};
  m.slope[0] = algebra().dot(g_.data(), row(rows_, 0), n_);
  if (count == 1) return m;
  m.dp = entry(0, 1);
  m.pp = entry(1, 1);
  m.slope[1] = algebra().dot(g_.data(), row(rows_, 1), n_);
  return m;
}

double KfacMethod::shortening(double lr) const {
  if (method_.kl_clip == 0) return 1;
  const double decrease = std::abs(algebra().dot(g_.data(), row(rows_, 0), n_));
  return std::min(1.0, std::sqrt(method_.kl_clip / (lr * lr * decrease)));
}

double KfacMethod::objective(const void* w, double loss) const {
  if (method_.weight_decay == 0) return loss;
  return loss + method_.weight_decay / 2 * algebra().dot(w, w, n_);
}

StepInfo KfacMethod::refuse(StepInfo info) {
  info.accepted = false;
  if (!damping_) return info;
  adapt_damping(0);
  *stale_ = 1;
  return info;
}

void KfacMethod::adapt_damping(double rho) {
  const double omega = std::pow(kShrink, static_cast<double>(kDampingInterval));
  if (rho > kGood) {
    *damping_ *= omega;
  } else if (!(rho >= kBad)) {
    *damping_ /= omega;
  }
  *damping_ = std::clamp(*damping_, start_ / kDampingRange, start_ * kDampingRange);
}

void KfacMethod::accept(const View& w) {
  algebra().copy(trial_.data(), w.data, n_);
  if (direction_ != nullptr) std::swap(*direction_, kept_);
  if (factors_.renewed) std::swap(factors_.now, factors_.next);
  if (!inverses_.renewed) return;
  std::swap(inverses_.now, inverses_.next);
  std::swap(now_, next_);
  if (stale_) *stale_ = 0;
}

}  // namespace

std::unique_ptr<Optimizer::Impl> make_method(const Objective& f, const Kfac& method) {
  return std::make_unique<KfacMethod>(f, method);
}

}  // namespace hesscore
