// Sums, means and maxima over windows of images (math/windows.hpp); padding, slicing and nearest
// upsampling are such sums too. Images are channels last.
#pragma once

#include "backend/keys/operands.hpp"
#include "math/windows.hpp"

namespace hesscore::kernels {

struct WindowSum {  // y (+)= coefficient * sum of x over the window
  static constexpr std::string_view name = "window_sum";
  struct Args {
    In x;
    Out y;
    math::WindowGeometry g;
    HC_OPERANDS(x, y)
  };
};

struct WindowSpread {  // the transpose, with squared coefficients if `square`
  static constexpr std::string_view name = "window_spread";
  struct Args {
    In y;
    Out x;
    math::WindowGeometry g;
    bool square = false;
    HC_OPERANDS(y, x)
  };
};

// y = maximum of x over the window; NaN wins, else the first of equals. index (int32, of y's shape)
// = its position in the image, i * w.in + j; -1 where the window is empty and y is -infinity.
struct MaxPool {
  static constexpr std::string_view name = "max_pool";
  struct Args {
    In x;
    Out y, index;
    math::WindowGeometry g;
    HC_OPERANDS(x, y, index)
  };
};

struct MaxPoolTangent {  // for r < reps: y[r] (+)= x[r] at `index`, 0 where that is -1
  static constexpr std::string_view name = "max_pool_tangent";
  struct Args {
    In x, index;
    Out y;
    math::WindowGeometry g;
    std::int64_t reps = 1;
    HC_OPERANDS(x, index, y)
  };
};

struct MaxPoolAdjoint {  // the transpose: for r < reps: x[r] (+)= sum of y[r] whose index is here
  static constexpr std::string_view name = "max_pool_adjoint";
  struct Args {
    In y, index;
    Out x;
    math::WindowGeometry g;
    std::int64_t reps = 1;
    HC_OPERANDS(y, index, x)
  };
};

}  // namespace hesscore::kernels
