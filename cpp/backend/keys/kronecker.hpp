// Kronecker factors: patches as rows, and symmetric matrices made whole.
#pragma once

#include "backend/keys/operands.hpp"
#include "math/conv_geometry.hpp"

namespace hesscore::kernels {

// The patches of g.n images as rows of y, columns in the order (tap, channel of the group). Row
// (n, i, j): what output pixel (i, j) of image n reads, x[n, row(i, a), column(j, b), .] at tap
// (a, b), zero outside the image. transposed: of the transposed convolution, rows for the pixels of
// the images x of g and x (n, oh, ow, o): for pixel (r, s) x[n, i, j, .] with row(i, a) = r and
// column(j, b) = s, zero if there is none.
struct Unfold {
  static constexpr std::string_view name = "unfold";
  struct Args {
    In x;
    Out y;
    math::ConvGeometry g;
    std::int64_t group = 0;
    bool transposed = false;
    HC_OPERANDS(x, y)
  };
};

// y (+)= scale * x for a symmetric x (n, n) whose lower triangle is read, its rows and columns
// (tap, channel) put into the order (channel, tap). With `sum` (n), y has a row and a column more:
// scale * sum, in the same order, and `corner` in the corner.
struct Mirror {
  static constexpr std::string_view name = "mirror";
  struct Args {
    In x, sum;
    Out y;
    std::int64_t n, taps = 1;
    double scale = 1, corner = 1;
    HC_OPERANDS(x, sum, y)
  };
};

}  // namespace hesscore::kernels
