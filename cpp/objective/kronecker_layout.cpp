// Blocks of parameters and the places of their factors.
#include "objective/kronecker_layout.hpp"

#include <algorithm>

namespace hesscore {
namespace {

const Op& op_of(const Graph& graph, int group) {
  const auto node = std::find_if(graph.nodes().begin(), graph.nodes().end(),
                                 [&](const Node& n) { return n.group == group; });
  return *node->op;
}

class Layout {
 public:
  Layout(const Graph& graph, bool separate_bias) : graph_(graph), separate_(separate_bias) {}

  KroneckerLayout make() {
    for (std::size_t g = 0; g < graph_.groups().size(); ++g) {
      const auto parts = op_of(graph_, static_cast<int>(g)).kronecker_parts();
      for (std::size_t k = 0; k < parts.size(); ++k) {
        suffix_ = parts.size() > 1 && !parts[k].contracted ? "[" + std::to_string(k) + "]" : "";
        add(static_cast<int>(g), k, parts[k]);
      }
    }
    return std::move(layout_);
  }

 private:
  const Parameter& parameter(int group, int of_layer) const {
    const auto& ids = graph_.groups()[static_cast<std::size_t>(group)].ids;
    return graph_.parameters()[static_cast<std::size_t>(ids[static_cast<std::size_t>(of_layer)])];
  }

  void add(int group, std::size_t k, const KroneckerPart& part) {
    const Parameter& weight = parameter(group, part.parameter);
    const bool apart = part.contracted || (separate_ && part.bias >= 0);
    KroneckerPlace p;
    p.name =
        (apart ? weight.name : graph_.groups()[static_cast<std::size_t>(group)].name) + suffix_;
    p.group = group;
    p.part = k;
    p.shape = part;
    p.rows = part.rows;
    p.columns = part.columns();
    p.diagonal = part.one_hot;
    p.weights = p.columns > 0;
    (p.weights ? p.weight_at : p.bias_at) = weight.offset + part.offset;
    if (p.weights && part.bias >= 0 && !apart) {
      p.bias_at = parameter(group, part.bias).offset + part.bias_offset;
    }
    if (p.bias_at >= 0) ++p.columns;
    place(p, -1);
    if (part.contracted || part.bias < 0 || !apart) return;
    const Parameter& bias = parameter(group, part.bias);
    KroneckerPlace b = p;
    b.name = bias.name + suffix_;
    b.columns = 1;
    b.weights = false;
    b.weight_at = -1;
    b.bias_at = bias.offset + part.bias_offset;
    place(b, layout_.places.back().g);
  }

  // G is shared if it is somewhere already.
  void place(KroneckerPlace& p, std::int64_t shared_g) {
    p.a = layout_.factors;
    layout_.factors += p.diagonal ? p.columns : element_count({p.columns, p.columns});
    p.g = shared_g;
    if (shared_g < 0) {
      p.g = layout_.factors;
      layout_.factors += element_count({p.rows, p.rows});
    }
    p.matrix_at = matrices_;
    matrices_ += p.elements();
    layout_.places.push_back(p);
  }

  const Graph& graph_;
  const bool separate_;
  std::string suffix_;
  KroneckerLayout layout_;
  std::int64_t matrices_ = 0;
};

}  // namespace

KroneckerLayout kronecker_layout(const Graph& graph, bool separate_bias) {
  return Layout(graph, separate_bias).make();
}

std::string without_kronecker_rule(const Graph& graph) {
  std::string layers;
  for (std::size_t g = 0; g < graph.groups().size(); ++g) {
    const Op& op = op_of(graph, static_cast<int>(g));
    if (!op.kronecker_parts().empty() || graph.groups()[g].ids.empty()) continue;
    layers += (layers.empty() ? "" : ", ") + op.describe() + " '" + graph.groups()[g].name + "'";
  }
  return layers;
}

std::string without_recursion(const Graph& graph, bool train) {
  constexpr std::int64_t kWidest = 8192;  // of the averages (n, n) at a value
  const auto& nodes = graph.nodes();
  std::vector<bool> active;  // do parameters reach its value?
  std::vector<int> readers(nodes.size(), 0), uses(graph.groups().size(), 0);
  for (const Node& n : nodes) {
    bool reached = n.group >= 0;
    for (const int in : n.inputs) {
      reached = reached || active[static_cast<std::size_t>(in)];
      ++readers[static_cast<std::size_t>(in)];
    }
    active.push_back(reached);
    if (n.group >= 0) ++uses[static_cast<std::size_t>(n.group)];
  }
  std::string layers;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const Node& n = nodes[i];
    if (!n.op || !active[i]) continue;
    const auto in = static_cast<std::size_t>(n.inputs[0]);
    const bool above = active[in] && !n.op->is_view(train);
    const bool one = n.inputs.size() == 1 && (!active[in] || readers[in] == 1);
    const bool once = n.group < 0 || uses[static_cast<std::size_t>(n.group)] == 1;
    const bool known = !above || n.op->jacobian(train) != JacobianKind::any;
    const bool norm = n.group >= 0 && n.op->kronecker_parts()[0].contracted;
    if (one && once && known && !norm && element_count(n.shape) <= kWidest) continue;
    layers += (layers.empty() ? "" : ", ") + n.op->describe() + " '" + n.name + "'";
  }
  return layers;
}

}  // namespace hesscore
