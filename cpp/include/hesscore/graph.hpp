// Graphs: an immutable DAG of layers with one loss, made by a GraphBuilder.
//
// Conventions of the whole engine, stated once: arrays are batch first and row-major; shapes here
// leave the batch out. `w` parameters, `x` input of a layer, `y` its output, `z` the network's
// output; `g` an adjoint (dL/d.), `h` a diagonal curvature, a leading `d` a tangent.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "hesscore/core.hpp"

namespace hesscore {

enum class Reduction { mean, sum };

// Integer labels (N,) or (N, d1...), or class probabilities (N, C) or (N, C, d1...).
struct CrossEntropyLoss {
  std::vector<double> weight = {};  // per class; empty: all one
  std::optional<std::int64_t> ignore_index = {};
  double label_smoothing = 0;
  Reduction reduction = Reduction::mean;
};
struct MSELoss {  // mean divides by the number of elements
  Reduction reduction = Reduction::mean;
};
struct BCEWithLogitsLoss {
  std::vector<double> pos_weight = {};  // one value, or one for each output element
  Reduction reduction = Reduction::mean;
};
struct GaussianNLLLoss {  // outputs (N, 2k, ...): k means, then k log-variances
  Reduction reduction = Reduction::mean;
};
struct PoissonNLLLoss {  // outputs are log-rates
  Reduction reduction = Reduction::mean;
};
struct HuberLoss {
  double delta = 1;
  Reduction reduction = Reduction::mean;
};
using Loss = std::variant<CrossEntropyLoss, MSELoss, BCEWithLogitsLoss, GaussianNLLLoss,
                          PoissonNLLLoss, HuberLoss>;

// Of the two spatial axes; a one-dimensional convolution uses the second. padding_before and
// padding_after are rows and columns of zeros; output_padding belongs to transposed convolutions.
struct ConvOptions {
  using Pair = std::array<std::int64_t, 2>;
  Pair kernel{1, 1}, stride{1, 1}, padding_before{0, 0}, padding_after{0, 0}, dilation{1, 1};
  Pair output_padding{0, 0};
  std::int64_t groups = 1;
  bool bias = true;
};

// Of the two spatial axes; pooling in one dimension uses the second. Without a stride windows lie
// side by side. Dilation belongs to maximum pooling, the last two to average pooling.
struct PoolOptions {
  using Pair = std::array<std::int64_t, 2>;
  Pair kernel{1, 1};
  std::optional<Pair> stride = {};
  Pair padding{0, 0}, dilation{1, 1};
  bool ceil_mode = false;
  bool count_include_pad = true;
  std::optional<std::int64_t> divisor_override = {};
};

// momentum: running = (1 - momentum) running + momentum batch; none: the average of all batches.
// Without track_running_stats, evaluation takes the statistics of its batch, too.
struct BatchNormOptions {
  double eps = 1e-5;
  std::optional<double> momentum = 0.1;
  bool affine = true, track_running_stats = true;
};
struct LayerNormOptions {
  double eps = 1e-5;
  bool affine = true, bias = true;
};
struct RMSNormOptions {
  std::optional<double> eps = {};  // none: the spacing of numbers at 1 in the dtype of x
  bool affine = true;
};
struct GroupNormOptions {
  double eps = 1e-5;
  bool affine = true;
};

class Op;

// "Linear(784, 10)", "tanh", "input"
HESSCORE_API std::string describe(const Op* op);

// What a parameter is before training: as the scheme says, or the same in every scheme.
enum class Start { scheme, zeros, ones, standard_normal };

struct Parameter {
  std::string name;  // "0.weight"
  Shape shape;
  std::int64_t offset = 0;  // first element in the flat vector
  std::int64_t size = 0;
  std::int64_t fan_in = 0, fan_out = 0;
  Start start = Start::scheme;
  std::int64_t zero_row = -1;  // starts as zero; -1: none
};

// Parameters of one layer; used twice, they are shared.
struct ParameterGroup {
  std::string name;
  std::vector<int> ids;  // into Graph::parameters()
};

// State of a layer that is no parameter, kept in float64: running statistics of batch norm. Used
// twice, the layer's are shared.
struct NamedBuffer {
  std::string name;  // "0.running_mean"
  Shape shape;
  std::int64_t offset = 0;  // first element among all buffers
  std::int64_t size = 0;
  double start = 0;  // every element's value before training
};

struct Node {
  std::shared_ptr<const Op> op;  // null for an input
  std::vector<int> inputs;       // nodes
  int group = -1;                // into Graph::groups(), -1 without parameters
  std::string name;
  Shape shape;                 // per sample
  bool channels_last = false;  // its memory is (d1, ..., C) where its shape is (C, d1, ...)
  int buffers = -1;            // the first one of its layer in Graph::buffers(), or -1
  // Of an input that embeddings read: an array of int64 in 0..index_limit-1. 0: of the dtype of w.
  std::int64_t index_limit = 0;
};

class HESSCORE_API Graph {
 public:
  const std::vector<Node>& nodes() const { return nodes_; }  // in topological order
  const std::vector<int>& inputs() const { return inputs_; }
  int output() const { return output_; }
  const Loss& loss() const { return loss_; }
  const std::vector<Parameter>& parameters() const { return parameters_; }
  const std::vector<ParameterGroup>& groups() const { return groups_; }
  std::int64_t num_params() const { return num_params_; }
  const std::vector<NamedBuffer>& buffers() const { return buffers_; }

 private:
  friend class GraphBuilder;
  friend Graph maxima_first(Graph graph);  // how it is evaluated
  std::vector<Node> nodes_;
  std::vector<int> inputs_;
  int output_ = -1;
  Loss loss_;
  std::vector<Parameter> parameters_;
  std::vector<ParameterGroup> groups_;
  std::int64_t num_params_ = 0;
  std::vector<NamedBuffer> buffers_;
};

// Every method returns the number of the new node. A name that is left empty becomes the running
// number of the layer. Shape clashes throw GraphError or ShapeError at the call.
class HESSCORE_API GraphBuilder {
 public:
  int input(Shape shape, std::string name = "x");

  // A layer whose parameters can be used more than once: make it, then call it.
  struct Layer {
    std::shared_ptr<const Op> op;
    int group = -1, buffers = -1;
  };
  Layer make_linear(std::int64_t in, std::int64_t out, bool bias = true, std::string name = "");
  int call(const Layer& layer, int x);

  // dimensions: 1 for inputs (C, L), 2 for (C, H, W).
  Layer make_conv(std::size_t dimensions, std::int64_t in, std::int64_t out,
                  const ConvOptions& options, bool transposed = false, std::string name = "");
  int conv2d(int x, std::int64_t out, const ConvOptions& options, std::string name = "");

  // Normalisations. dimensions: 1 for inputs (C,) or (C, L), 2 for (C, H, W). Over the batch; over
  // the last axes, which are `shape`; over positions and the channels of a group; over positions.
  Layer make_batch_norm(std::size_t dimensions, std::int64_t features,
                        const BatchNormOptions& options = {}, std::string name = "");
  Layer make_layer_norm(const Shape& shape, const LayerNormOptions& options = {},
                        std::string name = "");
  Layer make_rms_norm(const Shape& shape, const RMSNormOptions& options = {},
                      std::string name = "");
  Layer make_group_norm(std::int64_t groups, std::int64_t channels,
                        const GroupNormOptions& options = {}, std::string name = "");
  Layer make_instance_norm(std::size_t dimensions, std::int64_t features,
                           const GroupNormOptions& options = {.affine = false},
                           std::string name = "");
  // Rows of a table (rows, columns), looked up by an input, which is then one of integers and feeds
  // nothing but embeddings: (d1, ...) becomes (d1, ..., columns). The row `padding` starts as zero,
  // and its derivatives are zero.
  Layer make_embedding(std::int64_t rows, std::int64_t columns,
                       std::optional<std::int64_t> padding = {}, std::string name = "");
  int embedding(int x, std::int64_t rows, std::int64_t columns, std::string name = "");

  int linear(int x, std::int64_t out, bool bias = true, std::string name = "");
  int activation(int x, std::string_view name, std::optional<double> alpha = {});
  int relu(int x) { return activation(x, "relu"); }
  int tanh(int x) { return activation(x, "tanh"); }
  int sigmoid(int x) { return activation(x, "sigmoid"); }
  int gelu(int x) { return activation(x, "gelu"); }
  int silu(int x) { return activation(x, "silu"); }
  int softplus(int x) { return activation(x, "softplus"); }
  int flatten(int x);
  int identity(int x);
  int dropout(int x, double p);
  int add(const std::vector<int>& xs);
  int concat(const std::vector<int>& xs, int axis = 1);  // axis counts the batch, as in NumPy

  // dimensions: 1 for inputs (C, L), 2 for (C, H, W); sizes are those of the spatial axes.
  int max_pool(int x, std::size_t dimensions, const PoolOptions& options);
  int avg_pool(int x, std::size_t dimensions, const PoolOptions& options);
  int adaptive_max_pool(int x, const Shape& size);  // -1 keeps an axis
  int adaptive_avg_pool(int x, const Shape& size);
  int global_avg_pool(int x);  // (C, 1) or (C, 1, 1)
  // Zeros before and behind each spatial axis; negative numbers crop.
  int zero_pad(int x, const std::vector<std::array<std::int64_t, 2>>& padding);
  int upsample(int x, const Shape& size);  // nearest neighbours
  int upsample_by(int x, const Shape& factors);

  // x[start:stop:step] along one axis, as in NumPy, with a positive step.
  int slice(int x, int axis, std::int64_t start, std::optional<std::int64_t> stop = {},
            std::int64_t step = 1);
  int reshape(int x, Shape to);  // without the batch; -1 for a size that follows from the others
  int unflatten(int x, int axis, Shape sizes);
  int multiply(int a, int b);       // as many axes each; those of size 1 are repeated
  int inner_product(int a, int b);  // over the last axis: (D,) with (D,) or (K, D) to (1,) or (K,)

  const Shape& shape(int node) const;
  Graph finish(int output, Loss loss);

 private:
  int push(std::shared_ptr<const Op> op, std::vector<int> inputs, int group = -1, int buffers = -1);
  void check_reads(const Op& op, int node);    // integers or real numbers
  int in_order(int node, bool channels_last);  // the node, or a copy in the other memory order
  Layer make_layer(std::shared_ptr<const Op> op, std::string name);
  Graph graph_;
  int layers_ = 0;
  std::map<int, int> reordered_;  // nodes that exist in the other memory order too
};

// Names accepted by GraphBuilder::activation.
HESSCORE_API std::vector<std::string> activations();

}  // namespace hesscore
