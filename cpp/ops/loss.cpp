// Losses: geometry of targets, the reduction's scale, and the seeds.
#include "ops/loss.hpp"

namespace hesscore {
namespace {

using math::LossKind;

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};

void check_weights(std::string_view name, const std::vector<double>& weights) {
  for (const double w : weights) {
    if (!(w >= 0)) throw OptionError(std::string(name), "values >= 0", std::to_string(w));
  }
}

void resolve_cross_entropy(LossModel& m, const CrossEntropyLoss& l, const Shape& z) {
  if (z.empty()) throw ShapeError("network output", "(N, classes, ...)", "(N,)");
  m.spec.kind = LossKind::cross_entropy;
  m.spec.classes = z[0];
  m.spec.positions = element_count(z) / z[0];
  m.spec.has_ignore = l.ignore_index.has_value();
  m.spec.ignore_index = l.ignore_index.value_or(-1);
  m.spec.label_smoothing = l.label_smoothing;
  if (!(l.label_smoothing >= 0 && l.label_smoothing <= 1)) {
    throw OptionError("label_smoothing", "0 <= label_smoothing <= 1",
                      std::to_string(l.label_smoothing));
  }
  if (!l.weight.empty() && static_cast<std::int64_t>(l.weight.size()) != z[0]) {
    throw ShapeError("weight of CrossEntropyLoss", to_string(Shape{z[0]}),
                     to_string(Shape{static_cast<std::int64_t>(l.weight.size())}));
  }
  check_weights("weight of CrossEntropyLoss", l.weight);
  m.weights = l.weight;
  m.labels = true;
  m.soft_target = z;
  m.target = Shape(z.begin() + 1, z.end());
}

void resolve_pointwise(LossModel& m, LossKind kind, const Shape& z) {
  m.spec.kind = kind;
  m.spec.positions = element_count(z);
  m.target = z;
}

void resolve_bce(LossModel& m, const BCEWithLogitsLoss& l, const Shape& z) {
  resolve_pointwise(m, LossKind::bce_with_logits, z);
  const auto n = static_cast<std::int64_t>(l.pos_weight.size());
  if (n > 1 && n != m.spec.positions) {
    throw ShapeError("pos_weight of BCEWithLogitsLoss",
                     "one value, or " + std::to_string(m.spec.positions), std::to_string(n));
  }
  check_weights("pos_weight of BCEWithLogitsLoss", l.pos_weight);
  m.weights = l.pos_weight;
}

void resolve_gaussian(LossModel& m, const Shape& z) {
  if (z.empty() || z[0] % 2 != 0) {
    throw ShapeError("network output", "(N, 2k, ...): k means, then k log-variances",
                     "shape " + to_string(z) + " without the batch");
  }
  m.spec.kind = LossKind::gaussian_nll;
  m.spec.classes = 2;
  m.spec.positions = element_count(z) / 2;
  m.target = z;
  m.target[0] /= 2;
}

void resolve_huber(LossModel& m, const HuberLoss& l, const Shape& z) {
  resolve_pointwise(m, LossKind::huber, z);
  if (!(l.delta > 0)) throw OptionError("delta of HuberLoss", "> 0", std::to_string(l.delta));
  m.spec.delta = l.delta;
}

}  // namespace

std::string_view name_of(const Loss& loss) {
  constexpr std::string_view names[] = {"CrossEntropyLoss", "MSELoss",        "BCEWithLogitsLoss",
                                        "GaussianNLLLoss",  "PoissonNLLLoss", "HuberLoss"};
  return names[loss.index()];
}

LossModel resolve(const Loss& loss, const Shape& output) {
  LossModel m;
  std::visit(
      Overloaded{
          [&](const CrossEntropyLoss& l) { resolve_cross_entropy(m, l, output); },
          [&](const MSELoss&) { resolve_pointwise(m, LossKind::mse, output); },
          [&](const BCEWithLogitsLoss& l) { resolve_bce(m, l, output); },
          [&](const GaussianNLLLoss&) { resolve_gaussian(m, output); },
          [&](const PoissonNLLLoss&) { resolve_pointwise(m, LossKind::poisson_nll, output); },
          [&](const HuberLoss& l) { resolve_huber(m, l, output); },
      },
      loss);
  m.spec.mean = std::visit([](const auto& l) { return l.reduction == Reduction::mean; }, loss);
  m.spec.weights = static_cast<std::int64_t>(m.weights.size());
  return m;
}

LossSite::LossSite(Emit& e, const LossModel& model, Given given, In z)
    : e_(e), spec_(model.spec), z_(z) {
  spec_.samples = given.batch;
  spec_.soft = given.soft;
  const bool labels = model.labels && !given.soft;
  y_ = e.external(kPortY, labels ? sizeof(std::int64_t) : 0);
  if (given.weighted) sample_weight_ = e.external(kPortSampleWeight);
  if (!model.weights.empty()) class_weight_ = e.constant(model.weights);

  const bool data_dependent =
      spec_.mean && (given.weighted || (labels && (spec_.has_ignore || spec_.weights > 0)));
  if (data_dependent) {
    const Operand scale = e.temporary(1);
    e.call<kernels::LossScale>({y_, sample_weight_, class_weight_, scale, spec_});
    scale_ = scale;
  } else {
    const double terms = static_cast<double>(given.batch * spec_.positions);
    scale_ = e.constant({spec_.mean ? 1.0 / terms : 1.0});
  }
}

void LossSite::seed(const Seeds& to) {
  e_.call<kernels::LossSeed>(
      {z_, y_, sample_weight_, class_weight_, scale_, to.loss, to.g, to.h, to.b, to.f, spec_});
}

Operand LossSite::hessian(In dz, std::int64_t reps) {
  const Operand dg = e_.temporary(reps * size());
  e_.call<kernels::LossHessian>(
      {z_, y_, sample_weight_, class_weight_, scale_, dz, dg, reps, spec_});
  return dg;
}

Operand LossSite::columns(std::int64_t first, std::int64_t count) {
  const Operand out = e_.temporary(count * size());
  e_.call<kernels::LossColumns>(
      {z_, y_, sample_weight_, class_weight_, scale_, out, first, count, spec_});
  return out;
}

Operand LossSite::samples(In clock, std::int64_t samples) {
  const Operand out = e_.temporary(samples * size());
  e_.call<kernels::LossSample>(
      {z_, y_, sample_weight_, class_weight_, scale_, clock, out, samples, spec_});
  return out;
}

}  // namespace hesscore
