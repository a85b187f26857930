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

inline Values map(const Values& x, const std::function<double(double)>& f) {
  Values y;
  for (const double v : x) y.push_back(f(v));
  return y;
}

}  // namespace op_cases
