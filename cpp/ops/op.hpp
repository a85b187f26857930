// Op: a layer. Its kind (elementwise, bilinear, fixed map) derives the passes from the minimum the
// layer states; a rule emits kernel calls and runs nothing.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "hesscore/graph.hpp"
#include "ops/emit.hpp"

namespace hesscore {

struct ParameterShape {
  std::string name;  // "weight"
  Shape shape;
  std::int64_t fan_in = 0, fan_out = 0;
  Start start = Start::scheme;
  std::int64_t zero_row = -1;  // a row that starts as zero, whatever the start
};

// State of a layer that is no parameter, in doubles: running statistics.
struct BufferShape {
  std::string name;  // "running_mean"
  Shape shape;
  double start = 0;
};

// How images lie in memory. Shapes are always (C, d1, ...), as at the API; channels last, (d1, ...,
// C) is what lies there. `any`: the op works on either and keeps what comes.
enum class MemoryOrder { any, api, channels_last };

// What dy/dx of a sample is: anything, the same for all samples, or diagonal.
enum class JacobianKind { any, same, diagonal };

// One node while passes are emitted: what every rule reads. Shapes are per sample.
struct Site {
  int node = 0;
  std::int64_t batch = 0;
  bool train = false;
  bool channels_last = false;  // the memory order of x and y, unless the op fixes it
  std::vector<Shape> x_shapes;
  Shape y_shape;
  bool slopes = false;           // x[0] holds dy/dx, element by element: forward left it there
  std::vector<In> x;             // values
  std::vector<In> w;             // parameters
  std::vector<Operand> saved;    // what Op::save set aside
  std::vector<Operand> buffers;  // doubles, in the order of Op::buffers
  Operand batch_statistics;      // doubles for Op::track, where they are wanted
  In clock;                      // seed and step of this run

  std::int64_t x_size(std::size_t i = 0) const { return batch * element_count(x_shapes[i]); }
  std::int64_t y_size() const { return batch * element_count(y_shape); }
};

// Operands of the passes. "reps" tangents or columns are stacked in front of the batch; parameter
// tangents and results of different reps are `stride` elements apart. An empty operand is absent: a
// tangent that is zero, or a result nobody needs.
struct JvpPorts {
  std::vector<In> dx, v;  // v empty: the parameters stay
  Out dy;
  std::int64_t reps = 1, stride = 0;
};
struct VjpPorts {
  In gy;
  std::vector<Out> gx, gw;
  std::int64_t reps = 1, stride = 0;
};
struct SecondPorts {  // the tangent of vjp
  std::vector<In> dx, v;
  In gy, dgy;
  std::vector<Out> dgx, hw;
  std::int64_t reps = 1, stride = 0;
};
struct FormPorts {  // for r < reps: result[r] (float64) += gy' y''[(dx, v)[r], (dx, v)[r]]
  std::vector<In> dx, v;
  In gy;
  Operand result;
  std::int64_t reps = 1, stride = 0;

  // result[r] += times * <dx_i[r], b[r]>, b of n numbers
  void add(Emit& e, std::size_t i, In b, std::int64_t n, int times) const;
};
struct DiagPorts {  // vjp and diagonal together; without gx and gw only the diagonal
  In gy, hy;
  std::vector<Out> gx, hx, gw, hw;
  bool gauss_newton = false;
};
struct Use {  // of a parameter group, and what arrived there
  const Site* site;
  In gy;
};
using Uses = std::vector<Use>;

// Samples first .. first + count - 1; those of further columns follow those of the first.
struct SampleRange {
  std::int64_t first = 0, count = 0;
};
struct SampleRows {  // of neighbouring samples, `stride` elements apart
  Out to;
  std::int64_t stride = 0;
};
// Sums over samples of their gradients and, times `scale`, of the squares of those, for each
// parameter, both or neither; added to norms[n]: the square of sample n's norm.
struct MomentPorts {
  std::vector<Out> sum, squares;
  double scale = 1;
  Out norms = {};
};

// A matrix (rows, columns) of a layer's parameters whose gradient is, for every sample, the sum
// over positions t of g_t x_t'; columns are taps x channels, in this order in x_t. A bias is the
// column whose x_t is 1; without channels it is the only one.
struct KroneckerPart {
  std::int64_t rows = 0, channels = 0, taps = 1;
  std::int64_t width = 0;  // numbers of y at one position
  int parameter = 0;       // of the layer; the matrix begins at `offset` in it, in the order
  std::int64_t offset = 0;
  bool channels_first = false;  // (channels, rows, taps), else (rows, channels, taps)
  int bias = -1;                // the parameter that is the bias, -1: none
  std::int64_t bias_offset = 0;
  bool one_hot = false;     // x_t is a row of the identity matrix
  bool contracted = false;  // g has been multiplied by x already: t is to be summed over
  bool formed = false;      // are the x_t copies, to be made of some samples at a time?

  std::int64_t columns() const { return channels * taps; }
};

// Throws SizeError unless |size| < 2^31, as of windows and positions: what is computed from two of
// them cannot overflow.
void check_size(const std::string& name, std::int64_t size);

class Op {
 public:
  virtual ~Op();
  virtual std::string_view type() const = 0;
  virtual std::string describe() const { return std::string(type()); }
  virtual Shape output_shape(const std::vector<Shape>& x) const = 0;
  virtual std::vector<ParameterShape> parameters() const { return {}; }
  virtual std::vector<BufferShape> buffers() const { return {}; }
  // Is the output the input itself, perhaps with another shape? Such nodes cost nothing.
  virtual bool is_view(bool /*train*/) const { return false; }
  // Does element i of every result come from element i of x, adjoints and tangents alone? Then the
  // adjoint of the input may lie where that of the output was.
  virtual bool is_elementwise() const { return false; }
  // Do all passes find in y what they need of x? Then y may lie where x was.
  virtual bool is_projection() const { return false; }
  // Element by element: does y grow with x, or stay?
  virtual bool never_decreases() const { return false; }
  // Is every y the largest x of some?
  virtual bool takes_maxima() const { return false; }
  // Can forward leave dy/dx where x was, for jvp and vjp alone (Site::slopes)?
  virtual bool leaves_slopes() const { return false; }
  // Same: vjp reads neither x nor what was saved.
  virtual JacobianKind jacobian(bool /*train*/) const { return JacobianKind::any; }
  virtual MemoryOrder order() const { return MemoryOrder::api; }
  // Of a layer that reads integers: its inputs are in 0..limit-1. 0: it reads real numbers.
  virtual std::int64_t index_limit() const { return 0; }

  // Temporaries that forward writes for the other passes: arg-max indices, statistics.
  virtual std::vector<Operand> save(Emit& /*e*/, const Site& /*s*/) const { return {}; }

  // Does the output of a sample depend on other samples? Then columns of one sample reach others.
  virtual bool couples_samples(bool /*train*/) const { return false; }
  // After an accepted training step: moves the buffers by what `save` left at batch_statistics, two
  // numbers for each of the first buffer's.
  virtual void track(Emit& /*e*/, const Site& /*s*/) const {}

  virtual void forward(Emit& e, const Site& s, Out y) const = 0;
  virtual void jvp(Emit& e, const Site& s, const JvpPorts& p) const = 0;
  virtual void vjp(Emit& e, const Site& s, const VjpPorts& p) const = 0;
  virtual void vjp_dot(Emit& e, const Site& s, const SecondPorts& p) const = 0;
  virtual void diag(Emit& e, const Site& s, const DiagPorts& p) const = 0;
  // The quadratic form of the layer's own second derivative. By default from vjp_dot.
  virtual void second_form(Emit& e, const Site& s, const FormPorts& p) const;

  // Is y affine, piece by piece, in the inputs, `moving` of which change, with fixed parameters?
  virtual bool is_affine(bool /*train*/, int /*moving*/) const { return false; }
  // Is y = W x + b with one product for each sample, W first among the parameters?
  virtual bool is_dense(const Site& /*s*/) const { return false; }
  // How each parameter moves the output, the input fixed.
  struct ParameterColumns {
    math::WeightColumns columns;
    In x;
  };
  virtual bool has_parameter_columns() const { return false; }
  virtual std::vector<ParameterColumns> parameter_columns(Emit& e, const Site& s) const;
  // Those of a bias: it moves `units` numbers in each of `rows` rows.
  static ParameterColumns bias_columns(std::int64_t rows, std::int64_t units);

  // Layers whose output is linear in their parameters, S v = P(v, x), may state the Gram matrix
  // K = S_a S_b' between two uses a, b of theirs: u (+)= K c without forming S_b' c. Costs are
  // multiply-adds of a product with K, and of S_a followed by S_b'; zero without a rule.
  struct GramCost {
    std::int64_t gram = 0, direct = 0;
  };
  virtual GramCost gram_cost(const Site& a, const Site& b) const;
  virtual Operand gram(Emit& e, const Site& a, const Site& b) const;
  virtual void gram_apply(Emit& e, const Site& a, const Site& b, In k, In c, Out u) const;

  // Gradients of single samples, each the sum over all uses. Rows of `to`, one array for each
  // parameter, (+)= those of these samples.
  virtual void deposit_per_sample(Emit& e, const Uses& uses, SampleRange samples,
                                  const std::vector<SampleRows>& to) const;
  // to[i] (+)= scale * sum over columns and samples of their squares. This, and the moments, form
  // the gradients of some samples at a time.
  virtual void deposit_squares(Emit& e, const Uses& uses, std::int64_t reps, double scale,
                               const std::vector<Out>& to) const;
  virtual void deposit_moments(Emit& e, const Uses& uses, const MomentPorts& to) const;

  // The matrices that all parameters fall into; none without a rule. Rows x_t and g_t of samples
  // first .. first+count-1, of g among those of all reps.
  virtual std::vector<KroneckerPart> kronecker_parts() const { return {}; }
  virtual In kronecker_inputs(Emit& e, const Site& s, std::size_t part, std::int64_t first,
                              std::int64_t count) const;
  virtual In kronecker_adjoints(Emit& e, const Site& s, std::size_t part, In gy, std::int64_t first,
                                std::int64_t count) const;
  // Of one-hot inputs: to[j] (+)= the sum of weight[t] over the positions t whose x_t is row j.
  virtual void kronecker_counts(Emit& e, const Site& s, In weight, Out to) const;
};

// y[r] (+)= <p[r], q[r]> for rows of n numbers.
void row_dots(Emit& e, In p, In q, std::int64_t rows, std::int64_t n, Out y);

using OpPtr = std::shared_ptr<const Op>;

}  // namespace hesscore
