// A classification problem on a device, and the methods whose steps it takes by itself.
#pragma once

#include <algorithm>

#include "optim_problems.hpp"

inline constexpr std::int64_t kRows = 142, kBatch = 4;  // 35 batches of 4, and one of 2
inline constexpr std::int64_t kWidth = 16;

template <class F>
void on_devices(F body) {
  for (const std::string& name : devices()) {
    if (name == "cpu") continue;
    const int before = check::failures;
    body(device(name));
    if (check::failures > before) std::printf("  (on %s)\n", name.c_str());
  }
}

inline std::vector<Method> element_wise_methods() {
  std::vector<Method> methods;
  for (const Method& method : all_methods()) {
    const bool solves =
        std::holds_alternative<GaussNewton>(method) ||
        std::holds_alternative<HessianFree>(method) ||
        std::holds_alternative<TrustRegion>(method) || std::holds_alternative<Newton>(method) ||
        std::holds_alternative<Lbfgs>(method) || std::holds_alternative<ReplicaNewton>(method) ||
        std::holds_alternative<Kfac>(method);
    if (!solves) methods.push_back(method);
  }
  return methods;
}

inline Vector on_host(const Numbers& values, DType dtype) {
  Vector v(device("cpu"), dtype, static_cast<std::int64_t>(values.size()));
  v.from_host(values);
  return v;
}

inline Graph net(double dropout) {
  GraphBuilder b;
  int h = b.tanh(b.linear(b.input({kWidth}), 5));
  if (dropout > 0) h = b.dropout(h, dropout);
  return b.finish(b.linear(h, 4), CrossEntropyLoss{});
}

inline Graph linear_net() {
  GraphBuilder b;
  return b.finish(b.linear(b.input({kWidth}), 4), CrossEntropyLoss{});
}

// Sixteen numbers into one of four classes, weighted samples.
struct Classification {
  explicit Classification(Device& device, DType dtype_ = DType::f32, Graph graph = net(0.2),
                          std::int64_t samples = kRows)
      : f(std::move(graph), device, dtype_),
        rows(samples),
        dtype(dtype_),
        host_x(on_host(random_numbers(rows * kWidth, 1), dtype)),
        host_s(on_host(Numbers(static_cast<std::size_t>(rows), 0.5), dtype)),
        x(moved(host_x)),
        s(moved(host_s)),
        y(device, static_cast<std::size_t>(rows) * sizeof(std::int64_t)) {
    for (std::int64_t i = 0; i < rows; ++i) labels.push_back(i * i % 4);
    device.from_host(y.data(), labels.data(), y.bytes());
  }

  Vector moved(const Vector& v) const {
    Vector copy(f.device(), v.dtype(), v.size());
    copy.from_host(v.to_host());
    return copy;
  }
  Batch batch(std::int64_t first, std::int64_t n) const {
    const auto at = [&](const Vector& v, std::int64_t width) {
      return v.as<std::byte>() + static_cast<std::size_t>(first * width) * size_of(dtype);
    };
    return {View(at(x, kWidth), dtype, {n, kWidth}),
            View(static_cast<std::int64_t*>(y.data()) + first, DType::i64, {n}),
            View(at(s, 1), dtype, {n})};
  }
  Batch data() const { return batch(0, rows); }
  Batch host_data() const {
    return {View(host_x.data(), dtype, {rows, kWidth}), View(labels.data(), DType::i64, {rows}),
            View(host_s.data(), dtype, {rows})};
  }
  Vector start() const { return f.init(3); }

  // One epoch in order, step by step.
  Numbers epoch_by_steps(Optimizer& opt, const Vector& w, std::int64_t first = 0) const {
    Numbers losses;
    for (std::int64_t i = first * kBatch; i < rows; i += kBatch) {
      losses.push_back(opt.step(w, batch(i, std::min(kBatch, rows - i))).loss);
    }
    return losses;
  }

  Objective f;
  std::int64_t rows;
  DType dtype;
  Vector host_x, host_s, x, s;
  std::vector<std::int64_t> labels;
  Buffer y;
};

inline const StepOptions kByNorm{.clip_norm = 0.2, .ema = 0.75};
inline const StepOptions kByValue{.clip_value = 0.02, .ema = 0.75};

inline RunOptions in_order(std::int64_t steps_per_launch) {
  return {.batch_size = kBatch,
          .shuffle = false,
          .steps_per_launch = steps_per_launch,
          .every_step = false};
}

struct Reports {
  Numbers losses;
  std::vector<std::int64_t> steps;
  bool operator()(const StepInfo& info) {
    losses.push_back(info.loss);
    steps.push_back(info.step);
    return false;
  }
};
