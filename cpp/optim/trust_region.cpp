// Trust region: the minimum of the quadratic model within a radius (Conn, Gould & Toint 2000,
// algorithm 6.1.1).
#include <algorithm>
#include <cmath>
#include <limits>

#include "curvature/curvature_operator.hpp"
#include "optim/impl.hpp"

namespace hesscore {
namespace {

constexpr double kLeast = 1e-4;  // of what was foretold, for a step to be accepted
constexpr double kBad = 0.25, kGood = 0.75;
constexpr double kBoundary = 0.99;  // of the radius

class TrustRegionMethod final : public Optimizer::Impl {
 public:
  TrustRegionMethod(const Objective& f, const TrustRegion& method)
      : Impl(f),
        method_(method),
        radius_(add_scalar("radius", method.radius)),
        curvature_(f, method.product) {}

 private:
  StepInfo attempt(const View& w, const Batch& batch, const Mode& mode) override;
  void allocate_scratch() override;
  TrustRegionResult solve(const View& w, const Batch& batch, const Mode& mode);
  void adapt_radius(double rho, double length);

  const TrustRegion method_;
  double& radius_;
  CurvatureOperator curvature_;
  Vector g_, step_, trial_;
};

void TrustRegionMethod::allocate_scratch() {
  g_ = make_vector();
  step_ = make_vector();
  trial_ = make_vector();
}

TrustRegionResult TrustRegionMethod::solve(const View& w, const Batch& batch, const Mode& mode) {
  curvature_.move_to(w, batch, mode, /*snapshot=*/false);
  TrustRegionOptions options;
  options.method = method_.solver;
  options.rtol = method_.rtol;
  options.maxiter = std::min(method_.iterations, n_);
  options.poll = [&] { poll(); };
  const TrustRegionResult found = trust_region(curvature_, g_, step_, radius_, options);
  if (found.report.status == Status::breakdown || !std::isfinite(found.decrease)) {
    throw_non_finite("the curvature is not finite (" + found.report.message + ")", mode);
  }
  return found;
}

StepInfo TrustRegionMethod::attempt(const View& w, const Batch& batch, const Mode& mode) {
  const double before = f_.evaluate(w, batch, {.grad = &g_}, mode);
  require_finite(before, mode);
  const double norm = require_finite("gradient", g_, mode);
  if (n_ == 0) return {.loss = before, .radius = radius_};
  Mode trial = mode;  // the running statistics are to follow the batch at w alone
  trial.track = false;
  const TrustRegionResult found = solve(w, batch, trial);
  StepInfo info{.loss = before, .grad_norm = norm, .radius = radius_};
  info.iterations = found.report.iterations;

  algebra().copy(w.data, trial_.data(), n_);
  algebra().axpby(1, step_.data(), 1, trial_.data(), n_);
  double after = f_.evaluate(trial_, batch, {}, trial);
  if (!std::isfinite(after)) after = std::numeric_limits<double>::infinity();
  const double fell = before - after;
  const bool noise = std::max(std::abs(fell), found.decrease) <= resolution(before);
  info.rho = found.decrease > 0 ? fell / found.decrease : 0;
  info.accepted = found.decrease > 0 && (noise ? fell >= 0 : info.rho > kLeast);
  if (info.accepted) algebra().copy(trial_.data(), w.data, n_);
  if (!noise) adapt_radius(info.rho, algebra().norm(step_.data(), n_));
  return info;
}

void TrustRegionMethod::adapt_radius(double rho, double length) {
  if (!(rho >= kBad)) {
    radius_ = kBad * std::min(length, radius_);
  } else if (rho > kGood && length >= kBoundary * radius_) {
    radius_ = std::min(2 * radius_, method_.max_radius);
  }
}

}  // namespace

std::unique_ptr<Optimizer::Impl> make_method(const Objective& f, const TrustRegion& method) {
  return std::make_unique<TrustRegionMethod>(f, method);
}

}  // namespace hesscore
