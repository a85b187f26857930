// Vector algebra of solvers and optimizers.
#pragma once

#include "backend/keys/operands.hpp"
#include "math/update_spec.hpp"

namespace hesscore::kernels {

struct Axpby {  // y = a x + b y
  static constexpr std::string_view name = "axpby";
  struct Args {
    In x;
    Out y;
    std::int64_t n;
    double a = 1, b = 1;
    HC_OPERANDS(x, y)
  };
};

struct Dot {  // result[0] (host double) = sum_i x_i y_i, float64 accumulation in a fixed order
  static constexpr std::string_view name = "dot";
  struct Args {
    In x, y;
    std::int64_t n;
    double* result;
    HC_OPERANDS(x, y)
  };
};

struct AllFinite {  // result[0] (host): 1 if every x_i is finite
  static constexpr std::string_view name = "all_finite";
  struct Args {
    In x;
    std::int64_t n;
    int* result;
    HC_OPERANDS(x)
  };
};

struct Power {  // y = (|x| + shift)^exponent
  static constexpr std::string_view name = "power";
  struct Args {
    In x;
    Out y;
    std::int64_t n;
    double shift = 0, exponent = 1;
    HC_OPERANDS(x, y)
  };
};

// One optimizer update over the flat vectors (math/updates.hpp): w, the moments m and u in place.
// With a record (math::StepRecord) its rate and corrections replace those of the spec, and nothing
// is written while the device's alarm is raised; else `count`, an int64, becomes one more. `square`
// (float64) is that of g's norm, for spec.clip_norm; `mean` the one that follows w.
struct Update {
  static constexpr std::string_view name = "update";
  struct Args {
    Out w, m, u;
    In g, d;
    std::int64_t n;
    math::UpdateSpec spec;
    In record = {};
    Out count = {};
    In square = {};
    Out mean = {};
    HC_OPERANDS(w, m, u, g, d, record, count, square, mean)
  };
};

// result[0] (host double) = sum_i h_i s_i^2 of the step s that Adam's rule makes of the moments m
// and u, h = sqrt(u), or u where the spec takes that of |d|.
struct StepCurvature {
  static constexpr std::string_view name = "step_curvature";
  struct Args {
    In m, u;
    std::int64_t n;
    math::UpdateSpec spec;
    double* result;
    HC_OPERANDS(m, u)
  };
};

}  // namespace hesscore::kernels
