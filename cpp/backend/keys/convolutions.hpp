// Convolutions, plain, dual and squared: implicit products over patches of images.
#pragma once

#include "backend/keys/products.hpp"
#include "math/conv_geometry.hpp"

namespace hesscore::kernels {

// For b < batch: y_b (+)= conv(x_b, w_b) + bias_b, the weights squared if square_w. A stride of 0
// shares that operand over the batch. With x2 and y2, for a batch of one:
// y2 (+)= conv(x2, w o w) too, w read once.
struct Convolve {
  static constexpr std::string_view name = "convolve";
  struct Args {
    In x, w, bias, x2;
    Out y, y2;
    math::ConvGeometry g;
    bool square_w = false;
    std::int64_t batch = 1, stride_x = 0, stride_w = 0, stride_bias = 0, stride_y = 0;
    Epilogue then = {};  // only with a batch of one
    HC_OPERANDS(x, w, bias, x2, y, y2, then.x, then.y, then.y2)
  };
};

// The transpose in x and y: for b < batch: x_b (+)= conv'(y_b, w_b) + bias_b, bias (c); with y2 and
// x2 also x2 (+)= conv'(y2, w o w).
struct ConvolveTransposed {
  static constexpr std::string_view name = "convolve_transposed";
  struct Args {
    In y, w, bias, y2;
    Out x, x2;
    math::ConvGeometry g;
    bool square_w = false;
    std::int64_t batch = 1, stride_y = 0, stride_w = 0, stride_bias = 0, stride_x = 0;
    Epilogue then = {};
    HC_OPERANDS(y, w, bias, y2, x, x2, then.x, then.y, then.y2)
  };
};

// The weights' part: for b < batch: w_b (+)= sum over samples and positions of y_b times the patch
// of x_b, squared beforehand if square_y or square_x. With y2 and w2, for a batch of one: also
// w2 (+)= the same of y2 and x o x. sum, sum2: (o) (+)= sums of y_b and y2 over all positions.
struct ConvolveWeights {
  static constexpr std::string_view name = "convolve_weights";
  struct Args {
    In y, x, y2;
    Out w, w2, sum, sum2;
    math::ConvGeometry g;
    bool square_y = false, square_x = false;
    std::int64_t batch = 1, stride_y = 0, stride_x = 0, stride_w = 0, stride_sum = 0;
    HC_OPERANDS(y, x, y2, w, w2, sum, sum2)
  };
};

// w (+)= scale * sum over reps and samples of ( sum over positions of y times the patch of x )^2:
// squared per-sample weight gradients, none of which is stored. reps_y, reps_x: y or x has its own
// values in every rep.
struct ConvolveSquares {
  static constexpr std::string_view name = "convolve_squares";
  struct Args {
    In y, x;
    Out w;
    math::ConvGeometry g;
    std::int64_t reps = 1;
    bool reps_y = true, reps_x = false;
    double scale = 1;
    HC_OPERANDS(y, x, w)
  };
};

}  // namespace hesscore::kernels
