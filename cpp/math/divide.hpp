// Division by a number that stays the same, by a multiplication (Granlund and Montgomery 1994).
#pragma once

#include <cstdint>

#include "math/hd.hpp"

namespace hesscore::math {

// Of numbers in [0, 2^31) by one in [1, 2^31): with s = ceil(log2 d) and m = ceil(2^(31 + s) / d),
// floor(n / d) = floor(n m / 2^(31 + s)), as m d - 2^(31 + s) < 2^s.
struct Divider {
  std::uint32_t by = 1, shift = 31, multiplier = std::uint32_t{1} << 31;

  Divider() = default;
  explicit Divider(int d) : by(static_cast<std::uint32_t>(d)) {
    while ((std::uint64_t{1} << (shift - 31)) < by) ++shift;
    multiplier = static_cast<std::uint32_t>(((std::uint64_t{1} << shift) + by - 1) / by);
  }
  HC_HD int divide(int n) const {
    const std::uint64_t product = std::uint64_t{static_cast<std::uint32_t>(n)} * multiplier;
    return static_cast<int>(product >> shift);
  }
  // n's quotient; its remainder stays in n.
  HC_HD int split(int& n) const {
    const int quotient = divide(n);
    n -= quotient * static_cast<int>(by);
    return quotient;
  }
};

}  // namespace hesscore::math
