// Geometry of a normalisation, for every pass over it.
#pragma once

#include <cstdint>

#include "math/hd.hpp"

namespace hesscore::math {

// x[((s P + p) G + g) K + k] of samples s, positions p, groups g, channels k of a group. Mean and
// variance are those over (p, k) for each (s, g); weights are (g, k). Layer norm: P = G = 1, batch
// norm: S = K = 1, group norm of images that are channels last: all of them.
struct NormGeometry {
  std::int64_t samples = 0, positions = 1, groups = 1, channels = 1;
  bool centred = true;  // false: the mean is taken to be zero (root mean square)
  bool fixed = false;   // statistics do not depend on x

  HC_HD std::int64_t columns() const { return groups * channels; }
  HC_HD std::int64_t sample() const { return positions * columns(); }
  HC_HD std::int64_t size() const { return samples * sample(); }
  HC_HD std::int64_t statistics() const { return samples * groups; }
  HC_HD std::int64_t count() const { return positions * channels; }  // of numbers for each
};

}  // namespace hesscore::math
