// Losses, the graph builder and the finished graph.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include "hesscore/objective.hpp"
#include "module.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace hesscore::python {
namespace {

// A class of its own, so that Python holds any loss as one opaque type.
struct AnyLoss {
  Loss loss;
};

Reduction reduction_of(bool mean) { return mean ? Reduction::mean : Reduction::sum; }

void bind_losses(nb::module_& m) {
  nb::class_<AnyLoss>(m, "Loss");
  m.def(
      "cross_entropy",
      [](std::vector<double> weight, std::optional<std::int64_t> ignore_index, double smoothing,
         bool mean) {
        return AnyLoss{
            CrossEntropyLoss{std::move(weight), ignore_index, smoothing, reduction_of(mean)}};
      },
      "weight"_a, "ignore_index"_a.none(), "label_smoothing"_a, "mean"_a);
  m.def("mse", [](bool mean) { return AnyLoss{MSELoss{reduction_of(mean)}}; }, "mean"_a);
  m.def(
      "bce_with_logits",
      [](std::vector<double> pos_weight, bool mean) {
        return AnyLoss{BCEWithLogitsLoss{std::move(pos_weight), reduction_of(mean)}};
      },
      "pos_weight"_a, "mean"_a);
  m.def(
      "gaussian_nll", [](bool mean) { return AnyLoss{GaussianNLLLoss{reduction_of(mean)}}; },
      "mean"_a);
  m.def(
      "poisson_nll", [](bool mean) { return AnyLoss{PoissonNLLLoss{reduction_of(mean)}}; },
      "mean"_a);
  m.def(
      "huber",
      [](double delta, bool mean) { return AnyLoss{HuberLoss{delta, reduction_of(mean)}}; },
      "delta"_a, "mean"_a);
}

nb::tuple shape_tuple(const Shape& shape) { return nb::tuple(nb::cast(shape)); }

nb::list layout_of(const Graph& graph) {
  nb::list layout;
  for (const Parameter& p : graph.parameters()) {
    layout.append(nb::make_tuple(p.name, p.offset, shape_tuple(p.shape)));
  }
  return layout;
}

// (name, layer, shape, number of parameters, quantities, quantities in training mode) of every
// layer; shared parameters count where first used.
nb::list rows_of(const Graph& graph) {
  nb::list rows;
  std::vector<bool> counted(graph.groups().size(), false);
  const auto evaluation = supported(graph), training = supported(graph, true);
  for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node& node = graph.nodes()[i];
    if (node.name.empty()) continue;  // a change of memory order
    std::string name = node.name;
    std::int64_t count = 0;
    if (node.group >= 0) {
      const auto g = static_cast<std::size_t>(node.group);
      name = graph.groups()[g].name;
      for (const int id : graph.groups()[g].ids) {
        if (!counted[g]) count += graph.parameters()[static_cast<std::size_t>(id)].size;
      }
      counted[g] = true;
    }
    rows.append(nb::make_tuple(name, describe(node.op.get()), shape_tuple(node.shape), count,
                               nb::tuple(nb::cast(evaluation[i])),
                               nb::tuple(nb::cast(training[i]))));
  }
  return rows;
}

// The sizes of the last axes; one axis is the second of the pair.
ConvOptions::Pair pair_of(const std::vector<std::int64_t>& sizes, std::int64_t missing) {
  if (sizes.size() == 1) return {missing, sizes[0]};
  return {sizes.at(0), sizes.at(1)};
}

using Sizes = std::vector<std::int64_t>;

GraphBuilder::Layer make_conv(GraphBuilder& b, std::int64_t in, std::int64_t out,
                              const Sizes& kernel, const Sizes& stride, const Sizes& before,
                              const Sizes& after, const Sizes& dilation,
                              const Sizes& output_padding, std::int64_t groups, bool bias,
                              bool transposed, std::string name) {
  const ConvOptions options{.kernel = pair_of(kernel, 1),
                            .stride = pair_of(stride, 1),
                            .padding_before = pair_of(before, 0),
                            .padding_after = pair_of(after, 0),
                            .dilation = pair_of(dilation, 1),
                            .output_padding = pair_of(output_padding, 0),
                            .groups = groups,
                            .bias = bias};
  return b.make_conv(kernel.size(), in, out, options, transposed, std::move(name));
}

// (name, shape) of every buffer.
nb::list buffers_of(const Graph& graph) {
  nb::list buffers;
  for (const NamedBuffer& b : graph.buffers()) {
    buffers.append(nb::make_tuple(b.name, shape_tuple(b.shape)));
  }
  return buffers;
}

PoolOptions pool_options(const Sizes& kernel, const Sizes& stride, const Sizes& padding) {
  PoolOptions options;
  options.kernel = pair_of(kernel, 1);
  options.stride = pair_of(stride, 1);
  options.padding = pair_of(padding, 0);
  return options;
}

int max_pool(GraphBuilder& b, int x, const Sizes& kernel, const Sizes& stride, const Sizes& padding,
             const Sizes& dilation, bool ceil_mode) {
  PoolOptions options = pool_options(kernel, stride, padding);
  options.dilation = pair_of(dilation, 1);
  options.ceil_mode = ceil_mode;
  return b.max_pool(x, kernel.size(), options);
}

int avg_pool(GraphBuilder& b, int x, const Sizes& kernel, const Sizes& stride, const Sizes& padding,
             bool ceil_mode, bool count_include_pad, std::optional<std::int64_t> divisor) {
  PoolOptions options = pool_options(kernel, stride, padding);
  options.ceil_mode = ceil_mode;
  options.count_include_pad = count_include_pad;
  options.divisor_override = divisor;
  return b.avg_pool(x, kernel.size(), options);
}

int zero_pad(GraphBuilder& b, int x, const std::vector<Sizes>& padding) {
  std::vector<std::array<std::int64_t, 2>> pairs;
  for (const Sizes& p : padding) pairs.push_back({p.at(0), p.at(1)});
  return b.zero_pad(x, pairs);
}

std::vector<std::string> input_names(const Graph& graph) {
  std::vector<std::string> names;
  for (const int id : graph.inputs()) {
    names.push_back(graph.nodes()[static_cast<std::size_t>(id)].name);
  }
  return names;
}

}  // namespace

void bind_graph(nb::module_& m) {
  bind_losses(m);
  m.def("activations", &activations);
  nb::class_<Graph>(m, "Graph")
      .def_prop_ro("num_params", &Graph::num_params)
      .def_prop_ro("layout", &layout_of)
      .def_prop_ro("rows", &rows_of)
      .def_prop_ro("buffers", &buffers_of)
      .def_prop_ro("inputs", &input_names)
      .def_prop_ro("output_shape", [](const Graph& g) {
        return shape_tuple(g.nodes()[static_cast<std::size_t>(g.output())].shape);
      });

  nb::class_<GraphBuilder::Layer>(m, "Layer");
  nb::class_<GraphBuilder>(m, "GraphBuilder")
      .def(nb::init<>())
      .def("input", &GraphBuilder::input, "shape"_a, "name"_a)
      .def("make_linear", &GraphBuilder::make_linear, "in_features"_a, "out_features"_a, "bias"_a,
           "name"_a)
      .def("make_conv", &make_conv, "in_channels"_a, "out_channels"_a, nb::kw_only(), "kernel"_a,
           "stride"_a, "padding_before"_a, "padding_after"_a, "dilation"_a, "output_padding"_a,
           "groups"_a, "bias"_a, "transposed"_a, "name"_a)
      .def(
          "make_batch_norm",
          [](GraphBuilder& b, std::size_t axes, std::int64_t features, double eps,
             std::optional<double> momentum, bool affine, bool track, std::string name) {
            return b.make_batch_norm(axes, features, {eps, momentum, affine, track},
                                     std::move(name));
          },
          "axes"_a, "features"_a, "eps"_a, "momentum"_a.none(), "affine"_a, "track"_a, "name"_a)
      .def(
          "make_layer_norm",
          [](GraphBuilder& b, const Shape& shape, double eps, bool affine, bool bias,
             std::string name) {
            return b.make_layer_norm(shape, {eps, affine, bias}, std::move(name));
          },
          "shape"_a, "eps"_a, "affine"_a, "bias"_a, "name"_a)
      .def(
          "make_rms_norm",
          [](GraphBuilder& b, const Shape& shape, std::optional<double> eps, bool affine,
             std::string name) { return b.make_rms_norm(shape, {eps, affine}, std::move(name)); },
          "shape"_a, "eps"_a.none(), "affine"_a, "name"_a)
      .def(
          "make_group_norm",
          [](GraphBuilder& b, std::int64_t groups, std::int64_t channels, double eps, bool affine,
             std::string name) {
            return b.make_group_norm(groups, channels, {eps, affine}, std::move(name));
          },
          "groups"_a, "channels"_a, "eps"_a, "affine"_a, "name"_a)
      .def(
          "make_instance_norm",
          [](GraphBuilder& b, std::size_t axes, std::int64_t features, double eps, bool affine,
             std::string name) {
            return b.make_instance_norm(axes, features, {eps, affine}, std::move(name));
          },
          "axes"_a, "features"_a, "eps"_a, "affine"_a, "name"_a)
      .def("make_embedding", &GraphBuilder::make_embedding, "num_embeddings"_a, "embedding_dim"_a,
           "padding_idx"_a.none(), "name"_a)
      .def("call", &GraphBuilder::call, "layer"_a, "x"_a)
      .def("activation", &GraphBuilder::activation, "x"_a, "name"_a, "alpha"_a.none())
      .def("flatten", &GraphBuilder::flatten, "x"_a)
      .def("identity", &GraphBuilder::identity, "x"_a)
      .def("dropout", &GraphBuilder::dropout, "x"_a, "p"_a)
      .def("add", &GraphBuilder::add, "xs"_a)
      .def("multiply", &GraphBuilder::multiply, "a"_a, "b"_a)
      .def("inner_product", &GraphBuilder::inner_product, "a"_a, "b"_a)
      .def("max_pool", &max_pool, "x"_a, "kernel"_a, "stride"_a, "padding"_a, "dilation"_a,
           "ceil_mode"_a)
      .def("avg_pool", &avg_pool, "x"_a, "kernel"_a, "stride"_a, "padding"_a, "ceil_mode"_a,
           "count_include_pad"_a, "divisor_override"_a.none())
      .def("adaptive_max_pool", &GraphBuilder::adaptive_max_pool, "x"_a, "size"_a)
      .def("adaptive_avg_pool", &GraphBuilder::adaptive_avg_pool, "x"_a, "size"_a)
      .def("global_avg_pool", &GraphBuilder::global_avg_pool, "x"_a)
      .def("zero_pad", &zero_pad, "x"_a, "padding"_a)
      .def("upsample", &GraphBuilder::upsample, "x"_a, "size"_a)
      .def("upsample_by", &GraphBuilder::upsample_by, "x"_a, "factors"_a)
      .def("slice", &GraphBuilder::slice, "x"_a, "axis"_a, "start"_a, "stop"_a.none(), "step"_a)
      .def("reshape", &GraphBuilder::reshape, "x"_a, "to"_a)
      .def("unflatten", &GraphBuilder::unflatten, "x"_a, "axis"_a, "sizes"_a)
      .def("concat", &GraphBuilder::concat, "xs"_a, "axis"_a)
      .def(
          "shape", [](const GraphBuilder& b, int node) { return shape_tuple(b.shape(node)); },
          "node"_a)
      .def(
          "finish",
          [](const GraphBuilder& b, int output, const AnyLoss& loss) {
            return GraphBuilder(b).finish(output, loss.loss);  // finish() empties its builder
          },
          "output"_a, "loss"_a);
}

}  // namespace hesscore::python
