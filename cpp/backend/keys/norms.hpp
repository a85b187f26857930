// Normalisations: statistics, and the passes that share them.
#pragma once

#include "backend/keys/operands.hpp"
#include "math/norm_geometry.hpp"

namespace hesscore::kernels {

// Statistics are three arrays of g.statistics() numbers: the mean in two parts, whose sum is exact
// to twice the precision, and r = 1 / sqrt(variance + eps).
//
// From x. `batch`, doubles: means, then variances of the population from which x was drawn (n - 1
// degrees of freedom).
struct NormStatistics {
  static constexpr std::string_view name = "norm_statistics";
  struct Args {
    In x;
    Out statistics, batch;
    math::NormGeometry g;
    double eps = 0;
    HC_OPERANDS(x, statistics, batch)
  };
};

struct NormFixed {  // from means and variances that are given, doubles
  static constexpr std::string_view name = "norm_fixed";
  struct Args {
    In mean, variance;
    Out statistics;
    std::int64_t n;
    double eps = 0;
    HC_OPERANDS(mean, variance, statistics)
  };
};

// Running statistics, doubles: count += 1 and, of n means and as many variances,
// running = (1 - a) running + a batch with a = momentum or, if that is negative, 1 / count.
// Does nothing while the device's alarm is raised.
struct NormTrack {
  static constexpr std::string_view name = "norm_track";
  struct Args {
    In batch;
    Out mean, variance, count;
    std::int64_t n;
    double momentum = 0;
    HC_OPERANDS(batch, mean, variance, count)
  };
};

// With xhat = (x - mean) r. Weights that are absent are one, biases and tangents zero; weights'
// tangents and results of different reps are `stride` apart.

struct NormForward {  // y (+)= w xhat + b
  static constexpr std::string_view name = "norm_forward";
  struct Args {
    In x, statistics, w, b;
    Out y;
    math::NormGeometry g;
    HC_OPERANDS(x, statistics, w, b, y)
  };
};

struct NormTangent {  // for r < reps: dy[r] (+)= w dxhat[r] + dw[r] xhat + db[r]
  static constexpr std::string_view name = "norm_tangent";
  struct Args {
    In x, statistics, w, dx, dw, db;
    Out dy;
    math::NormGeometry g;
    std::int64_t reps = 1, stride = 0;
    HC_OPERANDS(x, statistics, w, dx, dw, db, dy)
  };
};

struct NormAdjoint {  // for r < reps: gx[r], gw[r], gb[r] (+)= the adjoints that gy[r] gives
  static constexpr std::string_view name = "norm_adjoint";
  struct Args {
    In x, statistics, w, gy;
    Out gx, gw, gb;
    math::NormGeometry g;
    std::int64_t reps = 1, stride = 0;
    HC_OPERANDS(x, statistics, w, gy, gx, gw, gb)
  };
};

struct NormSecond {  // for r < reps: the tangents of the adjoints, of gy alone for all r
  static constexpr std::string_view name = "norm_second";
  struct Args {
    In x, statistics, w, gy, dx, dgy, dw;
    Out dgx, hw, hb;
    math::NormGeometry g;
    std::int64_t reps = 1, stride = 0;
    HC_OPERANDS(x, statistics, w, gy, dx, dgy, dw, dgx, hw, hb)
  };
};

// Adjoints and curvature diagonals. gauss_newton: without second derivatives. flat: hx takes the
// statistics for constants.
struct NormDiagonal {
  static constexpr std::string_view name = "norm_diagonal";
  struct Args {
    In x, statistics, w, gy, hy;
    Out gx, hx, gw, gb, hw, hb;
    math::NormGeometry g;
    bool gauss_newton = false, flat = false;
    HC_OPERANDS(x, statistics, w, gy, hy, gx, hx, gw, gb, hw, hb)
  };
};

}  // namespace hesscore::kernels
