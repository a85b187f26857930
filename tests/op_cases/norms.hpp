// Op cases of normalisations in evaluation. Training-mode batch norm: tests/test_norms.cpp.
#pragma once

#include "op_case.hpp"

namespace op_cases {

// y = w xhat + b of one sample: `at(s, k)` is where number k of statistics s lies, `weight` which
// weight a place has.
struct PlainNorm {
  std::size_t statistics, count;
  std::function<std::size_t(std::size_t s, std::size_t k)> at;
  std::function<std::size_t(std::size_t place)> weight;
  bool centred = true;
  double eps = 1e-5;

  Values operator()(const Values& x) const {
    Values y(x.size());
    for (std::size_t s = 0; s < statistics; ++s) {
      double mean = 0, square = 0;
      const auto n = static_cast<double>(count);
      for (std::size_t k = 0; k < count && centred; ++k) mean += x[at(s, k)] / n;
      for (std::size_t k = 0; k < count; ++k) square += std::pow(x[at(s, k)] - mean, 2) / n;
      for (std::size_t k = 0; k < count; ++k) {
        y[at(s, k)] = (x[at(s, k)] - mean) / std::sqrt(square + eps);
      }
    }
    return y;
  }
  Values operator()(const Values& x, const Values& w, std::size_t begin, std::size_t weights,
                    bool bias = true) const {
    Values y = (*this)(x);
    for (std::size_t i = 0; i < y.size(); ++i) {
      y[i] = y[i] * w[begin + weight(i)] + (bias ? w[begin + weights + weight(i)] : 0.0);
    }
    return y;
  }
};

inline PlainNorm plain_rows(std::size_t rows, std::size_t size, bool centred = true,
                            double eps = 1e-5) {
  return {rows,
          size,
          [size](std::size_t s, std::size_t k) { return s * size + k; },
          [size](std::size_t i) { return i % size; },
          centred,
          eps};
}

// Images (C, positions), groups of channels.
inline PlainNorm plain_groups(std::size_t groups, std::size_t channels, std::size_t positions) {
  const std::size_t count = channels / groups * positions;
  return {groups, count, [count](std::size_t s, std::size_t k) { return s * count + k; },
          [positions](std::size_t i) { return i / positions; }};
}

inline Values scaled(const Values& x, double factor) {
  return map(x, [factor](double v) { return factor * v; });
}

inline std::vector<OpCase> norm_cases() {
  return {
      {"LayerNorm alone",
       {6},
       [](auto& b, int x) { return b.call(b.make_layer_norm({6}), x); },
       [](auto& w, auto& x) { return plain_rows(1, 6)(x, w, 0, 6); },
       true},
      {"LayerNorm",
       {5},
       [](auto& b, int x) {
         return b.linear(b.tanh(b.call(b.make_layer_norm({4}), b.linear(x, 4))), 2);
       },
       [](auto& w, auto& x) {
         const Values h = plain_rows(1, 4)(affine(w, 0, x, 5, 4), w, 24, 4);
         return affine(w, 32, map(h, [](double v) { return std::tanh(v); }), 4, 2);
       }},
      {"LayerNorm on positions, without bias",
       {3, 2},
       [](auto& b, int x) {
         return b.call(b.make_layer_norm({5}, {.eps = 1e-2, .bias = false}), b.linear(x, 5));
       },
       [](auto& w, auto& x) {
         return plain_rows(3, 5, true, 1e-2)(affine(w, 0, x, 2, 5), w, 15, 5, false);
       }},
      {"LayerNorm over two axes, without weights",
       {3, 2},
       [](auto& b, int x) {
         return b.linear(b.call(b.make_layer_norm({3, 4}, {.affine = false}), b.linear(x, 4)), 2);
       },
       [](auto& w, auto& x) {
         return affine(w, 12, plain_rows(1, 12)(affine(w, 0, x, 2, 4)), 4, 2);
       }},
      {"LayerNorm of many numbers, used twice",
       {70},
       [](auto& b, int x) {
         const auto layer = b.make_layer_norm({70});
         return b.linear(b.call(layer, b.tanh(b.call(layer, x))), 1);
       },
       [](auto& w, auto& x) {
         const PlainNorm norm = plain_rows(1, 70);
         const Values h = map(norm(x, w, 0, 70), [](double v) { return std::tanh(v); });
         return affine(w, 140, norm(h, w, 0, 70), 70, 1);
       }},
      {"RMSNorm",
       {2, 3},
       [](auto& b, int x) { return b.call(b.make_rms_norm({4}, {.eps = 1e-3}), b.linear(x, 4)); },
       [](auto& w, auto& x) {
         return plain_rows(2, 4, false, 1e-3)(affine(w, 0, x, 3, 4), w, 16, 4, false);
       }},
      {"RMSNorm without weights",
       {3},
       [](auto& b, int x) {
         return b.linear(
             b.call(b.make_rms_norm({40}, {.eps = 1e-3, .affine = false}), b.linear(x, 40)), 2);
       },
       [](auto& w, auto& x) {
         return affine(w, 160, plain_rows(1, 40, false, 1e-3)(affine(w, 0, x, 3, 40)), 40, 2);
       }},
      {"GroupNorm on vectors",
       {3},
       [](auto& b, int x) { return b.linear(b.call(b.make_group_norm(2, 6), b.linear(x, 6)), 2); },
       [](auto& w, auto& x) {
         return affine(w, 36, plain_groups(2, 6, 1)(affine(w, 0, x, 3, 6), w, 24, 6), 6, 2);
       }},
      {"GroupNorm on images",
       {4, 3, 2},
       [](auto& b, int x) { return b.call(b.make_group_norm(2, 4), b.tanh(b.linear(x, 2))); },
       [](auto& w, auto& x) {
         const Values h = map(affine(w, 0, x, 2, 2), [](double v) { return std::tanh(v); });
         return plain_groups(2, 4, 6)(h, w, 6, 4);
       }},
      {"GroupNorm with long groups",
       {80, 2},
       [](auto& b, int x) { return b.linear(b.call(b.make_group_norm(2, 80), x), 1); },
       [](auto& w, auto& x) { return affine(w, 160, plain_groups(2, 80, 2)(x, w, 0, 80), 2, 1); }},
      {"InstanceNorm",
       {3, 4},
       [](auto& b, int x) {
         return b.linear(b.call(b.make_instance_norm(1, 3), b.linear(x, 4)), 2);
       },
       [](auto& w, auto& x) {
         return affine(w, 20, plain_groups(3, 3, 4)(affine(w, 0, x, 4, 4)), 4, 2);
       }},
      {"BatchNorm in evaluation",
       {3},
       [](auto& b, int x) {
         return b.linear(b.tanh(b.call(b.make_batch_norm(1, 4), b.linear(x, 4))), 2);
       },
       [](auto& w, auto& x) {
         Values h = scaled(affine(w, 0, x, 3, 4), 1 / std::sqrt(1 + 1e-5));
         for (std::size_t i = 0; i < 4; ++i) h[i] = std::tanh(h[i] * w[16 + i] + w[20 + i]);
         return affine(w, 24, h, 4, 2);
       }},
      {"BatchNorm of images in evaluation, without weights",
       {2, 3, 2},
       [](auto& b, int x) {
         return b.call(b.make_batch_norm(2, 2, {.eps = 0.5, .affine = false}), b.linear(x, 2));
       },
       [](auto& w, auto& x) { return scaled(affine(w, 0, x, 2, 2), 1 / std::sqrt(1.5)); },
       true},
  };
}

}  // namespace op_cases
