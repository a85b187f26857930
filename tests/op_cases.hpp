// THE TABLE: one row for each op configuration. Every row runs through all the checks of
// test_ops.cpp on each device, in float64 and float32. A family of ops has a file in op_cases/.
#pragma once

#include "math/activations.hpp"
#include "op_cases/convolutions.hpp"
#include "op_cases/embedding.hpp"
#include "op_cases/norms.hpp"
#include "op_cases/op_case.hpp"
#include "op_cases/pooling.hpp"
#include "op_cases/structure.hpp"

namespace op_cases {

inline double activate(std::int32_t id, double x) {
  double y = 0;
  hc::math::dispatch(id, [&](auto rule) { y = rule.at(x, hc::math::kActivations[id].alpha).f; });
  return y;
}

inline std::vector<OpCase> linear_cases() {
  return {
      {"Linear",
       {5},
       [](auto& b, int x) { return b.linear(x, 3); },
       [](auto& w, auto& x) { return affine(w, 0, x, 5, 3); },
       true},
      {"Linear without bias",
       {5},
       [](auto& b, int x) { return b.linear(x, 3, false); },
       [](auto& w, auto& x) { return affine(w, 0, x, 5, 3, false); },
       true},
      {"Linear, one input, one output",
       {1},
       [](auto& b, int x) { return b.linear(x, 1); },
       [](auto& w, auto& x) { return affine(w, 0, x, 1, 1); },
       true},
      {"Linear on positions",
       {4, 3},
       [](auto& b, int x) { return b.linear(x, 2); },
       [](auto& w, auto& x) { return affine(w, 0, x, 3, 2); },
       true},
      {"Linear used twice",
       {3},
       [](auto& b, int x) {
         const auto layer = b.make_linear(3, 3);
         return b.call(layer, b.tanh(b.call(layer, x)));
       },
       [](auto& w, auto& x) {
         return affine(w, 0, map(affine(w, 0, x, 3, 3), [](double v) { return std::tanh(v); }), 3,
                       3);
       }},
      {"three layers",
       {4},
       [](auto& b, int x) { return b.linear(b.sigmoid(b.linear(b.tanh(b.linear(x, 5)), 4)), 3); },
       [](auto& w, auto& x) {
         const Values h = map(affine(w, 0, x, 4, 5), [](double v) { return std::tanh(v); });
         const Values k =
             map(affine(w, 25, h, 5, 4), [](double v) { return 1 / (1 + std::exp(-v)); });
         return affine(w, 49, k, 4, 3);
       }},
  };
}

inline std::vector<OpCase> structural_cases() {
  const auto three = [](auto& w, auto& x) { return affine(w, 0, x, 4, 3); };
  return {
      {"Flatten", {2, 2}, [](auto& b, int x) { return b.linear(b.flatten(x), 3); }, three, true},
      {"Identity",
       {4},
       [](auto& b, int x) { return b.identity(b.linear(b.identity(x), 3)); },
       three,
       true},
      {"Dropout in evaluation",
       {4},
       [](auto& b, int x) { return b.dropout(b.linear(x, 3), 0.5); },
       three,
       true},
      {"Add of two layers",
       {4},
       [](auto& b, int x) { return b.add({b.linear(x, 3), b.linear(x, 3)}); },
       [](auto& w, auto& x) {
         Values y = affine(w, 0, x, 4, 3), z = affine(w, 15, x, 4, 3);
         for (std::size_t i = 0; i < 3; ++i) y[i] += z[i];
         return y;
       },
       true},
      {"residual",
       {4},
       [](auto& b, int x) {
         const int h = b.linear(x, 4);
         return b.linear(b.add({h, b.tanh(h)}), 3);
       },
       [](auto& w, auto& x) {
         const Values h = affine(w, 0, x, 4, 4);
         return affine(w, 20, map(h, [](double v) { return v + std::tanh(v); }), 4, 3);
       }},
      {"Concat",
       {2, 2},
       [](auto& b, int x) { return b.concat({b.linear(x, 1), x, b.linear(x, 2)}, 2); },
       [](auto& w, auto& x) {
         const Values p = affine(w, 0, x, 2, 1), q = affine(w, 3, x, 2, 2);
         Values y;
         for (std::size_t t = 0; t < 2; ++t) {
           y.insert(y.end(), {p[t], x[2 * t], x[2 * t + 1], q[2 * t], q[2 * t + 1]});
         }
         return y;
       }},
      {"gate",
       {3},
       [](auto& b, int x) {
         const int h = b.linear(x, 3);
         return b.linear(b.multiply(h, b.sigmoid(b.linear(h, 3))), 2);
       },
       [](auto& w, auto& x) {
         Values h = affine(w, 0, x, 3, 3);
         const Values s = affine(w, 12, h, 3, 3);
         for (std::size_t i = 0; i < 3; ++i) h[i] /= 1 + std::exp(-s[i]);
         return affine(w, 24, h, 3, 2);
       }},
      {"a node times itself",
       {3},
       [](auto& b, int x) {
         const int h = b.linear(x, 2);
         return b.multiply(h, h);
       },
       [](auto& w, auto& x) { return map(affine(w, 0, x, 3, 2), [](double v) { return v * v; }); }},
  };
}

// Every activation right under the loss and between two layers.
inline std::vector<OpCase> activation_cases() {
  std::vector<OpCase> rows;
  for (std::int32_t id = 0; id < hc::math::kActivationCount; ++id) {
    const std::string name = hc::math::kActivations[id].name;
    const auto f = [id](double v) { return activate(id, v); };
    rows.push_back({name + " under the loss",
                    {3},
                    [name](auto& b, int x) { return b.activation(b.linear(x, 2), name); },
                    [f](auto& w, auto& x) { return map(affine(w, 0, x, 3, 2), f); }});
    rows.push_back(
        {name,
         {3},
         [name](auto& b, int x) { return b.linear(b.activation(b.linear(x, 4), name), 2); },
         [f](auto& w, auto& x) { return affine(w, 16, map(affine(w, 0, x, 3, 4), f), 4, 2); }});
  }
  return rows;
}

inline std::vector<OpCase> all() {
  std::vector<OpCase> rows = linear_cases();
  for (auto&& more : {structural_cases(), activation_cases(), convolution_cases(), norm_cases(),
                      pooling_cases(), structure_cases(), embedding_cases()}) {
    rows.insert(rows.end(), more.begin(), more.end());
  }
  return rows;
}

}  // namespace op_cases
