// Initial parameters: one counter-based stream for each named tensor.
#include "graph/init.hpp"

#include <algorithm>
#include <cmath>

#include "backend/lapack.hpp"
#include "math/rng.hpp"
#include "ops/kinds.hpp"
#include "ops/structural.hpp"

namespace hesscore {
namespace {

using Scheme = void (*)(const Graph&, std::size_t group, const Parameter&, std::uint64_t seed,
                        std::uint64_t stream, double* w);

math::Random draw(std::uint64_t seed, std::uint64_t stream, std::int64_t i) {
  return math::draw(math::Purpose::initial, seed, static_cast<std::uint64_t>(i), stream);
}

void fill_uniform(double bound, std::int64_t n, std::uint64_t seed, std::uint64_t stream,
                  double* w) {
  for (std::int64_t i = 0; i < n; ++i) {
    const math::Random r = draw(seed, stream, i);
    w[i] = bound * (2 * math::uniform<double>(r.a, r.b) - 1);
  }
}

void fill_normal(double deviation, std::int64_t n, std::uint64_t seed, std::uint64_t stream,
                 double* w) {
  for (std::int64_t i = 0; i < n; ++i) {
    w[i] = deviation * math::standard_normal<double>(draw(seed, stream, i));
  }
}

// Mean squared slope at zero of what acts on single elements behind the layer, up to the next layer
// with parameters or activation: the first activation, and a dropout, whose mask m / q with E m = q
// has E (m / q)^2 = 1 / q.
double slope_behind(const Graph& graph, std::size_t group) {
  std::vector<bool> behind(graph.nodes().size(), false);
  double activation = 0, dropout = 0;
  for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node& n = graph.nodes()[i];
    if (n.group == static_cast<int>(group)) {
      behind[i] = true;
      continue;
    }
    bool follows = false;
    for (const int in : n.inputs) follows = follows || behind[static_cast<std::size_t>(in)];
    if (!follows || n.group >= 0) continue;
    const auto* f = dynamic_cast<const Elementwise*>(n.op.get());
    const auto* mask = dynamic_cast<const Dropout*>(n.op.get());
    behind[i] = f == nullptr || activation == 0;
    if (f != nullptr && activation == 0) {
      const double s = f->mean_square_slope();
      activation = s > 1e-12 ? s : 1;
    }
    if (mask != nullptr && dropout == 0) dropout = mask->mean_square();
  }
  return (activation > 0 ? activation : 1) * (dropout > 0 ? dropout : 1);
}

void orthogonal(const Graph&, std::size_t, const Parameter& p, std::uint64_t seed,
                std::uint64_t stream, double* w) {
  fill_normal(1, p.size, seed, stream, w);
  lapack::qr_orthonormal(w, p.shape[0], p.size / p.shape[0]);
}

Scheme find_scheme(std::string_view name) {
  if (name == "default") {
    return [](const Graph&, std::size_t, const Parameter& p, auto seed, auto stream, double* w) {
      fill_uniform(1 / std::sqrt(static_cast<double>(p.fan_in)), p.size, seed, stream, w);
    };
  }
  if (name == "xavier") {
    return [](const Graph&, std::size_t, const Parameter& p, auto seed, auto stream, double* w) {
      fill_uniform(std::sqrt(6.0 / static_cast<double>(p.fan_in + p.fan_out)), p.size, seed, stream,
                   w);
    };
  }
  if (name == "he" || name == "kaiming") {
    return [](const Graph&, std::size_t, const Parameter& p, auto seed, auto stream, double* w) {
      fill_normal(std::sqrt(2.0 / static_cast<double>(p.fan_in)), p.size, seed, stream, w);
    };
  }
  if (name == "lecun") {
    return [](const Graph&, std::size_t, const Parameter& p, auto seed, auto stream, double* w) {
      fill_normal(std::sqrt(1.0 / static_cast<double>(p.fan_in)), p.size, seed, stream, w);
    };
  }
  if (name == "orthogonal") return orthogonal;
  if (name == "hessian") {
    return [](const Graph& g, std::size_t group, const Parameter& p, auto seed, auto stream,
              double* w) {
      const double fans = static_cast<double>(p.fan_in + p.fan_out);
      fill_normal(std::sqrt(2 / (slope_behind(g, group) * fans)), p.size, seed, stream, w);
    };
  }
  throw OptionError("scheme", "default, xavier, he, lecun, orthogonal or hessian",
                    "'" + std::string(name) + "'");
}

}  // namespace

std::vector<double> initial_parameters(const Graph& graph, std::uint64_t seed,
                                       std::string_view scheme) {
  const Scheme fill = find_scheme(scheme);
  std::vector<double> w(static_cast<std::size_t>(graph.num_params()), 0.0);
  for (std::size_t group = 0; group < graph.groups().size(); ++group) {
    for (const int id : graph.groups()[group].ids) {
      const Parameter& p = graph.parameters()[static_cast<std::size_t>(id)];
      double* const begin = w.data() + p.offset;
      const auto stream = static_cast<std::uint64_t>(id);
      if (p.start == Start::ones) std::fill_n(begin, p.size, 1.0);
      if (p.start == Start::standard_normal) fill_normal(1, p.size, seed, stream, begin);
      if (p.zero_row >= 0) {
        const std::int64_t row = p.size / p.shape[0];
        std::fill_n(begin + p.zero_row * row, row, 0.0);
      }
      if (p.start != Start::scheme) continue;
      const bool bias = p.shape.size() < 2;
      if (bias && scheme != "default") continue;
      fill(graph, group, p, seed, stream, begin);
    }
  }
  return w;
}

}  // namespace hesscore
