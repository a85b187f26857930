// Limited-memory BFGS (Nocedal & Wright 2006, algorithms 7.4 and 7.5).
#include "optim/wolfe.hpp"

#include <cmath>
#include <limits>

#include "optim/impl.hpp"
#include "optim/options.hpp"

namespace hesscore {
namespace {

class LbfgsMethod final : public Optimizer::Impl {
 public:
  LbfgsMethod(const Objective& f, Lbfgs method)
      : Impl(f),
        method_(std::move(method)),
        kept_(add_scalar("kept", 0)),
        next_(add_scalar("next", 0)) {
    for (std::int64_t i = 0; i < method_.history; ++i) {
      s_.push_back(&add_vector("s" + std::to_string(i)));
      y_.push_back(&add_vector("y" + std::to_string(i)));
    }
  }

 private:
  StepInfo attempt(const View& w, const Batch& batch, const Mode& mode) override;
  void allocate_scratch() override;
  void check_scalars(const Optimizer::State& state) const override;
  double find_direction(std::int64_t pairs);
  void remember(double t);
  // The pair that was kept `age` steps ago.
  std::size_t place(std::int64_t age) const {
    const std::int64_t slots = method_.history;
    return static_cast<std::size_t>((static_cast<std::int64_t>(next_) - 1 - age + slots) % slots);
  }

  const Lbfgs method_;
  double &kept_, &next_;          // how many pairs there are, and where the next one goes
  std::vector<Vector*> s_, y_;    // steps and what they changed of the gradient
  Vector g_, d_, trial_, moved_;  // gradients at w and at the trial point
};

void LbfgsMethod::allocate_scratch() {
  for (Vector* v : {&g_, &d_, &trial_, &moved_}) *v = make_vector();
}

void LbfgsMethod::check_scalars(const Optimizer::State& state) const {
  const double kept = state.scalars.at("kept"), next = state.scalars.at("next");
  const auto slots = static_cast<double>(method_.history);
  if (kept == std::floor(kept) && next == std::floor(next) && kept <= slots && next < slots) return;
  throw StateError("kept, next", "pairs of a history of " + std::to_string(method_.history),
                   std::to_string(kept) + ", " + std::to_string(next));
}

StepInfo LbfgsMethod::attempt(const View& w, const Batch& batch, const Mode& mode) {
  const double lr = value_at("lr", method_.lr, mode.step);
  StepInfo info{.loss = f_.evaluate(w, batch, {.grad = &g_}, mode)};
  require_finite(info.loss, mode);
  const double norm = info.grad_norm = require_finite("gradient", g_, mode);
  auto pairs = static_cast<std::int64_t>(kept_);
  double slope = find_direction(pairs);
  if (!(slope < 0)) {  // rounding has used the pairs up
    pairs = 0;
    info.fell_back = true;
    slope = find_direction(pairs);
  }
  Mode trial = mode;  // the running statistics are to follow the batch at w alone
  trial.track = false;
  const auto at = [&](double t) {
    algebra().copy(w.data, trial_.data(), n_);
    algebra().axpby(t, d_.data(), 1, trial_.data(), n_);
    poll();
    const double loss = f_.evaluate(trial_, batch, {.grad = &moved_}, trial);
    return WolfePoint{t, loss, algebra().dot(moved_.data(), d_.data(), n_)};
  };
  const double first = pairs > 0 ? lr : lr * std::min(1.0, 1 / norm);
  WolfeSearch search({.c1 = method_.c1, .c2 = method_.c2, .most = method_.max_evaluations}, at);
  const WolfePoint found = search.run({0, info.loss, slope}, first);
  info.iterations = search.evaluations();
  info.accepted = found.t > 0;
  kept_ = info.accepted ? static_cast<double>(pairs) : 0;
  if (!info.accepted) return info;
  remember(found.t);
  algebra().copy(trial_.data(), w.data, n_);
  return info;
}

// d = -H g by the two loops over so many pairs; returns d'g.
double LbfgsMethod::find_direction(std::int64_t count) {
  const Algebra& a = algebra();
  std::vector<double> alpha(static_cast<std::size_t>(count)), rho(alpha.size());
  a.scale(-1, g_.data(), d_.data(), n_);
  for (std::int64_t age = 0; age < count; ++age) {
    const auto i = static_cast<std::size_t>(age);
    const void *s = s_[place(age)]->data(), *y = y_[place(age)]->data();
    rho[i] = 1 / a.dot(s, y, n_);
    alpha[i] = rho[i] * a.dot(s, d_.data(), n_);
    a.axpby(-alpha[i], y, 1, d_.data(), n_);
  }
  if (count > 0) {
    const void* y = y_[place(0)]->data();
    a.scale(1 / (rho[0] * a.dot(y, y, n_)), d_.data(), d_.data(), n_);
  }
  for (std::int64_t age = count; age-- > 0;) {
    const auto i = static_cast<std::size_t>(age);
    const double beta = rho[i] * a.dot(y_[place(age)]->data(), d_.data(), n_);
    a.axpby(alpha[i] - beta, s_[place(age)]->data(), 1, d_.data(), n_);
  }
  return a.dot(d_.data(), g_.data(), n_);
}

// Keeps s = t d and y, unless their product is lost in rounding.
void LbfgsMethod::remember(double t) {
  const auto slot = static_cast<std::size_t>(next_);
  const double epsilon = dtype_ == DType::f32 ? std::numeric_limits<float>::epsilon()
                                              : std::numeric_limits<double>::epsilon();
  Vector &s = *s_[slot], &y = *y_[slot];
  algebra().axpby(-1, g_.data(), 1, moved_.data(), n_);
  const double sy = t * algebra().dot(d_.data(), moved_.data(), n_);
  const double yy = algebra().dot(moved_.data(), moved_.data(), n_);
  if (!(sy > epsilon * yy)) return;
  algebra().scale(t, d_.data(), s.data(), n_);
  std::swap(y, moved_);
  const auto slots = static_cast<double>(method_.history);
  kept_ = std::min(kept_ + 1, slots);
  next_ = next_ + 1 < slots ? next_ + 1 : 0;
}

}  // namespace

std::unique_ptr<Optimizer::Impl> make_method(const Objective& f, const Lbfgs& method) {
  return std::make_unique<LbfgsMethod>(f, method);
}

}  // namespace hesscore
