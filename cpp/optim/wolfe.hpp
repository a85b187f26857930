// A line search for the strong Wolfe conditions (Nocedal & Wright 2006, algorithms 3.5 and 3.6).
#pragma once

#include <cstdint>
#include <functional>

namespace hesscore {

struct WolfePoint {  // step length, value and slope along the direction
  double t = 0, value = 0, slope = 0;
};

struct WolfeOptions {
  double c1 = 1e-4, c2 = 0.9;
  std::int64_t most = 25;  // evaluations
};

class WolfeSearch {
 public:
  WolfeSearch(const WolfeOptions& options, std::function<WolfePoint(double)> at)
      : o_(options), at_(std::move(at)) {}

  // The last point that was evaluated, where both conditions hold; or at least the first one, when
  // there may be no more evaluations. t = 0 where that fails, too.
  WolfePoint run(const WolfePoint& start, double t);
  std::int64_t evaluations() const { return evaluations_; }

 private:
  WolfePoint zoom(WolfePoint low, WolfePoint high);
  WolfePoint evaluate(double t);
  bool decreases(const WolfePoint& p) const;
  bool is_flat(const WolfePoint& p) const;

  const WolfeOptions o_;
  const std::function<WolfePoint(double)> at_;
  WolfePoint start_;
  std::int64_t evaluations_ = 0;
};

}  // namespace hesscore
