// What every step needs, and saving and loading of state.
#include "optim/impl.hpp"

#include <cmath>
#include <limits>

namespace hesscore {

void throw_non_finite(const std::string& what, const Mode& mode) {
  throw NonFiniteError(what + " in step " + std::to_string(mode.step + 1) +
                       "; w and the optimizer's state are unchanged");
}

// The finaliser of SplitMix64 (Steele, Lea & Flood 2014).
std::uint64_t step_seed(std::uint64_t seed, std::uint64_t step) {
  std::uint64_t z = seed + (step + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

Optimizer::Impl::Impl(const Objective& f)
    : f_(f), n_(f.num_params()), steps_(scalars_["step"]), mini_batches_(f.device()) {}

Optimizer::Impl::~Impl() = default;

void Optimizer::Impl::prepare(const View& w) {
  if (w.shape.size() != 1 || w.shape[0] != n_) {
    throw ShapeError("w", "shape " + to_string({n_}), "shape " + to_string(w.shape));
  }
  if (algebra_ && dtype_ == w.dtype) return;
  if (w.dtype == DType::i64) throw DTypeError("w", "float32 or float64", "int64");
  if (algebra_ && steps_ > 0) {
    throw DTypeError("w", std::string(name_of(dtype_)) + " as in earlier steps",
                     std::string(name_of(w.dtype)));
  }
  algebra_.reset();
  device_steps_.reset();
  dtype_ = w.dtype;
  for (auto& [name, vector] : vectors_) vector = make_vector(sizes_.at(name));
  allocate_scratch();
  if (pending_) upload(*pending_);
  algebra_.emplace(f_.device(), dtype_);
  if (pending_) after_load();
  pending_.reset();
}

void Optimizer::Impl::require_finite(double loss, const Mode& mode) const {
  if (!std::isfinite(loss)) throw_non_finite("the loss is " + std::to_string(loss), mode);
}

double Optimizer::Impl::resolution(double loss) const {
  const double epsilon = dtype_ == DType::f32 ? std::numeric_limits<float>::epsilon()
                                              : std::numeric_limits<double>::epsilon();
  return 16 * epsilon * std::abs(loss);
}

double Optimizer::Impl::require_finite(const char* quantity, const Vector& v,
                                       const Mode& mode) const {
  const double norm = algebra_->norm(v.data(), n_);
  if (std::isfinite(norm) || algebra_->all_finite(v.data(), n_)) return norm;
  const std::vector<double> values = v.to_host();
  std::int64_t i = 0;
  while (std::isfinite(values[static_cast<std::size_t>(i)])) ++i;
  std::string where = "element " + std::to_string(i);
  for (const Parameter& p : f_.graph().parameters()) {
    if (i >= p.offset && i < p.offset + p.size) {
      where = p.name + ", element " + std::to_string(i - p.offset);
    }
  }
  throw_non_finite(std::string("the ") + quantity + " is " +
                       std::to_string(values[static_cast<std::size_t>(i)]) + " at " + where,
                   mode);
}

void Optimizer::Impl::require_norm(double norm, const Mode& mode) const {
  if (options_.clip_norm > 0 && !std::isfinite(norm)) {
    throw_non_finite("the gradient's norm overflows float64", mode);
  }
}

void Optimizer::Impl::clip(Vector& g, double norm, Vector& scratch, const Mode& mode) const {
  require_norm(norm, mode);
  if (options_.clip_norm > 0 && norm > options_.clip_norm) {
    algebra_->scale(options_.clip_norm / norm, g.data(), g.data(), n_);
  }
  if (options_.clip_value > 0) {  // a step of SGD from zero
    algebra_->fill(0, scratch.data(), n_);
    algebra_->update({.lr = -1, .clip_value = options_.clip_value},
                     {.w = scratch.data(), .g = g.data()}, n_);
    algebra_->copy(scratch.data(), g.data(), n_);
  }
}

void Optimizer::Impl::set(const StepOptions& options) {
  options_ = options;
  if (options.ema > 0) mean_ = &add_vector("ema");
}

Vector Optimizer::Impl::ema() const {
  const Turns::Look look(turns_);
  if (mean_ == nullptr) throw StateError("ema", "an optimizer with the option ema", "one without");
  if (steps_ == 0) throw StateError("ema", "a step before", "none");
  if (pending_) {
    Vector loaded(f_.device(), pending_->dtype, n_);
    loaded.from_host(pending_->vectors.at("ema"));
    return loaded;
  }
  Vector copy = make_vector();
  algebra_->copy(mean_->data(), copy.data(), n_);
  return copy;
}

Optimizer::State Optimizer::Impl::state() const {
  const Turns::Look look(turns_);
  if (pending_) return *pending_;
  State state{.vectors = {}, .scalars = scalars_, .dtype = dtype_};
  if (!algebra_) return state;
  for (const auto& [name, vector] : vectors_) state.vectors[name] = vector.to_host();
  return state;
}

void Optimizer::Impl::load_state(const State& state) {
  const Turns::Call turn(turns_);
  check_state(state);
  if (algebra_) {
    upload(state);
    after_load();
  } else {
    pending_ = state;
  }
  for (auto& [name, value] : scalars_) value = state.scalars.at(name);
}

namespace {

template <class Map>
std::string keys(const Map& map) {
  std::string text;
  for (const auto& [name, value] : map) text += (text.empty() ? "" : ", ") + name;
  return text.empty() ? "nothing" : text;
}

void check_values(const std::string& name, const std::vector<double>& values) {
  const bool second_moment = name == "u";
  for (const double v : values) {
    if (std::isfinite(v) && (v >= 0 || !second_moment)) continue;
    throw StateError(name, second_moment ? "finite values >= 0" : "finite values",
                     std::to_string(v));
  }
}

template <class A, class B>
bool same_keys(const A& a, const B& b) {
  return keys(a) == keys(b);
}

}  // namespace

// A state without vectors is that of an optimizer before its first step.
void Optimizer::Impl::check_state(const State& state) const {
  if (!same_keys(state.scalars, scalars_)) {
    throw StateError("scalars", keys(scalars_), keys(state.scalars));
  }
  for (const auto& [name, value] : state.scalars) {
    if (!(value >= 0 && std::isfinite(value))) {
      throw StateError(name, "a finite number >= 0", std::to_string(value));
    }
  }
  const double steps = state.scalars.at("step");
  if (steps != std::floor(steps) || steps > 9e15) {
    throw StateError("step", "an integer", std::to_string(steps));
  }
  check_scalars(state);
  if (state.vectors.empty() && steps == 0) return;
  if (!same_keys(state.vectors, vectors_)) {
    throw StateError("vectors", keys(vectors_), keys(state.vectors));
  }
  for (const auto& [name, values] : state.vectors) {
    const std::int64_t size = sizes_.at(name);
    if (static_cast<std::int64_t>(values.size()) != size) {
      throw StateError(name, "length " + std::to_string(size),
                       "length " + std::to_string(values.size()));
    }
    check_values(name, values);
  }
}

// All vectors are made and compared before the first replaces another, so a failure changes
// nothing.
void Optimizer::Impl::upload(const State& state) {
  std::map<std::string, Vector> loaded;
  for (const auto& [name, vector] : vectors_) {
    Vector& target = loaded[name] = make_vector(sizes_.at(name));
    if (state.vectors.empty()) continue;
    const std::vector<double>& values = state.vectors.at(name);
    target.from_host(values);
    if (target.to_host() != values) {
      throw StateError(name, "finite " + std::string(name_of(dtype_)) + " values",
                       "a value that is not");
    }
  }
  for (auto& [name, vector] : vectors_) vector = std::move(loaded.at(name));
}

}  // namespace hesscore
