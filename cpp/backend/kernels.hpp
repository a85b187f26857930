// The kernel keys: everything a backend implements. `T` is the plan's dtype; arrays are dense and
// row-major; every `Out` honours `accumulate`. `operands()` lists the arrays so that a plan can
// read liveness off the call. "rep" counts stacked tangents or columns that share the values x.
#pragma once

#include <tuple>

#include "backend/kernel_table.hpp"
#include "math/cg_state.hpp"
#include "math/loss_spec.hpp"
#include "math/update_spec.hpp"

namespace hesscore::kernels {

#define HC_OPERANDS(...)                            \
  auto operands() { return std::tie(__VA_ARGS__); } \
  auto operands() const { return std::tie(__VA_ARGS__); }

struct Activation {
  std::int32_t id = 0;  // math::Act
  double alpha = 0;     // slope or scale, for those that have one
};

// ---- products --------------------------------------------------------------------------------

// An activation applied to a finished product while its tiles are in cache. With c the product:
//   value     y = f(c)
//   slope     y = f'(x) c
//   diagonal  y = f'(x) c1,  y2 = f'(x)^2 c2 + f''(x) c1    (dual products; Gauss-Newton: without
//             the second term)
struct Epilogue {
  enum Kind : std::int32_t { none, value, slope, diagonal, diagonal_gauss_newton } kind = none;
  Activation act;
  In x;
  Out y, y2;
};

// For b < batch: c_b (+)= op(a_b) op(b_b) + bias_b, with op(a) (m, k) stored (k, m) if trans_a,
// op(b) (k, n) stored (n, k) if trans_b, bias (n). square_a / square_b: element-wise squares are
// taken while packing. A stride of 0 shares that operand over the batch. `sum`, with trans_a and
// without square_a: sum_b (m) (+)= the sums of a_b over k, the bias's part of a weight gradient.
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

// ---- element-wise rules (math/activations.hpp): f, f', f'' at x (n) ---------------------------

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

// ---- plumbing ---------------------------------------------------------------------------------

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
// (seed, step, node, element): the mask is never stored. Element i of sample s is counter s*n+i.
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

// ---- losses (math/losses.hpp). z (N, C, D); see LossSpec for the meaning of the other arrays. ---
// The reduced loss is  sum_{n,d} scale * s_n * l(z_nd, y_nd), s the sample weights (1 if absent).

struct LossScale {  // out[0] = scale: 1 for sum; for mean one over the summed weights
  static constexpr std::string_view name = "loss_scale";
  struct Args {
    In y, sample_weight, class_weight;
    Out out;
    math::LossSpec spec;
    HC_OPERANDS(y, sample_weight, class_weight, out)
  };
};

// loss[0] = value; g = gradient; h = Hessian diagonal; b = BL89's diagonal; f = the gradient of
// each sample over sqrt(c_n), c_n its weight in the mean, so that sum_n f f' is the empirical
// Fisher. Absent outputs are skipped. g, h, b, f have z's shape.
struct LossSeed {
  static constexpr std::string_view name = "loss_seed";
  struct Args {
    In z, y, sample_weight, class_weight, scale;
    Out loss, g, h, b, f;
    math::LossSpec spec;
    HC_OPERANDS(z, y, sample_weight, class_weight, scale, loss, g, h, b, f)
  };
};

struct LossHessian {  // for r < reps: dg[r] = H_L dz[r], H_L the Hessian of the reduced loss in z
  static constexpr std::string_view name = "loss_hessian";
  struct Args {
    In z, y, sample_weight, class_weight, scale, dz;
    Out dg;
    std::int64_t reps = 1;
    math::LossSpec spec;
    HC_OPERANDS(z, y, sample_weight, class_weight, scale, dz, dg)
  };
};

// Columns first .. first+count-1 of S with H_L = S diag(sign) S': out (count, N, C, D). Column
// c * D + d is non-zero at position d only; its sign is math::column_sign(spec, column).
struct LossColumns {
  static constexpr std::string_view name = "loss_columns";
  struct Args {
    In z, y, sample_weight, class_weight, scale;
    Out out;
    std::int64_t first = 0, count = 1;
    math::LossSpec spec;
    HC_OPERANDS(z, y, sample_weight, class_weight, scale, out)
  };
};

// out (samples, N, C, D): u_s / sqrt(samples), E[u u'] = H_L for likelihood losses, from labels
// drawn from the model's own distribution with counter (seed, sample, n, d).
struct LossSample {
  static constexpr std::string_view name = "loss_sample";
  struct Args {
    In z, y, sample_weight, class_weight, scale, clock;  // clock: uint64 {seed}
    Out out;
    std::int64_t samples = 1;
    math::LossSpec spec;
    HC_OPERANDS(z, y, sample_weight, class_weight, scale, clock, out)
  };
};

// For r < reps: out[r, n, :] (+)= sum_s u[s, n, :] <u[s, n, :], dz[r, n, :]>, rows of length m:
// the Fisher products.
struct RowProject {
  static constexpr std::string_view name = "row_project";
  struct Args {
    In u, dz;
    Out out;
    std::int64_t samples, rows, m, reps = 1;
    HC_OPERANDS(u, dz, out)
  };
};

// ---- vector algebra of solvers and optimizers ---------------------------------------------------

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
// is written while the device's alarm is raised; else `count`, an int64, becomes one more.
struct Update {
  static constexpr std::string_view name = "update";
  struct Args {
    Out w, m, u;
    In g, d;
    std::int64_t n;
    math::UpdateSpec spec;
    In record = {};
    Out count = {};
    HC_OPERANDS(w, m, u, g, d, record, count)
  };
};

// ---- conjugate gradients without the host (math/cg_state.hpp) -----------------------------------
// One iteration is  q = A p;  CgCurvature;  CgAdvance;  CgDirection,  with all scalars in `state`,
// a CgState on the device. Once the state says stop, they change nothing. Two forms:
//   two dots       CgCurvature(u = p, v = q) and CgAdvance with q
//   Gauss-Newton   p'Gp = <dz, H_L dz>, so CgCurvature(u = dz, v = H_L dz, seed) knows alpha before
//                  the backward pass; seed = -alpha v, whose adjoints are added onto r: no q.

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

// ---- dense factorisations (LAPACK, cuSOLVER); row-major, float64 or float32 ---------------------

// The lower triangle of a (n, n) becomes L of a = L L'; the upper one is left as it was.
// info[0] (int32, in memory of the device) = 0, or the order of the first leading minor that is not
// positive definite.
struct Cholesky {
  static constexpr std::string_view name = "cholesky";
  struct Args {
    Out a, info;
    std::int64_t n;
    HC_OPERANDS(a, info)
  };
};

// b (rows, n): every row replaced by the solution of L L' x = b.
struct CholeskySolve {
  static constexpr std::string_view name = "cholesky_solve";
  struct Args {
    In l;
    Out b;
    std::int64_t n, rows;
    HC_OPERANDS(l, b)
  };
};

// a (n, n), symmetric, its lower triangle read: row i becomes the i-th eigenvector; values (n)
// ascending. info as above: 0, or the number of values that did not converge.
struct SymmetricEigen {
  static constexpr std::string_view name = "symmetric_eigen";
  struct Args {
    Out a, values, info;
    std::int64_t n;
    HC_OPERANDS(a, values, info)
  };
};

#undef HC_OPERANDS

}  // namespace hesscore::kernels
