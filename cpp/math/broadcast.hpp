// Index maps of products of arrays that are broadcast against each other.
#pragma once

#include <cstdint>

#include "math/hd.hpp"

namespace hesscore::math {

// Axes of sizes and strides of p, q and the result; a stride of 0 repeats. First `kept` axes, over
// which the result is dense in this order, then the axes that are summed over.
struct BroadcastAxes {
  static constexpr int kMost = 6;
  int kept = 0, summed = 0;
  std::int64_t size[kMost] = {}, p[kMost] = {}, q[kMost] = {};

  struct At {
    std::int64_t p = 0, q = 0;
  };
  // Offsets of element e of the axes first .. end-1.
  HC_HD At at(std::int64_t e, int first, int end) const {
    At to;
    for (int k = end; k-- > first;) {
      const std::int64_t line = k > first ? e / size[k] : 0, i = e - line * size[k];
      to.p += i * p[k];
      to.q += i * q[k];
      e = line;
    }
    return to;
  }
  HC_HD std::int64_t count(int first, int end) const {
    std::int64_t n = 1;
    for (int k = first; k < end; ++k) n *= size[k];
    return n;
  }
  HC_HD int axes() const { return kept + summed; }
};

}  // namespace hesscore::math
