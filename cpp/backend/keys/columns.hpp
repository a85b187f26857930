// Columns of Jacobians, a chunk of them at a time, and what is read off along them: the exact
// Hessian diagonal. `first` is an int64 that says which chunk; columns beyond the last are zero and
// nothing is read off along them.
#pragma once

#include "backend/keys/operands.hpp"
#include "math/weight_columns.hpp"

namespace hesscore::kernels {

struct AdvanceCounter {  // counter (int64) = 0, or counter + by
  static constexpr std::string_view name = "advance_counter";
  struct Args {
    Out counter;
    std::int64_t by = 0;
    bool restart = false;
    HC_OPERANDS(counter)
  };
};

// For r < reps: y[r] (+)= the tangent of a layer's output along its weight first + r, x the layer's
// input.
struct WeightTangents {
  static constexpr std::string_view name = "weight_tangents";
  struct Args {
    In first, x;
    Out y;
    math::WeightColumns columns;
    std::int64_t reps = 1;
    HC_OPERANDS(first, x, y)
  };
};

// For r < reps: w[first + r] (+)= <y[r], the same tangent>.
struct WeightAdjoints {
  static constexpr std::string_view name = "weight_adjoints";
  struct Args {
    In first, x, y;
    Out w;
    math::WeightColumns columns;
    std::int64_t reps = 1;
    HC_OPERANDS(first, x, y, w)
  };
};

// For r < reps, n < rows: y[r, n] (+)= row first + r of m (count, width), which is the unit matrix
// if absent.
struct SpreadRows {
  static constexpr std::string_view name = "spread_rows";
  struct Args {
    In first, m;
    Out y;
    std::int64_t count, width, rows, reps = 1;
    HC_OPERANDS(first, m, y)
  };
};

// For r < reps, n < rows: d[n, first + r] (+)= <row first + r of m, y[r, n]>, d (rows, count).
struct PickRows {
  static constexpr std::string_view name = "pick_rows";
  struct Args {
    In first, m, y;
    Out d;
    std::int64_t count, width, rows, reps = 1;
    HC_OPERANDS(first, m, y, d)
  };
};

}  // namespace hesscore::kernels
