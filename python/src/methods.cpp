// The fields of every method, visited; schedules that call back into Python.
#include "methods.hpp"

#include <nanobind/stl/string.h>

#include <cmath>
#include <optional>
#include <utility>
#include <vector>

namespace hesscore::python {
namespace {

template <class Visit>
void visit_fields(Sgd& m, const Visit& visit) {
  visit("lr", m.lr);
  visit("momentum", m.momentum);
  visit("nesterov", m.nesterov);
  visit("weight_decay", m.weight_decay);
}

template <class M, class Visit>
void visit_adam(M& m, const Visit& visit) {
  visit("lr", m.lr);
  visit("beta1", m.beta1);
  visit("beta2", m.beta2);
  visit("eps", m.eps);
  visit("weight_decay", m.weight_decay);
}

template <class Visit>
void visit_fields(Adam& m, const Visit& visit) {
  visit_adam(m, visit);
}

template <class Visit>
void visit_fields(AdamW& m, const Visit& visit) {
  visit_adam(m, visit);
}

template <class Visit>
void visit_fields(AdaHessian& m, const Visit& visit) {
  visit_adam(m, visit);
  visit("power", m.power);
  visit("samples", m.samples);
  visit("seed", m.seed);
}

template <class Visit>
void visit_fields(AdaHesScale& m, const Visit& visit) {
  visit_adam(m, visit);
  visit("power", m.power);
  visit("moment", m.moment);
  visit("delta", m.delta);
  visit("max_scale", m.max_scale);
}

template <class Visit>
void visit_fields(ChainruleAdam& m, const Visit& visit) {
  visit_adam(m, visit);
  visit("diag", m.diag);
  visit("bias_correction", m.bias_correction);
  visit("seed", m.seed);
}

template <class M, class Visit>
void visit_sophia(M& m, const Visit& visit) {
  visit_adam(m, visit);
  visit("gamma", m.gamma);
  visit("interval", m.interval);
  visit("seed", m.seed);
}

template <class Visit>
void visit_fields(SophiaG& m, const Visit& visit) {
  visit_sophia(m, visit);
}

template <class Visit>
void visit_fields(SophiaH& m, const Visit& visit) {
  visit_sophia(m, visit);
}

template <class Visit>
void visit_fields(GaussNewton& m, const Visit& visit) {
  visit("lr", m.lr);
  visit("damping_rule", m.damping_rule);
  visit("damping", m.damping);
  visit("cg_iterations", m.cg_iterations);
  visit("cg_rtol", m.cg_rtol);
  visit("martens_stop", m.martens_stop);
  visit("warm_start", m.warm_start);
  visit("preconditioner", m.preconditioner);
  visit("line_search", m.line_search);
}

template <class Visit>
void visit_fields(HessianFree& m, const Visit& visit) {
  visit_fields(static_cast<GaussNewton&>(m), visit);
  visit("product", m.product);
}

template <class Visit>
void visit_fields(TrustRegion& m, const Visit& visit) {
  visit("radius", m.radius);
  visit("max_radius", m.max_radius);
  visit("solver", m.solver);
  visit("product", m.product);
  visit("iterations", m.iterations);
  visit("rtol", m.rtol);
}

template <class Visit>
void visit_fields(Newton& m, const Visit& visit) {
  visit("lr", m.lr);
  visit("damping", m.damping);
  visit("indefinite", m.indefinite);
}

template <class Visit>
void visit_fields(Lbfgs& m, const Visit& visit) {
  visit("lr", m.lr);
  visit("history", m.history);
  visit("c1", m.c1);
  visit("c2", m.c2);
  visit("max_evaluations", m.max_evaluations);
}

template <class Visit>
void visit_fields(ReplicaNewton& m, const Visit& visit) {
  visit("lr", m.lr);
  visit("replicas", m.replicas);
  visit("form", m.form);
  visit("span_step", m.span_step);
  visit("rtol", m.rtol);
  visit("ritz", m.ritz);
}

template <class Visit>
void visit_fields(Kfac& m, const Visit& visit) {
  visit("lr", m.lr);
  visit("damping_rule", m.damping_rule);
  visit("damping", m.damping);
  visit("momentum", m.momentum);
  visit("weight_decay", m.weight_decay);
  visit("kl_clip", m.kl_clip);
  visit("kind", m.kind);
  visit("factor_ema", m.factor_ema);
  visit("interval", m.interval);
  visit("inverse_interval", m.inverse_interval);
}

template <class Visit>
void for_each_method(const Visit& visit) {
  visit("sgd", Sgd{});
  visit("adam", Adam{});
  visit("adamw", AdamW{});
  visit("adahessian", AdaHessian{});
  visit("adahesscale", AdaHesScale{});
  visit("adahesscale_gn", AdaHesScaleGN{});
  visit("bl89", Bl89{});
  visit("chainrule_adam", ChainruleAdam{});
  visit("sophia_g", SophiaG{});
  visit("sophia_h", SophiaH{});
  visit("gauss_newton", GaussNewton{});
  visit("hessian_free", HessianFree{});
  visit("trust_region", TrustRegion{});
  visit("newton", Newton{});
  visit("lbfgs", Lbfgs{});
  visit("replica_newton", ReplicaNewton{});
  visit("kfac", Kfac{});
}

// ---- from Python -------------------------------------------------------------------------------

[[noreturn]] void refuse(const char* name, const std::string& expected, nb::handle got) {
  throw OptionError(name, expected, nb::cast<std::string>(nb::repr(got)));
}

// A Python callable as a schedule. It is borrowed: Python's Optimizer keeps it, where the garbage
// collector sees the cycle that a function and its optimizer easily form.
struct Schedule {
  const char* name;
  nb::handle call;

  double operator()(std::int64_t step) const {
    const nb::gil_scoped_acquire acquire;
    const nb::object result = call(step);
    const double value = PyFloat_AsDouble(result.ptr());
    const bool number = PyErr_Occurred() == nullptr;
    PyErr_Clear();
    if (!number || !std::isfinite(value)) {
      refuse(name, "a finite number from the schedule at step " + std::to_string(step), result);
    }
    return value;
  }
};

void set(const char* name, nb::handle from, double& to) {
  const bool number = PyNumber_Check(from.ptr()) && !PyBool_Check(from.ptr());
  to = number ? PyFloat_AsDouble(from.ptr()) : 0;
  const bool failed = !number || PyErr_Occurred() != nullptr;
  PyErr_Clear();
  if (failed || !std::isfinite(to)) refuse(name, "a finite number", from);
}

// A number, or none for "adaptive".
void set(const char* name, nb::handle from, std::optional<double>& to) {
  std::string text;
  const bool adaptive = nb::try_cast(from, text) && text == "adaptive";
  if (!adaptive && nb::isinstance<nb::str>(from)) refuse(name, "a number or 'adaptive'", from);
  to.reset();
  if (!adaptive) set(name, from, to.emplace());
}

void set(const char* name, nb::handle from, Rate& to) {
  if (PyCallable_Check(from.ptr())) {
    to = Rate(Schedule{name, from});
    return;
  }
  double value = 0;
  set(name, from, value);
  to = Rate(value);
}

template <class I>
  requires std::is_integral_v<I>
void set(const char* name, nb::handle from, I& to) {
  if (PyBool_Check(from.ptr()) || !PyIndex_Check(from.ptr()) ||
      !nb::try_cast(nb::steal(PyNumber_Index(from.ptr())), to)) {
    refuse(name, std::is_unsigned_v<I> ? "a non-negative integer" : "an integer", from);
  }
}

void set(const char* name, nb::handle from, bool& to) {
  if (!PyBool_Check(from.ptr())) refuse(name, "True or False", from);
  to = from.ptr() == Py_True;
}

void set(const char* name, nb::handle from, std::string& to) {
  if (!nb::try_cast(from, to)) refuse(name, "a string", from);
}

// The names of the values of an enumeration.
template <class E>
using Names = std::vector<std::pair<const char*, E>>;

const Names<Moment>& names(Moment) {
  static const Names<Moment> all{{"square", Moment::square}, {"abs", Moment::abs}};
  return all;
}
const Names<Damping>& names(Damping) {
  static const Names<Damping> all{{"lm", Damping::lm}, {"constant", Damping::constant}};
  return all;
}
const Names<BiasCorrection>& names(BiasCorrection) {
  static const Names<BiasCorrection> all{{"standard", BiasCorrection::standard},
                                         {"frozen", BiasCorrection::frozen}};
  return all;
}
const Names<Diag>& names(Diag) {
  static const Names<Diag> all{{"ggn", Diag::ggn},
                               {"ggn_mc", Diag::ggn_mc},
                               {"hesscale", Diag::hesscale},
                               {"hutchinson", Diag::hutchinson}};
  return all;
}
const Names<Product>& names(Product) {
  static const Names<Product> all{{"hessian", Product::hessian}, {"ggn", Product::ggn}};
  return all;
}
const Names<TrustMethod>& names(TrustMethod) {
  static const Names<TrustMethod> all{{"gltr", TrustMethod::gltr},
                                      {"steihaug", TrustMethod::steihaug}};
  return all;
}
const Names<Indefinite>& names(Indefinite) {
  static const Names<Indefinite> all{{"absolute", Indefinite::absolute},
                                     {"truncated", Indefinite::truncated},
                                     {"plain", Indefinite::plain}};
  return all;
}
const Names<ReplicaForm>& names(ReplicaForm) {
  static const Names<ReplicaForm> all{{"paired", ReplicaForm::paired},
                                      {"centred", ReplicaForm::centred},
                                      {"carried", ReplicaForm::carried}};
  return all;
}

const Names<Factors>& names(Factors) {
  static const Names<Factors> all{{"mc", Factors::mc},
                                  {"exact", Factors::exact},
                                  {"empirical", Factors::empirical},
                                  {"kfra", Factors::recursive}};
  return all;
}

template <class E>
  requires std::is_enum_v<E>
void set(const char* name, nb::handle from, E& to) {
  std::string text, known;
  const bool is_text = nb::try_cast(from, text);
  for (const auto& [value_name, value] : names(E{})) {
    if (is_text && text == value_name) {
      to = value;
      return;
    }
    known += (known.empty() ? "'" : " or '") + std::string(value_name) + "'";
  }
  refuse(name, known, from);
}

// ---- to Python ---------------------------------------------------------------------------------

nb::object shown(const Rate& r) { return nb::float_(r(0)); }
nb::object shown(const std::optional<double>& momentum) {
  return momentum ? nb::cast(*momentum) : nb::cast("adaptive");
}
template <class T>
nb::object shown(const T& value) {
  if constexpr (std::is_enum_v<T>) {
    for (const auto& [name, named] : names(value)) {
      if (named == value) return nb::str(name);
    }
    return nb::none();
  } else {
    return nb::cast(value);
  }
}

}  // namespace

Method make_method(const std::string& name, const nb::dict& options) {
  std::optional<Method> method;
  for_each_method([&](const char* candidate, auto m) {
    if (name != candidate) return;
    visit_fields(m, [&](const char* key, auto& field) {
      if (options.contains(key)) set(key, options[key], field);
    });
    method = m;
  });
  if (!method) throw OptionError("method", "the name of an optimizer", name);
  return *method;
}

nb::dict method_table() {
  nb::dict table;
  for_each_method([&](const char* name, auto m) {
    nb::dict defaults;
    visit_fields(m, [&](const char* key, auto& field) { defaults[key] = shown(field); });
    table[name] = defaults;
  });
  return table;
}

}  // namespace hesscore::python
