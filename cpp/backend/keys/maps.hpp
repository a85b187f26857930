// Element-wise rules (math/activations.hpp): f, f', f'' at x (n).
#pragma once

#include "backend/keys/operands.hpp"

namespace hesscore::kernels {

struct MapForward {  // y = f(x)
  static constexpr std::string_view name = "map_forward";
  struct Args {
    In x;
    Out y;
    std::int64_t n;
    Activation act;
    HC_OPERANDS(x, y)
  };
};

// y = f(x), and x becomes f'(x). Optional: of a backend where computing f' once more is dearer than
// writing it.
struct MapLinearize {
  static constexpr std::string_view name = "map_linearize";
  struct Args {
    Out x, y;
    std::int64_t n;
    Activation act;
    HC_OPERANDS(x, y)
  };
};

struct MapTangent {  // for r < reps: dy[r] (+)= f'(x) dx[r]     (jvp and vjp alike)
  static constexpr std::string_view name = "map_tangent";
  struct Args {
    In x, dx;
    Out dy;
    std::int64_t n, reps = 1;
    Activation act;
    HC_OPERANDS(x, dx, dy)
  };
};

struct MapSecond {  // for r < reps: dgx[r] (+)= f'(x) dgy[r] + f''(x) dx[r] gy
  static constexpr std::string_view name = "map_second";
  struct Args {
    In x, dx, gy, dgy;
    Out dgx;
    std::int64_t n, reps = 1;
    Activation act;
    HC_OPERANDS(x, dx, gy, dgy, dgx)
  };
};

struct MapDiagonal {  // gx (+)= f' gy (if gx);  hx (+)= f'^2 hy + f'' gy (second term if
                      // !gauss_newton)
  static constexpr std::string_view name = "map_diagonal";
  struct Args {
    In x, gy, hy;
    Out gx, hx;
    std::int64_t n;
    bool gauss_newton = false;
    Activation act;
    HC_OPERANDS(x, gy, hy, gx, hx)
  };
};

}  // namespace hesscore::kernels
