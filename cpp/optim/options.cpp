// What every option of every method may be.
#include "optim/options.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iterator>

namespace hesscore {
namespace {

std::string text(double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.6g", value);
  return buffer;
}

void require(bool good, const char* name, const char* expected, double got) {
  if (!good) throw OptionError(name, expected, text(got));
}

void non_negative(const char* name, double value) {
  require(value >= 0 && std::isfinite(value), name, "a finite number >= 0", value);
}

void positive(const char* name, double value) {
  require(value > 0 && std::isfinite(value), name, "a finite number > 0", value);
}

void fraction(const char* name, double value) {
  require(value >= 0 && value < 1, name, "a number in [0, 1)", value);
}

void at_least_one(const char* name, std::int64_t value) {
  if (value < 1) throw OptionError(name, "an integer >= 1", std::to_string(value));
}

void constant_rate(const char* name, const Rate& rate) {
  if (rate.is_constant()) non_negative(name, rate(0));
}

template <class M>
void check_adam(const M& m) {
  constant_rate("lr", m.lr);
  fraction("beta1", m.beta1);
  fraction("beta2", m.beta2);
  positive("eps", m.eps);
  non_negative("weight_decay", m.weight_decay);
}

void check(const Sgd& m) {
  constant_rate("lr", m.lr);
  fraction("momentum", m.momentum);
  non_negative("weight_decay", m.weight_decay);
  require(!m.nesterov || m.momentum > 0, "momentum", "a number > 0 with nesterov", m.momentum);
}

void check(const Adam& m) { check_adam(m); }
void check(const AdamW& m) { check_adam(m); }

void check(const AdaHessian& m) {
  check_adam(m);
  positive("power", m.power);
  at_least_one("samples", m.samples);
}

void check(const AdaHesScale& m) {
  check_adam(m);
  positive("power", m.power);
  non_negative("delta", m.delta);
  positive("max_scale", m.max_scale);
}

void check(const ChainruleAdam& m) {
  check_adam(m);
  constexpr Diag known[] = {Diag::ggn, Diag::ggn_mc, Diag::hesscale, Diag::hutchinson};
  if (std::find(std::begin(known), std::end(known), m.diag) == std::end(known)) {
    throw OptionError("diag", "ggn, ggn_mc, hesscale or hutchinson", "another diagonal");
  }
}

template <class Sophia>
void check_sophia(const Sophia& m) {
  check_adam(m);
  positive("gamma", m.gamma);
  at_least_one("interval", m.interval);
}

void check(const SophiaG& m) { check_sophia(m); }
void check(const SophiaH& m) { check_sophia(m); }

void check_product(Product product) {
  if (product != Product::hessian && product != Product::ggn) {
    throw OptionError("product", "hessian or ggn", "another one");
  }
}

void check(const GaussNewton& m) {
  constant_rate("lr", m.lr);
  constant_rate("damping", m.damping);
  at_least_one("cg_iterations", m.cg_iterations);
  non_negative("cg_rtol", m.cg_rtol);
  non_negative("warm_start", m.warm_start);
  if (m.damping_rule == Damping::lm) positive("damping", m.damping(0));
  if (m.preconditioner != "none" && m.preconditioner != "hesscale" &&
      m.preconditioner != "empirical_fisher") {
    throw OptionError("preconditioner", "none, hesscale or empirical_fisher", m.preconditioner);
  }
}

void check(const HessianFree& m) {
  check(static_cast<const GaussNewton&>(m));
  check_product(m.product);
}

void check(const TrustRegion& m) {
  positive("radius", m.radius);
  positive("max_radius", m.max_radius);
  at_least_one("iterations", m.iterations);
  non_negative("rtol", m.rtol);
  check_product(m.product);
}

void check(const Newton& m) {
  constant_rate("lr", m.lr);
  constant_rate("damping", m.damping);
}

void check(const Lbfgs& m) {
  constant_rate("lr", m.lr);
  at_least_one("history", m.history);
  require(m.c1 > 0 && m.c1 < 1, "c1", "a number in (0, 1)", m.c1);
  require(m.c2 > m.c1 && m.c2 < 1, "c2", "a number in (c1, 1)", m.c2);
  at_least_one("max_evaluations", m.max_evaluations);
}

void check(const ReplicaNewton& m) {
  constant_rate("lr", m.lr);
  at_least_one("replicas", m.replicas);
  constant_rate("span_step", m.span_step);
  fraction("rtol", m.rtol);
}

void check(const Kfac& m) {
  constant_rate("lr", m.lr);
  constant_rate("damping", m.damping);
  if (m.damping_rule == Damping::lm) positive("damping", m.damping(0));
  if (m.momentum) fraction("momentum", *m.momentum);
  non_negative("weight_decay", m.weight_decay);
  non_negative("kl_clip", m.kl_clip);
  fraction("factor_ema", m.factor_ema);
  at_least_one("interval", m.interval);
  at_least_one("inverse_interval", m.inverse_interval);
}

// Methods by name, and whether they take a clipped gradient.
struct Named {
  const char* name;
  bool clips;
};
constexpr Named kMethods[] = {{"sgd", true},           {"adam", true},
                              {"adamw", true},         {"adahessian", true},
                              {"adahesscale", true},   {"adahesscale_gn", true},
                              {"bl89", true},          {"chainrule_adam", true},
                              {"sophia_g", true},      {"sophia_h", true},
                              {"gauss_newton", false}, {"hessian_free", false},
                              {"trust_region", false}, {"newton", false},
                              {"lbfgs", false},        {"replica_newton", true},
                              {"kfac", false}};
static_assert(std::size(kMethods) == std::variant_size_v<Method>);

void check(const StepOptions& o, const Method& method) {
  non_negative("clip_norm", o.clip_norm);
  non_negative("clip_value", o.clip_value);
  fraction("ema", o.ema);
  require(o.clip_norm == 0 || o.clip_value == 0, "clip_value", "0 with clip_norm", o.clip_value);
  const Named& named = kMethods[method.index()];
  if ((o.clip_norm == 0 && o.clip_value == 0) || named.clips) return;
  std::string all;
  for (const Named& m : kMethods) {
    if (m.clips) all += (all.empty() ? "" : ", ") + std::string(m.name);
  }
  throw OptionError(o.clip_norm > 0 ? "clip_norm" : "clip_value",
                    "a method that takes a clipped gradient (" + all + ")",
                    std::string(named.name) + ", whose model or line search wants the gradient");
}

}  // namespace

void validate(const Method& method, const StepOptions& options) {
  std::visit([](const auto& m) { check(m); }, method);
  check(options, method);
}

double value_at(const char* name, const Rate& rate, std::uint64_t step) {
  const double value = rate(static_cast<std::int64_t>(step));
  if (!(value >= 0 && std::isfinite(value))) {
    throw OptionError(name, "a finite number >= 0",
                      text(value) + " from the schedule at step " + std::to_string(step));
  }
  return value;
}

}  // namespace hesscore
