// GraphBuilder: nodes are checked and given shapes as they are added.
#include <algorithm>
#include <cmath>

#include "hesscore/graph.hpp"
#include "math/activations.hpp"
#include "ops/conv.hpp"
#include "ops/linear.hpp"
#include "ops/memory_order.hpp"
#include "ops/structural.hpp"

namespace hesscore {
namespace {

void check_node(const Graph& graph, int node) {
  const auto n = static_cast<int>(graph.nodes().size());
  if (node < 0 || node >= n) {
    throw GraphError("node", "one of the " + std::to_string(n) + " nodes so far",
                     std::to_string(node));
  }
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0]++;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t up = row[j];
      row[j] = std::min({up + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
      diagonal = up;
    }
  }
  return row[b.size()];
}

}  // namespace

int GraphBuilder::in_order(int i, bool channels_last) {
  const Node& node = graph_.nodes()[static_cast<std::size_t>(i)];
  if (node.channels_last == channels_last || node.shape.size() < 2) return i;
  const auto [known, missing] = reordered_.try_emplace(i, static_cast<int>(graph_.nodes_.size()));
  if (missing) {
    auto op = std::make_shared<Reorder>(node.shape, channels_last);
    graph_.nodes_.push_back({std::move(op), {i}, -1, "", node.shape, channels_last});
  }
  return known->second;
}

int GraphBuilder::push(OpPtr op, std::vector<int> inputs, int group, int buffers) {
  bool channels_last = op->order() == MemoryOrder::channels_last;
  std::vector<Shape> shapes;
  for (const int i : inputs) {
    check_node(graph_, i);
    check_reads(*op, i);
    shapes.push_back(shape(i));
    if (op->order() == MemoryOrder::any) {
      channels_last = channels_last || graph_.nodes()[static_cast<std::size_t>(i)].channels_last;
    }
  }
  Shape y = op->output_shape(shapes);
  element_count(y);  // or SizeError
  for (int& i : inputs) i = in_order(i, channels_last);
  channels_last = channels_last && y.size() > 1;
  Node node{std::move(op), std::move(inputs), group,  std::to_string(layers_++),
            std::move(y),  channels_last,     buffers};
  graph_.nodes_.push_back(std::move(node));
  return static_cast<int>(graph_.nodes_.size()) - 1;
}

int GraphBuilder::input(Shape shape, std::string name) {
  for (const std::int64_t d : shape) {
    if (d < 1) throw GraphError("shape of input " + name, "positive sizes", to_string(shape));
  }
  for (const int i : graph_.inputs_) {
    if (graph_.nodes_[static_cast<std::size_t>(i)].name == name) {
      throw GraphError("name of an input", "a name not taken yet", "'" + name + "'");
    }
  }
  graph_.nodes_.push_back({nullptr, {}, -1, std::move(name), std::move(shape)});
  graph_.inputs_.push_back(static_cast<int>(graph_.nodes_.size()) - 1);
  return graph_.inputs_.back();
}

GraphBuilder::Layer GraphBuilder::make_linear(std::int64_t in, std::int64_t out, bool bias,
                                              std::string name) {
  return make_layer(std::make_shared<Linear>(in, out, bias), std::move(name));
}

GraphBuilder::Layer GraphBuilder::make_layer(OpPtr op, std::string name) {
  if (name.empty()) name = std::to_string(layers_);
  const auto taken = [&](const auto& known) {
    return known.name.substr(0, known.name.rfind('.')) == name;
  };
  if (std::any_of(graph_.parameters_.begin(), graph_.parameters_.end(), taken) ||
      std::any_of(graph_.buffers_.begin(), graph_.buffers_.end(), taken)) {
    throw GraphError("name of a layer", "a name not taken yet", "'" + name + "'");
  }
  Layer layer{op};
  for (const BufferShape& b : op->buffers()) {
    if (layer.buffers < 0) layer.buffers = static_cast<int>(graph_.buffers_.size());
    const std::int64_t offset =
        graph_.buffers_.empty() ? 0 : graph_.buffers_.back().offset + graph_.buffers_.back().size;
    graph_.buffers_.push_back(
        {name + "." + b.name, b.shape, offset, element_count(b.shape), b.start});
  }
  ParameterGroup group{std::move(name), {}};
  for (const ParameterShape& p : op->parameters()) {
    const std::int64_t size = element_count(p.shape);
    group.ids.push_back(static_cast<int>(graph_.parameters_.size()));
    graph_.parameters_.push_back({group.name + "." + p.name, p.shape, graph_.num_params_, size,
                                  p.fan_in, p.fan_out, p.start, p.zero_row});
    graph_.num_params_ += size;
  }
  if (group.ids.empty()) return layer;
  graph_.groups_.push_back(std::move(group));
  layer.group = static_cast<int>(graph_.groups_.size()) - 1;
  return layer;
}

GraphBuilder::Layer GraphBuilder::make_conv(std::size_t dimensions, std::int64_t in,
                                            std::int64_t out, const ConvOptions& options,
                                            bool transposed, std::string name) {
  return make_layer(std::make_shared<Convolution>(dimensions, in, out, options, transposed),
                    std::move(name));
}

int GraphBuilder::conv2d(int x, std::int64_t out, const ConvOptions& options, std::string name) {
  const Shape& in = shape(x);
  if (in.empty()) throw ShapeError("input of Conv2d", "(C, H, W)", "()");
  return call(make_conv(2, in[0], out, options, false, std::move(name)), x);
}

int GraphBuilder::call(const Layer& layer, int x) {
  return push(layer.op, {x}, layer.group, layer.buffers);
}

int GraphBuilder::linear(int x, std::int64_t out, bool bias, std::string name) {
  const Shape& in = shape(x);
  if (in.empty()) throw ShapeError("input of Linear", "at least one feature axis", "()");
  return call(make_linear(in.back(), out, bias, std::move(name)), x);
}

int GraphBuilder::activation(int x, std::string_view name, std::optional<double> alpha) {
  std::string_view nearest;
  std::size_t best = ~std::size_t{0};
  for (std::int32_t id = 0; id < math::kActivationCount; ++id) {
    const math::ActivationInfo& known = math::kActivations[id];
    if (name == known.name) {
      if (alpha && !(known.has_alpha && std::isfinite(*alpha))) {
        throw GraphError("alpha of " + std::string(name),
                         known.has_alpha ? "a finite number" : "nothing", std::to_string(*alpha));
      }
      const kernels::Activation act{id, alpha.value_or(known.alpha)};
      return push(std::make_shared<Elementwise>(known.name, act), {x});
    }
    const std::size_t distance = edit_distance(name, known.name);
    if (distance < best) best = distance, nearest = known.name;
  }
  throw GraphError("activation", "a known name; did you mean '" + std::string(nearest) + "'?",
                   "'" + std::string(name) + "'");
}

int GraphBuilder::flatten(int x) {
  return push(std::make_shared<Reshape>("Flatten", Shape{-1}), {x});
}
int GraphBuilder::identity(int x) { return push(std::make_shared<Reshape>("Identity"), {x}); }
int GraphBuilder::dropout(int x, double p) { return push(std::make_shared<Dropout>(p), {x}); }

int GraphBuilder::add(const std::vector<int>& xs) {
  if (xs.empty()) throw GraphError("inputs of Add", "at least one", "none");
  return push(std::make_shared<Add>(), xs);
}

int GraphBuilder::concat(const std::vector<int>& xs, int axis) {
  if (xs.empty()) throw GraphError("inputs of Concat", "at least one", "none");
  return push(std::make_shared<Concat>(axis), xs);
}

const Shape& GraphBuilder::shape(int node) const {
  check_node(graph_, node);
  return graph_.nodes_[static_cast<std::size_t>(node)].shape;
}

Graph GraphBuilder::finish(int output, Loss loss) {
  check_node(graph_, output);
  if (graph_.nodes()[static_cast<std::size_t>(output)].index_limit > 0) {
    throw GraphError("output", "a node of real numbers", "an input of integers");
  }
  output = in_order(output, false);
  graph_.output_ = output;
  graph_.loss_ = std::move(loss);
  std::vector<bool> used(graph_.nodes_.size(), false);
  used[static_cast<std::size_t>(output)] = true;
  std::string dangling;
  for (std::size_t i = graph_.nodes_.size(); i-- > 0;) {
    const Node& n = graph_.nodes_[i];
    if (!used[i]) dangling += " " + (n.op ? n.op->describe() : "input") + " '" + n.name + "'";
    for (const int in : n.inputs)
      used[static_cast<std::size_t>(in)] = used[static_cast<std::size_t>(in)] || used[i];
  }
  if (!dangling.empty()) {
    throw GraphError("graph", "nodes that all lead to the output", "dangling:" + dangling);
  }
  return graph_;
}

std::vector<std::string> activations() {
  std::vector<std::string> names;
  for (const math::ActivationInfo& a : math::kActivations) names.emplace_back(a.name);
  return names;
}

}  // namespace hesscore
