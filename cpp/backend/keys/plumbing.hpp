// Copies, products and sums of arrays, random signs and masks.
#pragma once

#include "backend/keys/operands.hpp"
#include "math/broadcast.hpp"

namespace hesscore::kernels {

struct Fill {  // y = value
  static constexpr std::string_view name = "fill";
  struct Args {
    Out y;
    std::int64_t n;
    double value = 0;
    HC_OPERANDS(y)
  };
};

struct Copy {  // for o < outer, i < inner: y[o * stride_y + i] (+)= scale * x[o * stride_x + i]
  static constexpr std::string_view name = "copy";
  struct Args {
    In x;
    Out y;
    std::int64_t outer, inner, stride_x, stride_y;
    double scale = 1;
    HC_OPERANDS(x, y)
  };
};

struct Transpose {  // for b < batch: y[b, j, i] (+)= x[b, i, j], x (batch, rows, columns)
  static constexpr std::string_view name = "transpose";
  struct Args {
    In x;
    Out y;
    std::int64_t batch, rows, columns;
    HC_OPERANDS(x, y)
  };
};

struct Multiply {  // for r < reps: y[r] (+)= a[r or 0] * b[r or 0]^(1 or 2); rep_a/rep_b: has reps
  static constexpr std::string_view name = "multiply";
  struct Args {
    In a, b;
    Out y;
    std::int64_t n, reps = 1;
    bool rep_a = false, rep_b = false, square_b = false;
    HC_OPERANDS(a, b, y)
  };
};

// y (+)= sum over the summed axes of p * q^(1 or 2), for every element of the kept axes.
struct BroadcastProduct {
  static constexpr std::string_view name = "broadcast_product";
  struct Args {
    In p, q;
    Out y;
    math::BroadcastAxes axes;
    bool square_q = false;
    HC_OPERANDS(p, q, y)
  };
};

// Rows of a data set: y[i] = x[index[first + i]] for i < rows, rows of `bytes` bytes, `first` being
// record[0].first_row (math::StepRecord).
struct Gather {
  static constexpr std::string_view name = "gather";
  struct Args {
    In x, index, record;  // index: int64
    Out y;
    std::int64_t rows, bytes;
    HC_OPERANDS(x, index, record, y)
  };
};

struct SquareSum {  // y (+)= scale * sum_r x[r]^2, x (reps, n)
  static constexpr std::string_view name = "square_sum";
  struct Args {
    In x;
    Out y;
    std::int64_t n, reps;
    double scale = 1;
    HC_OPERANDS(x, y)
  };
};

struct MultiplySum {  // y (+)= scale * sum_r a[r] * b[r]; the cross terms of shared layers,
                      // Hutchinson
  static constexpr std::string_view name = "multiply_sum";
  struct Args {
    In a, b;
    Out y;
    std::int64_t n, reps;
    double scale = 1;
    HC_OPERANDS(a, b, y)
  };
};

// For r < reps: y[r] (+)= x[r] * m^(1 or 2), m = [keep] / (1 - p), drawn anew from
// (seed, step, node, element): the mask is never stored. Elements are
// counted as they lie in memory, images channels last.
struct Dropout {
  static constexpr std::string_view name = "dropout";
  struct Args {
    In x, clock;  // clock: two uint64 {seed, step} in host or device memory
    Out y;
    std::int64_t n, reps = 1;
    double p = 0;
    std::int64_t node = 0;
    bool square = false;
    HC_OPERANDS(x, clock, y)
  };
};

// y[i] = +1 or -1 from counter (clock[0], stream, i); clock: uint64 {seed}.
struct Rademacher {
  static constexpr std::string_view name = "rademacher";
  struct Args {
    In clock;
    Out y;
    std::int64_t n;
    std::uint64_t stream = 0;
    HC_OPERANDS(clock, y)
  };
};

}  // namespace hesscore::kernels
