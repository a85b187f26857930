// The secular equation (More & Sorensen 1983) in the eigenbasis.
#include "solve/trust_subspace.hpp"

#include <algorithm>
#include <cmath>

namespace hesscore {
namespace {

constexpr double kRounding = 0x1p-52;

// Unknown is mu = multiplier - least, with e = d + least >= 0 exact where it matters: near the
// pole.
struct Secular {
  std::vector<double> e;
  const std::vector<double>& c;

  // ||y(mu)|| and its derivative; poles without weight do not count.
  double norm(double mu, double* slope = nullptr) const {
    double squares = 0, cubes = 0;
    for (std::size_t i = 0; i < c.size(); ++i) {
      if (c[i] == 0) continue;
      const double below = e[i] + mu, y = c[i] / below;
      squares += y * y;
      cubes += y * y / below;
    }
    const double size = std::sqrt(squares);
    if (slope != nullptr) *slope = size > 0 ? -cubes / size : 0;
    return size;
  }

  // Newton's method for 1 / ||y|| = 1 / radius, which is concave: from below it does not overshoot.
  double root(double radius) const {
    double low = 0, high = 0;
    for (std::size_t i = 0; i < c.size(); ++i) {
      low = std::max(low, std::fabs(c[i]) / radius - e[i]);
      high = std::hypot(high, c[i]);
    }
    high = std::max(high / radius, low);
    double mu = low;
    for (int i = 0; i < 200; ++i) {
      double slope = 0;
      const double size = norm(mu, &slope);
      if (!(std::fabs(size - radius) > 4 * kRounding * radius)) break;
      (size > radius ? low : high) = mu;
      double next = mu + (radius - size) * size / (radius * slope);
      if (!(next > low && next < high)) next = (low + high) / 2;
      if (next == mu) break;
      mu = next;
    }
    return mu;
  }
};

}  // namespace

TrustSolution solve_trust_region(const std::vector<double>& d_in, const std::vector<double>& c_in,
                                 double radius, double epsilon) {
  TrustSolution s;
  s.y.assign(d_in.size(), 0);
  if (d_in.empty()) return s;
  std::vector<double> d = d_in, c = c_in;
  double g = 0;
  for (const double x : c) g = std::hypot(g, x);
  const double scale = std::max(std::fabs(d.front()), std::fabs(d.back()));
  for (double& x : d) {  // semidefinite but for rounding
    if (std::fabs(x) <= 8 * epsilon * scale) x = 0;
  }
  const double least = std::max(0.0, -d.front());
  Secular equation{d, c};
  for (std::size_t i = 0; i < d.size(); ++i) {
    if (least > 0) equation.e[i] = d[i] - d.front();
    // singular or at the pole, and of no weight but by rounding
    if (equation.e[i] <= kRounding * scale && std::fabs(c[i]) <= 8 * epsilon * g) c[i] = 0;
  }
  double mu = 0;
  if (const double size = equation.norm(0); !(size <= radius)) {
    mu = equation.root(radius);
    s.on_boundary = true;
  }
  s.multiplier = least + mu;
  double squares = 0;
  for (std::size_t i = 0; i < d.size(); ++i) {
    if (c[i] != 0) s.y[i] = -c[i] / (equation.e[i] + mu);
    squares += s.y[i] * s.y[i];
  }
  if (!s.on_boundary && least > 0) {  // (d + least I) is singular: along its null vector
    s.y[0] += std::sqrt(std::max(radius * radius - squares, 0.0));
    s.on_boundary = s.hard_case = true;
  }
  for (std::size_t i = 0; i < d.size(); ++i) s.model += s.y[i] * (c_in[i] + d[i] * s.y[i] / 2);
  return s;
}

}  // namespace hesscore
