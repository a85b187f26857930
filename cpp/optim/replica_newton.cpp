// Quasi-Newton steps from the differences of gradients of logical replicas (Arnold & Wang,
// "Accelerating SGD for distributed deep learning using approximated Hessian matrix").
#include <algorithm>

#include "optim/impl.hpp"
#include "optim/options.hpp"
#include "solve/secants.hpp"

namespace hesscore {
namespace {

class ReplicaNewtonMethod final : public Optimizer::Impl {
 public:
  ReplicaNewtonMethod(const Objective& f, ReplicaNewton method)
      : Impl(f), method_(std::move(method)), replicas_(method_.replicas) {
    if (!carries()) return;
    for (std::int64_t m = 0; m < replicas_; ++m) {
      offsets_.push_back(&add_vector("offset" + std::to_string(m)));
    }
  }

 private:
  struct Point {
    const View& w;
    const Batch& batch;
    const Mode& mode;
  };
  struct Shard {
    Batch batch;
    double part = 0;   // of the mean over the batch; 0: no sample of it counts
    double scale = 1;  // of its gradient, to be of the size of the batch's
  };

  StepInfo attempt(const View& w, const Batch& batch, const Mode& mode) override;
  void allocate_scratch() override;
  void check_rows(std::int64_t rows) const override;

  void split(const Point& at);
  double gradients(const Point& at, bool offset);
  double gradient(const Point& at, std::int64_t m, const void* offset, void* to);
  void pair(const Point& at, double lr);
  void evaluate_offsets(const Point& at, double lr);
  void centre(void* rows);
  void leave_mean();
  void step(const SecantFit& fit, double lr, double span_step);

  bool carries() const { return method_.form == ReplicaForm::carried; }
  View view(void* vector) const { return View(vector, dtype_, {n_}); }

  const ReplicaNewton method_;
  const std::int64_t replicas_;
  std::vector<Vector*> offsets_;
  std::vector<Shard> shards_;
  std::vector<double> parts_;
  Vector W_, G_;  // rows, one for each replica
  Vector z_, trial_, mean_;
  std::optional<SecantPairs> pairs_;
};

void ReplicaNewtonMethod::allocate_scratch() {
  for (Vector* v : {&W_, &G_}) *v = Vector(f_.device(), dtype_, replicas_ * n_);
  for (Vector* v : {&z_, &trial_, &mean_}) *v = make_vector();
  pairs_.emplace(f_.device(), dtype_, n_, replicas_);
}

void ReplicaNewtonMethod::check_rows(std::int64_t rows) const {
  if (rows >= replicas_) return;
  throw OptionError("replicas", "at most " + std::to_string(rows) + ", the samples of the batch",
                    std::to_string(replicas_));
}

StepInfo ReplicaNewtonMethod::attempt(const View& w, const Batch& batch, const Mode& mode) {
  const double lr = value_at("lr", method_.lr, mode.step);
  const double span_step = value_at("span_step", method_.span_step, mode.step);
  Mode still = mode;  // the running statistics are to follow the batch at w alone
  still.track = false;
  const Point at{w, batch, still};
  split(at);
  StepInfo info;
  info.loss = gradients(at, carries());
  if (!f_.graph().buffers().empty()) info.loss = f_.evaluate(w, batch, {}, mode);
  require_finite(info.loss, mode);
  info.grad_norm = require_finite("gradient", z_, mode);
  if (method_.form == ReplicaForm::paired) pair(at, lr);
  if (method_.form == ReplicaForm::centred) evaluate_offsets(at, lr);
  if (carries()) leave_mean();
  clip(z_, info.grad_norm, mean_, mode);
  const SecantFit fit =
      pairs_->fit(W_.data(), G_.data(), z_.data(), method_.rtol, [this] { poll(); });
  if (!fit.finite) throw_non_finite("a difference of gradients is not finite", mode);
  info.eigenvalue = fit.eigenvalue;
  info.fell_back = fit.rank > 0 && !(fit.slope > 0);
  algebra().copy(w.data, trial_.data(), n_);
  step(fit, method_.ritz && fit.eigenvalue > 0 ? 1 / fit.eigenvalue : lr, span_step);
  require_finite("step", trial_, mode);
  algebra().copy(trial_.data(), w.data, n_);
  for (std::int64_t m = 0; carries() && m < replicas_; ++m) {
    algebra().scale(-lr, row(G_, m), offsets_[static_cast<std::size_t>(m)]->data(), n_);
  }
  return info;
}

void ReplicaNewtonMethod::split(const Point& at) {
  const Objective::Impl& f = f_.impl();
  Bindings ports;
  Request request = f.check_point(at.w, at.batch.x, at.mode, ports);
  f.check_target(at.batch, request, ports);
  const std::int64_t rows = request.batch;
  check_rows(rows);
  const double whole = f.mean_weight(at.batch, request);
  const bool mean = f.loss().spec.mean;
  shards_.clear();
  parts_.clear();
  for (std::int64_t m = 0, first = 0; m < replicas_; ++m) {
    const std::int64_t count = rows / replicas_ + (m < rows % replicas_ ? 1 : 0);
    const double share = static_cast<double>(count) / static_cast<double>(rows);
    Shard shard{stretch(at.batch, first, count), share, 1 / share};
    request.batch = count;
    if (mean && whole > 0) shard.part = f.mean_weight(shard.batch, request) / whole;
    if (mean) shard.scale = 1;
    parts_.push_back(shard.part);
    shards_.push_back(std::move(shard));
    first += count;
  }
}

// The gradient of shard m at w + offset. Their dropout masks differ.
double ReplicaNewtonMethod::gradient(const Point& at, std::int64_t m, const void* offset,
                                     void* to) {
  const Shard& shard = shards_[static_cast<std::size_t>(m)];
  if (shard.part == 0) {
    algebra().fill(0, to, n_);
    return 0;
  }
  poll();
  Mode mode = at.mode;
  mode.seed += static_cast<std::uint64_t>(m);
  View w = at.w;
  if (offset != nullptr) {
    algebra().copy(at.w.data, trial_.data(), n_);
    algebra().axpby(1, offset, 1, trial_.data(), n_);
    w = trial_;
  }
  const double loss = f_.evaluate(w, shard.batch, {.grad = view(to)}, mode);
  if (shard.scale != 1) algebra().scale(shard.scale, to, to, n_);
  return shard.scale * loss;
}

// Rows of G: the shards' gradients, at w or at their offsets, which become W; z and the result are
// the means.
double ReplicaNewtonMethod::gradients(const Point& at, bool offset) {
  double loss = 0;
  for (std::int64_t m = 0; m < replicas_; ++m) {
    const auto i = static_cast<std::size_t>(m);
    if (offset) algebra().copy(offsets_[i]->data(), row(W_, m), n_);
    loss += shards_[i].part * gradient(at, m, offset ? row(W_, m) : nullptr, row(G_, m));
  }
  pairs_->combine(parts_, G_.data(), false, z_.data());
  return loss;
}

void ReplicaNewtonMethod::pair(const Point& at, double lr) {
  algebra().scale(-lr, G_.data(), W_.data(), replicas_ * n_);
  for (std::int64_t m = 0; m < replicas_; ++m) {
    gradient(at, m, row(W_, m), mean_.data());
    algebra().axpby(1, mean_.data(), -1, row(G_, m), n_);
  }
}

void ReplicaNewtonMethod::evaluate_offsets(const Point& at, double lr) {
  algebra().scale(-lr, G_.data(), W_.data(), replicas_ * n_);
  for (std::int64_t m = 0; m < replicas_; ++m) {
    algebra().copy(at.w.data, trial_.data(), n_);
    algebra().axpby(1, row(W_, m), 1, trial_.data(), n_);
    poll();
    f_.evaluate(trial_, at.batch, {.grad = view(row(G_, m))}, at.mode);
  }
  centre(W_.data());
  centre(G_.data());
}

void ReplicaNewtonMethod::centre(void* rows) {
  pairs_->combine(parts_, rows, false, mean_.data());
  const std::int64_t bytes = n_ * static_cast<std::int64_t>(size_of(dtype_));
  for (std::int64_t m = 0; m < replicas_; ++m) {
    algebra().axpby(-1, mean_.data(), 1, static_cast<std::byte*>(rows) + m * bytes, n_);
  }
}

// From the shards' gradients to their differences from the mean, which are the next offsets.
void ReplicaNewtonMethod::leave_mean() {
  for (std::int64_t m = 0; m < replicas_; ++m) {
    if (parts_[static_cast<std::size_t>(m)] == 0) {
      algebra().fill(0, row(W_, m), n_);
    } else {
      algebra().axpby(-1, z_.data(), 1, row(G_, m), n_);
    }
  }
}

// trial -= lr (z - G a) + span_step W a
void ReplicaNewtonMethod::step(const SecantFit& fit, double lr, double span_step) {
  algebra().axpby(-lr, z_.data(), 1, trial_.data(), n_);
  if (!(fit.slope > 0)) return;
  std::vector<double> c(fit.a.size());
  std::transform(fit.a.begin(), fit.a.end(), c.begin(), [&](double a) { return lr * a; });
  pairs_->combine(c, G_.data(), true, trial_.data());
  std::transform(fit.a.begin(), fit.a.end(), c.begin(), [&](double a) { return -span_step * a; });
  pairs_->combine(c, W_.data(), true, trial_.data());
}

}  // namespace

std::unique_ptr<Optimizer::Impl> make_method(const Objective& f, const ReplicaNewton& method) {
  return std::make_unique<ReplicaNewtonMethod>(f, method);
}

}  // namespace hesscore
