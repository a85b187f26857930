// Matrix products, plain, dual and squared, and sums of columns.
#pragma once

#include "backend/keys/operands.hpp"

namespace hesscore::kernels {

// An activation applied to a finished product while its tiles are in cache. With c the product:
//   value     y = f(c)
//   value_and_slope  the same, and c becomes f'(c): only where there is MapLinearize
//   slope     y = f'(x) c
//   times     y = x c: only where there is MapLinearize
//   diagonal  y = f'(x) c1,  y2 = f'(x)^2 c2 + f''(x) c1    (dual products; Gauss-Newton: without
//             the second term)
struct Epilogue {
  enum Kind : std::int32_t {
    none,
    value,
    value_and_slope,
    slope,
    times,
    diagonal,
    diagonal_gauss_newton
  } kind = none;
  Activation act;
  In x;
  Out y, y2;
};

// For b < batch: c_b (+)= op(a_b) op(b_b) + bias_b, with op(a) (m, k) stored (k, m) if trans_a,
// op(b) (k, n) stored (n, k) if trans_b, bias (n). square_a / square_b: element-wise squares are
// taken while packing. A stride of 0 shares that operand over the batch. `sum`, with trans_a and
// without square_a: sum_b (m) (+)= the sums of a_b over k, the bias's part of a weight gradient.
// `lower`, with m = n: only the lower triangles of c are asked for; above them anything may be
// left.
struct Product {
  static constexpr std::string_view name = "product";
  struct Args {
    In a, b, bias;
    Out c;
    std::int64_t m, n, k;
    bool trans_a = false, trans_b = false, square_a = false, square_b = false;
    std::int64_t batch = 1, stride_a = 0, stride_b = 0, stride_bias = 0, stride_c = 0;
    Epilogue then = {};  // only with a batch of one
    Out sum = {};
    std::int64_t stride_sum = 0;
    bool lower = false;
    HC_OPERANDS(a, b, bias, c, then.x, then.y, sum)
  };
};

// c1 (+)= op(a1) b and c2 (+)= op(a2) (b * b), b (k, n) read once. trans_a: a1, a2 stored (k, m).
// sum1, sum2, with trans_a: (m) (+)= the sums of a1 and a2 over k.
struct DualProduct {
  static constexpr std::string_view name = "dual_product";
  struct Args {
    In a1, a2, b;
    Out c1, c2;
    std::int64_t m, n, k;
    bool trans_a = false;
    Epilogue then = {};
    Out sum1 = {}, sum2 = {};
    HC_OPERANDS(a1, a2, b, c1, c2, then.x, then.y, then.y2, sum1, sum2)
  };
};

// c (m, n) (+)= scale * sum_g ( sum_t a[g, t, :]' b[g mod groups_b, t, :] )^2 : positions are
// contracted before squaring, without per-sample gradients in memory.
struct GroupedSquare {
  static constexpr std::string_view name = "grouped_square";
  struct Args {
    In a, b;
    Out c;
    std::int64_t groups, groups_b, positions, m, n;
    double scale = 1;
    HC_OPERANDS(a, b, c)
  };
};

// For b < batch: y[b, j] (+)= scale * sum_g ( sum_t x[b, g, t, j] )^(square ? 2 : 1).
struct ColumnSum {
  static constexpr std::string_view name = "column_sum";
  struct Args {
    In x;
    Out y;
    std::int64_t groups, positions, columns;
    bool square = false;
    double scale = 1;
    std::int64_t batch = 1, stride_x = 0, stride_y = 0;
    HC_OPERANDS(x, y)
  };
};

}  // namespace hesscore::kernels
