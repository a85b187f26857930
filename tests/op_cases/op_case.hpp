// A row of the table of op cases, and what naive networks are written with.
#pragma once

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "../test_device.hpp"
#include "hesscore/graph.hpp"

namespace op_cases {

namespace hc = hesscore;
using Values = check::Array<double>;

struct OpCase {
  std::string name;
  hc::Shape input;
  // Adds the op to the builder; returns its node.
  std::function<int(hc::GraphBuilder&, int x)> build;
  // The network output of one sample, by plain loops.
  std::function<Values(const Values& w, const Values& x)> naive;
  bool hesscale_exact = false;  // is HesScale the exact Hessian diagonal here?
  std::int64_t tokens = 0;      // the input is integers in 0..tokens-1
};

// y = W x + b for rows of `in` values.
inline Values affine(const Values& w, std::size_t at, const Values& x, std::size_t in,
                     std::size_t out, bool bias = true) {
  Values y;
  for (std::size_t t = 0; t * in < x.size(); ++t) {
    for (std::size_t o = 0; o < out; ++o) {
      double s = bias ? w[at + out * in + o] : 0;
      for (std::size_t i = 0; i < in; ++i) s += w[at + o * in + i] * x[t * in + i];
      y.push_back(s);
    }
  }
  return y;
}

inline std::size_t count_of(const hc::Shape& shape) {
  return static_cast<std::size_t>(hc::element_count(shape));
}

inline Values map(const Values& x, const std::function<double(double)>& f) {
  Values y;
  for (const double v : x) y.push_back(f(v));
  return y;
}

using Build = std::function<int(hc::GraphBuilder&, int x)>;
using Naive = std::function<Values(const Values& x)>;

// A layer without parameters between two layers with them: Linear on the last axis, which keeps its
// size, tanh, the layer, Linear to 3.
inline OpCase between(std::string name, const hc::Shape& shape, Build layer, Naive naive) {
  const auto n = static_cast<std::size_t>(shape.back());
  return {name, shape,
          [layer, shape](auto& b, int x) {
            const int h = layer(b, b.tanh(b.linear(x, shape.back())));
            return b.linear(b.flatten(h), 3);
          },
          [naive, n](auto& w, auto& x) {
            const Values y =
                naive(map(affine(w, 0, x, n, n), [](double v) { return std::tanh(v); }));
            return affine(w, n * (n + 1), y, y.size(), 3);
          }};
}

// The layer under the loss, on a Linear of the last axis. Where every output follows from one
// position of the other axes, HesScale is exact.
inline OpCase under_loss(std::string name, const hc::Shape& shape, Build layer, Naive naive) {
  const auto n = static_cast<std::size_t>(shape.back());
  return {name + " under the loss", shape,
          [layer, shape](auto& b, int x) { return layer(b, b.linear(x, shape.back())); },
          [naive, n](auto& w, auto& x) { return naive(affine(w, 0, x, n, n)); }, true};
}

}  // namespace op_cases
