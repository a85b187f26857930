// Moments of samples, from sums over them.
#pragma once

#include "backend/keys/operands.hpp"

namespace hesscore::kernels {

// mean = scale * sum; variance, if wanted, = max(square - mean^2, 0). mean may lie where sum does.
struct Moments {
  static constexpr std::string_view name = "moments";
  struct Args {
    In sum, square;
    Out mean, variance;
    std::int64_t n;
    double scale = 1;
    HC_OPERANDS(sum, square, mean, variance)
  };
};

struct SquareRoot {  // y (+)= sqrt(x); x may be y
  static constexpr std::string_view name = "square_root";
  struct Args {
    In x;
    Out y;
    std::int64_t n;
    HC_OPERANDS(x, y)
  };
};

}  // namespace hesscore::kernels
