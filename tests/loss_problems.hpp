// For tests of the loss kernels: every loss on a small batch, and its value in textbook form.
#pragma once

#include <vector>

#include "kernel_tables.hpp"

namespace loss_problems {

using namespace hesscore;
using check::Guarded;
using math::LossKind;
using math::LossSpec;

// A loss on a small batch.
template <class T>
struct Problem {
  const KernelTable& table;
  LossSpec spec;
  std::int64_t size;  // of z
  Guarded<T> z, values, sample_weight, class_weight, scale;
  Guarded<std::int64_t> labels;
  bool weighted;

  Problem(const KernelTable& t, const LossSpec& s, bool with_weights)
      : table(t),
        spec(s),
        size(s.samples * s.classes * s.positions),
        z(size, 1),
        values(size, 2),
        sample_weight(s.samples, 3),
        class_weight(s.weights, 4),
        scale(1, 5),
        labels(s.samples * s.positions, 6),
        weighted(with_weights) {
    for (std::int64_t i = 0; i < s.samples; ++i) sample_weight[i] = T((i * 5) % 4) / 2;  // one is 0
    for (std::int64_t i = 0; i < s.weights; ++i)
      class_weight[i] = std::fabs(class_weight[i]) + T(0.2);
    for (std::int64_t i = 0; i < labels.size(); ++i) {
      labels[i] = s.has_ignore && i % 5 == 1 ? s.ignore_index : (i * 7) % s.classes;
    }
    const bool probability = s.kind == LossKind::bce_with_logits || s.soft;
    for (std::int64_t i = 0; i < size; ++i) {
      if (probability || s.kind == LossKind::poisson_nll) values[i] = std::fabs(values[i]) / 2;
    }
    find_scale();
  }

  template <class Key>
  void call(const typename Key::Args& args) {
    check::run<Key, T>(table, args);
  }
  void find_scale() { call<kernels::LossScale>({y(), sw(), cw(), scale.out(), spec}); }

  bool uses_labels() const { return spec.kind == LossKind::cross_entropy && !spec.soft; }
  In y() { return uses_labels() ? labels.in() : values.in(); }
  In sw() { return weighted ? sample_weight.in() : In(); }
  In cw() { return spec.weights > 0 ? class_weight.in() : In(); }

  // s_n, times w_y and [not ignored] for labels: the weight of a position in the mean
  double sample(std::int64_t n) const { return weighted ? double(sample_weight[n]) : 1.0; }
  double in_mean(std::int64_t n, std::int64_t d) const {
    if (!uses_labels()) return sample(n);
    const std::int64_t c = labels[n * spec.positions + d];
    if (spec.has_ignore && c == spec.ignore_index) return 0;
    return sample(n) * (spec.weights > 0 ? double(class_weight[c]) : 1.0);
  }
  double expected_scale() const {
    double sum = 0;
    for (std::int64_t n = 0; n < spec.samples; ++n) {
      for (std::int64_t d = 0; d < spec.positions; ++d) sum += in_mean(n, d);
    }
    return spec.mean ? 1 / sum : 1;
  }

  // l at position (n, d), in plain textbook form
  double position(std::int64_t n, std::int64_t d, const std::vector<double>& at) const {
    const std::int64_t C = spec.classes, D = spec.positions, q = n * D + d;
    const auto logit = [&](std::int64_t c) {
      return at[static_cast<std::size_t>((n * C + c) * D + d)];
    };
    const double x = logit(0), t = double(values[q]), r = x - t;
    switch (spec.kind) {
      case LossKind::mse:
        return r * r;
      case LossKind::poisson_nll:
        return std::exp(x) - t * x;
      case LossKind::huber:
        return std::fabs(r) < spec.delta ? r * r / 2 : spec.delta * (std::fabs(r) - spec.delta / 2);
      case LossKind::bce_with_logits: {
        const double p = spec.weights == 0 ? 1 : double(class_weight[spec.weights == 1 ? 0 : d]);
        const double s = 1 / (1 + std::exp(-x));
        return -p * t * std::log(s) - (1 - t) * std::log(1 - s);
      }
      case LossKind::gaussian_nll:
        return 0.5 * (logit(1) + (x - t) * (x - t) / std::exp(logit(1)));
      case LossKind::cross_entropy:
        break;
    }
    double sum = 0, loss = 0;
    for (std::int64_t c = 0; c < C; ++c) sum += std::exp(logit(c));
    if (in_mean(n, d) == 0 && sample(n) != 0) return 0;
    for (std::int64_t c = 0; c < C; ++c) {
      const double w = spec.weights > 0 ? double(class_weight[c]) : 1.0;
      const double share = spec.soft ? double(values[(n * C + c) * D + d]) : labels[q] == c;
      const double target = (1 - spec.label_smoothing) * share + spec.label_smoothing / double(C);
      loss -= w * target * std::log(std::exp(logit(c)) / sum);
    }
    return loss;
  }

  double value(const std::vector<double>& at) const {
    double sum = 0;
    for (std::int64_t n = 0; n < spec.samples; ++n) {
      for (std::int64_t d = 0; d < spec.positions; ++d) {
        sum += expected_scale() * sample(n) * position(n, d, at);
      }
    }
    return sum;
  }

  std::vector<double> logits() const {
    std::vector<double> at;
    for (std::int64_t i = 0; i < size; ++i) at.push_back(double(z[i]));
    return at;
  }

  void seed(Out loss, Out g, Out h, Out b, Out f) {
    call<kernels::LossSeed>({z.in(), y(), sw(), cw(), scale.in(), loss, g, h, b, f, spec});
  }
  void hessian(In dz, Out dg, std::int64_t reps) {
    call<kernels::LossHessian>({z.in(), y(), sw(), cw(), scale.in(), dz, dg, reps, spec});
  }
  void columns(Out out, std::int64_t first, std::int64_t count) {
    call<kernels::LossColumns>({z.in(), y(), sw(), cw(), scale.in(), out, first, count, spec});
  }
  void samples(Out out, std::int64_t count, std::int64_t seed) {
    Guarded<std::int64_t> clock(1, 0);
    clock[0] = seed;
    call<kernels::LossSample>({z.in(), y(), sw(), cw(), scale.in(), clock.in(), out, count, spec});
  }
};

inline std::vector<LossSpec> all_losses() {
  std::vector<LossSpec> specs;
  for (const std::int64_t positions : {1, 3, 19}) {
    for (const bool mean : {true, false}) {
      const LossSpec base{.samples = 7, .positions = positions, .mean = mean};
      LossSpec s = base;
      for (const LossKind kind : {LossKind::mse, LossKind::poisson_nll, LossKind::huber}) {
        s.kind = kind, s.delta = 1.3;
        specs.push_back(s);
      }
      s.kind = LossKind::gaussian_nll, s.classes = 2;
      specs.push_back(s);
      s = base, s.kind = LossKind::bce_with_logits;
      for (const std::int64_t weights : {std::int64_t{0}, std::int64_t{1}, positions}) {
        s.weights = weights;
        specs.push_back(s);
      }
      s = base, s.kind = LossKind::cross_entropy, s.classes = 5;
      specs.push_back(s);
      s.weights = 5, s.label_smoothing = 0.1;
      specs.push_back(s);
      s.has_ignore = true;
      specs.push_back(s);
      s.has_ignore = false, s.soft = true;
      specs.push_back(s);
    }
  }
  return specs;
}

// Cross-entropy in shapes that a device may share out in different ways.
inline std::vector<LossSpec> softmax_shapes() {
  std::vector<LossSpec> specs;
  for (const std::int64_t classes : {1, 2, 10, 31, 32, 33, 100, 257, 1000, 1025}) {
    for (const std::int64_t positions : {1, 3, 37}) {
      LossSpec s{.kind = LossKind::cross_entropy, .classes = classes, .positions = positions};
      s.samples = classes * positions > 3000 ? 1 : (positions == 1 ? 70 : 5);
      const std::size_t option = specs.size() % 5;
      s.mean = option == 2;
      s.label_smoothing = option == 1 || option == 4 ? 0.1 : 0;
      s.weights = option >= 2 ? classes : 0;
      s.has_ignore = option == 2;
      s.soft = option == 4;
      specs.push_back(s);
    }
  }
  return specs;
}

// body(problem) for every loss, with and without sample weights, on every table
template <class F>
void for_problems(F body) {
  check::for_tables([&](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    for (const LossSpec& spec : all_losses()) {
      for (const bool weights : {false, true}) {
        Problem<T> problem(table, spec, weights);
        const int before = check::failures;
        body(problem, zero);
        if (check::failures == before) continue;
        std::printf("  (loss %d, D = %d, mean %d, soft %d, ignore %d, %d weights)\n",
                    int(spec.kind), int(spec.positions), int(spec.mean), int(spec.soft),
                    int(spec.has_ignore), int(spec.weights));
      }
    }
  });
}

// As far apart as rounding explains, in units of the largest value.
template <class T, class R>
void expect_near(const char* what, const Guarded<T>& y, const Guarded<R>& reference,
                 double tolerance) {
  double largest = 0;
  for (std::int64_t i = 0; i < y.size(); ++i) {
    largest = std::fmax(largest, std::fabs(double(reference[i])));
  }
  for (std::int64_t i = 0; i < y.size(); ++i) {
    if (std::fabs(double(y[i]) - double(reference[i])) <= tolerance * largest) continue;
    check::fail(what, static_cast<int>(i),
                std::to_string(double(y[i])) + " instead of " + std::to_string(reference[i]));
    return;
  }
}

template <class T>
inline constexpr double kTolerance = sizeof(T) == 4 ? 3e-6 : 1e-8;

}  // namespace loss_problems
