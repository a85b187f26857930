// Conjugate gradients without the host (math/cg_state.hpp).
//
// One iteration is  q = A p;  CgCurvature;  CgAdvance;  CgDirection,  with all scalars in `state`,
// a CgState on the device. Once the state says stop, they change nothing. Two forms:
//   two dots       CgCurvature(u = p, v = q) and CgAdvance with q
//   Gauss-Newton   p'Gp = <dz, H_L dz>, so CgCurvature(u = dz, v = H_L dz, seed) knows alpha before
//                  the backward pass; seed = -alpha v, whose adjoints are added onto r: no q.
#pragma once

#include "backend/keys/operands.hpp"
#include "math/cg_state.hpp"

namespace hesscore::kernels {

// p'Ap = scale <u, v> + shift p'p, and alpha from it; seed (n), if given, = -alpha scale v.
struct CgCurvature {
  static constexpr std::string_view name = "cg_curvature";
  struct Args {
    In u, v;
    Out seed, state;
    std::int64_t n;
    HC_OPERANDS(u, v, seed, state)
  };
};

// r -= alpha (scale q + shift p), q absent in the second form; then with y = d r (y = r without d)
// the sums r'r, r'y, y'y, y'p and all that follows from them. `start`: r is the first residual
// and stays; p is not read.
struct CgAdvance {
  static constexpr std::string_view name = "cg_advance";
  struct Args {
    In p, q, d;
    Out r, state;
    std::int64_t n;
    bool start = false;
    HC_OPERANDS(p, q, d, r, state)
  };
};

// x += alpha p, kept where the state asks for it, then p = d r + beta p.  `start`: p = d r alone.
struct CgDirection {
  static constexpr std::string_view name = "cg_direction";
  struct Args {
    In r, d, state;
    Out x, p;
    std::int64_t n;
    bool start = false;
    HC_OPERANDS(r, d, state, x, p)
  };
};

}  // namespace hesscore::kernels
