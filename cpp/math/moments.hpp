// Moments of samples.
#pragma once

#include "math/hd.hpp"

namespace hesscore::math {

// E x^2 - (E x)^2, which rounding may make negative; NaN stays.
template <class T>
HC_HD T variance(T mean_square, T mean) {
  const T v = mean_square - mean * mean;
  return v < 0 ? T(0) : v;
}

}  // namespace hesscore::math
