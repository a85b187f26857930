// Krylov methods whose scalars stay on the device: inner products into states, vectors combined by
// numbers out of them, and the recurrences in between. The host only issues the calls. Only the
// plans of training steps and of quadratic forms emit one, so that backend/kernels.hpp goes without
// them and their states.
#pragma once

#include "backend/keys/operands.hpp"
#include "math/krylov_steps.hpp"

namespace hesscore::kernels {

// For r < rows, t < terms: result[r step_result + t] (float64) = sum_i x[r, t, i] y[r, i], summed
// in float64 in a fixed order. Steps are in elements; a step of 0 shares that operand.
struct RowDots {
  static constexpr std::string_view name = "row_dots";
  struct Args {
    In x, y;
    Out result;
    std::int64_t n, rows = 1, terms = 1;
    std::int64_t row_x = 0, term_x = 0, row_y = 0, row_result = 0;
    HC_OPERANDS(x, y, result)
  };
};

// For r < rows: y[r] = b[r] y[r] + sign sum_t c[r, t] x[r, t], with float64 numbers c and b in
// memory of the device. Without b its place is taken by 1 if y accumulates, else by 0. What is
// multiplied by zero is not read, so that rows that are done stay as they are.
struct Combine {
  static constexpr std::string_view name = "combine";
  struct Args {
    In x, c, b;
    Out y;
    std::int64_t n, rows = 1, terms = 1;
    std::int64_t row_x = 0, term_x = 0, row_y = 0, row_c = 0, row_b = 0;
    double sign = 1;
    HC_OPERANDS(x, c, b, y)
  };
};

// Advances `rows` states by one step of their recurrences, one thread for each.
struct KrylovStep {
  static constexpr std::string_view name = "krylov_step";
  struct Args {
    Out states;
    std::int64_t rows = 1;
    math::KrylovPhase phase = {};
    HC_OPERANDS(states)
  };
};

}  // namespace hesscore::kernels
