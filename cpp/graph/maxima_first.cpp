// Maxima before activations: neighbours in the list of nodes change places.
#include "graph/maxima_first.hpp"

#include <utility>

#include "ops/op.hpp"

namespace hesscore {
namespace {

bool takes_maxima(const Node& n) { return n.op && n.op->takes_maxima(); }
bool never_decreases(const Node& n) { return n.op && n.op->never_decreases(); }

std::vector<int> uses_of(const std::vector<Node>& nodes, int output) {
  std::vector<int> uses(nodes.size(), 0);
  ++uses[static_cast<std::size_t>(output)];
  for (const Node& n : nodes) {
    for (const int i : n.inputs) ++uses[static_cast<std::size_t>(i)];
  }
  return uses;
}

}  // namespace

Graph maxima_first(Graph graph) {
  std::vector<Node>& nodes = graph.nodes_;
  const std::vector<int> uses = uses_of(nodes, graph.output_);
  for (std::size_t end = 0; end < nodes.size(); ++end) {
    for (std::size_t at = end; takes_maxima(nodes[at]);) {
      const auto before = static_cast<std::size_t>(nodes[at].inputs[0]);
      if (!never_decreases(nodes[before]) || uses[before] != 1) break;
      std::swap(nodes[before], nodes[at]);
      Node &maximum = nodes[before], &activation = nodes[at];
      maximum.inputs = std::exchange(activation.inputs, {static_cast<int>(before)});
      activation.shape = maximum.shape;
      activation.channels_last = maximum.channels_last;
      at = before;
    }
  }
  return graph;
}

}  // namespace hesscore
