// Hessian-free: Newton or Gauss-Newton steps by conjugate gradients, with Levenberg-Marquardt
// damping (Martens 2010).
//
// The step is w - t x, where x solves (A + lambda I) x = g roughly, A the Hessian or the
// Gauss-Newton matrix, and t comes from the line search or is the rate. All trials are evaluated at
// a copy; w is written once, when the step is accepted.
#include <algorithm>
#include <cmath>
#include <limits>

#include "curvature/curvature_operator.hpp"
#include "optim/impl.hpp"
#include "optim/options.hpp"
#include "solve/cg.hpp"

namespace hesscore {
namespace {

constexpr std::size_t kIterates = 6;  // among which the best is sought
constexpr double kArmijo = 1e-2, kBacktrack = 0.8;
constexpr int kMaxBacktracks = 60;
constexpr double kDampingRange = 1e15;  // up and down from where it starts

class HessianFreeMethod final : public Optimizer::Impl {
 public:
  HessianFreeMethod(const Objective& f, HessianFree method)
      : Impl(f),
        method_(std::move(method)),
        direction_(add_vector("direction")),
        curvature_(f, method_.product) {
    if (method_.damping_rule != Damping::lm) return;
    start_ = method_.damping(0);
    damping_ = &add_scalar("damping", start_);
    workspace_.kept.rows = kIterates;
  }

 private:
  struct Point {
    const View& w;
    const Batch& batch;
    const Mode& mode;
    double loss;
  };
  struct Candidate {
    const void* x;
    std::int64_t iteration;
    double loss;
  };

  StepInfo attempt(const View& w, const Batch& batch, const Mode& mode) override;
  void allocate_scratch() override;

  StepInfo linearise(const View& w, const Batch& batch, const Mode& mode, double damping);
  SolveReport solve(const Point& at, double damping);
  SolveReport solve_from(double warm_start, const LinearOperator& A);
  Candidate best_iterate(const Point& at, std::int64_t last, double t);
  double loss_at(const Point& at, const void* x, double t);
  void take_unseen(const View& w, const Mode& mode, double t);
  double step_length(const Point& at, const Candidate& c, double t, double slope);
  double line_search(const Point& at, const Candidate& c, double t, double slope);
  bool is_change(double before, double after, double predicted) const;
  void adapt_damping(double rho);

  const HessianFree method_;
  Vector& direction_;          // the last solution: where CG starts
  double* damping_ = nullptr;  // of Levenberg and Marquardt
  double start_ = 0;           // its first value

  CurvatureOperator curvature_;
  Vector g_, d_, x_, trial_;
  std::optional<DiagonalOperator> preconditioner_;
  void* inverse_ = nullptr;  // the preconditioner's diagonal
  CgWorkspace workspace_;
};

void HessianFreeMethod::allocate_scratch() {
  g_ = make_vector();
  x_ = make_vector();
  trial_ = make_vector();
  if (method_.preconditioner == "none") return;
  d_ = make_vector();
  Vector inverse = make_vector();
  inverse_ = inverse.data();
  preconditioner_.emplace(std::move(inverse));
}

StepInfo HessianFreeMethod::attempt(const View& w, const Batch& batch, const Mode& mode) {
  const double lr = value_at("lr", method_.lr, mode.step);
  const double damping = damping_ ? *damping_ : value_at("damping", method_.damping, mode.step);
  Mode trial = mode;  // the running statistics are to follow the batch at w alone
  trial.track = false;
  StepInfo info = linearise(w, batch, mode, damping);
  const Point at{w, batch, trial, info.loss};
  const SolveReport report = solve(at, damping);
  info.iterations = report.iterations;
  if (!damping_ && !method_.line_search) {
    take_unseen(w, mode, lr);
    return info;
  }

  const Candidate best = best_iterate(at, report.iterations, lr);
  const double slope = algebra().dot(g_.data(), best.x, n_);
  const double half_curvature = report.model[static_cast<std::size_t>(best.iteration)] + slope;
  const double predicted = lr * (lr * half_curvature - slope);
  if (predicted < 0) info.rho = (best.loss - at.loss) / predicted;
  const double t = step_length(at, best, lr, slope);
  info.accepted = t >= 0;
  if (info.accepted) {
    algebra().axpby(-t, best.x, 1, w.data, n_);
    std::swap(direction_, x_);
  }
  if (damping_ && lr * slope > 0 && is_change(at.loss, best.loss, predicted)) {
    adapt_damping(info.accepted ? info.rho : 0);
  }
  return info;
}

// The gradient, and the preconditioner that belongs to it: 1 / (|HesScale| + lambda), or Martens'
// (empirical Fisher diagonal + lambda)^-0.75.
StepInfo HessianFreeMethod::linearise(const View& w, const Batch& batch, const Mode& mode,
                                      double damping) {
  const bool hesscale = method_.preconditioner == "hesscale";
  Outputs out{.grad = &g_};
  if (preconditioner_) out.diag = {hesscale ? Diag::hesscale : Diag::empirical_fisher, &d_};
  StepInfo info{.loss = f_.evaluate(w, batch, out, mode), .damping = damping};
  require_finite(info.loss, mode);
  info.grad_norm = require_finite("gradient", g_, mode);
  if (preconditioner_) {
    require_finite("curvature", d_, mode);
    algebra().power(d_.data(), damping, hesscale ? -1 : -0.75, inverse_, n_);
    if (!algebra().all_finite(inverse_, n_)) {
      throw_non_finite("the preconditioner is not finite: it needs damping > 0", mode);
    }
  }
  return info;
}

// A start from the last step may end above the model's value at zero; zero is then the better one.
SolveReport HessianFreeMethod::solve(const Point& at, double damping) {
  curvature_.move_to(at.w, at.batch, at.mode, /*snapshot=*/false);
  const ShiftedOperator A(curvature_, damping);
  SolveReport report = solve_from(method_.warm_start, A);
  if (method_.warm_start > 0 && report.model.back() > 0) report = solve_from(0, A);
  if (report.status == Status::breakdown) {
    throw_non_finite("the curvature is not finite (" + report.message + ")", at.mode);
  }
  return report;
}

SolveReport HessianFreeMethod::solve_from(double warm_start, const LinearOperator& A) {
  algebra().scale(warm_start, direction_.data(), x_.data(), n_);
  CgOptions options;
  options.rtol = method_.cg_rtol;
  options.maxiter = method_.cg_iterations;
  options.stop = method_.martens_stop ? StopRule::martens : StopRule::residual;
  options.preconditioner = preconditioner_ ? &*preconditioner_ : nullptr;
  options.poll = [&] { poll(); };
  return cg(A, g_, x_, options, workspace_);
}

// CG minimises the model, not the loss: from the last iterate walk back while the loss falls.
// With constant damping none are kept, and the step is the solution of the damped system.
HessianFreeMethod::Candidate HessianFreeMethod::best_iterate(const Point& at, std::int64_t last,
                                                             double t) {
  Candidate best{x_.data(), last, loss_at(at, x_.data(), t)};
  const KeptIterates& kept = workspace_.kept;
  const std::size_t count = kept.iterations.size();
  for (std::size_t k = count; k > 0 && k + kIterates > count; --k) {
    if (kept.iterations[k - 1] == last) continue;
    const double loss = loss_at(at, kept.at(k - 1), t);
    if (std::isfinite(best.loss) && !(loss < best.loss)) break;
    best = {kept.at(k - 1), kept.iterations[k - 1], loss};
  }
  return best;
}

double HessianFreeMethod::loss_at(const Point& at, const void* x, double t) {
  algebra().copy(at.w.data, trial_.data(), n_);
  algebra().axpby(-t, x, 1, trial_.data(), n_);
  poll();
  const double loss = f_.evaluate(trial_, at.batch, {}, at.mode);
  return std::isfinite(loss) ? loss : std::numeric_limits<double>::infinity();
}

// The step w - t x, whatever the loss there, as long as it is finite.
void HessianFreeMethod::take_unseen(const View& w, const Mode& mode, double t) {
  algebra().copy(w.data, trial_.data(), n_);
  algebra().axpby(-t, x_.data(), 1, trial_.data(), n_);
  require_finite("step", trial_, mode);
  algebra().copy(trial_.data(), w.data, n_);
  std::swap(direction_, x_);
}

double HessianFreeMethod::step_length(const Point& at, const Candidate& c, double t, double slope) {
  if (method_.line_search) return line_search(at, c, t, slope);
  return std::isfinite(c.loss) ? t : -1;
}

// The first step length of t, 0.8 t, ... that lowers the loss enough (Armijo), or -1.
double HessianFreeMethod::line_search(const Point& at, const Candidate& c, double t, double slope) {
  if (slope < 0) return -1;
  double loss = c.loss;
  for (int i = 0; i < kMaxBacktracks && loss > at.loss - kArmijo * t * slope; ++i) {
    t *= kBacktrack;
    loss = loss_at(at, c.x, t);
  }
  return loss <= at.loss - kArmijo * t * slope ? t : -1;
}

// Or rounding, which says nothing about the model?
bool HessianFreeMethod::is_change(double before, double after, double predicted) const {
  return std::max(std::abs(after - before), std::abs(predicted)) > resolution(before);
}

void HessianFreeMethod::adapt_damping(double rho) {
  if (rho > 0.75) {
    *damping_ *= 2.0 / 3;
  } else if (!(rho >= 0.25)) {
    *damping_ *= 1.5;
  }
  *damping_ = std::clamp(*damping_, start_ / kDampingRange, start_ * kDampingRange);
}

}  // namespace

std::unique_ptr<Optimizer::Impl> make_method(const Objective& f, const GaussNewton& method) {
  return std::make_unique<HessianFreeMethod>(f, HessianFree{method, Product::ggn});
}

std::unique_ptr<Optimizer::Impl> make_method(const Objective& f, const HessianFree& method) {
  return std::make_unique<HessianFreeMethod>(f, method);
}

}  // namespace hesscore
