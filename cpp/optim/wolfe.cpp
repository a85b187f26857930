// The strong Wolfe conditions: bracketing, then zooming in by cubic interpolation.
#include "optim/wolfe.hpp"

#include <algorithm>
#include <cmath>

namespace hesscore {
namespace {

// The minimum of the cubic through values and slopes at two points (equation 3.59), or their middle
// where there is none; not closer to either than a tenth of their distance.
double between(const WolfePoint& a, const WolfePoint& b) {
  const double middle = 0.5 * (a.t + b.t), margin = 0.1 * std::abs(b.t - a.t);
  const double d1 = a.slope + b.slope - 3 * (a.value - b.value) / (a.t - b.t);
  const double square = d1 * d1 - a.slope * b.slope;
  const double d2 = std::copysign(std::sqrt(square), b.t - a.t);
  const double t = b.t - (b.t - a.t) * (b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2);
  if (!std::isfinite(t)) return middle;
  return std::clamp(t, std::min(a.t, b.t) + margin, std::max(a.t, b.t) - margin);
}

}  // namespace

WolfePoint WolfeSearch::evaluate(double t) {
  ++evaluations_;
  return at_(t);
}

bool WolfeSearch::decreases(const WolfePoint& p) const {
  return p.value <= start_.value + o_.c1 * p.t * start_.slope;  // no for NaN
}

bool WolfeSearch::is_flat(const WolfePoint& p) const {
  return std::abs(p.slope) <= -o_.c2 * start_.slope;
}

WolfePoint WolfeSearch::run(const WolfePoint& start, double t) {
  start_ = start;
  evaluations_ = 0;
  for (WolfePoint before = start; evaluations_ < o_.most; t *= 2) {
    const WolfePoint now = evaluate(t);
    if (!decreases(now) || (before.t > 0 && now.value >= before.value)) return zoom(before, now);
    if (is_flat(now)) return now;
    if (now.slope >= 0) return zoom(now, before);
    before = now;
    if (evaluations_ == o_.most) return now;
  }
  return {};
}

// `low` decreases the value, more than any other such point; the slope there leads to `high`.
WolfePoint WolfeSearch::zoom(WolfePoint low, WolfePoint high) {
  while (evaluations_ + 1 < o_.most) {
    const WolfePoint now = evaluate(between(low, high));
    if (!decreases(now) || now.value >= low.value) {
      high = now;
      continue;
    }
    if (is_flat(now)) return now;
    if (now.slope * (high.t - low.t) >= 0) high = low;
    low = now;
  }
  return low.t > 0 && evaluations_ < o_.most ? evaluate(low.t) : WolfePoint{};
}

}  // namespace hesscore
