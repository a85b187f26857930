// GraphBuilder: embeddings, and which inputs are integers.
#include <algorithm>

#include "hesscore/graph.hpp"
#include "ops/embedding.hpp"

namespace hesscore {

GraphBuilder::Layer GraphBuilder::make_embedding(std::int64_t rows, std::int64_t columns,
                                                 std::optional<std::int64_t> padding,
                                                 std::string name) {
  return make_layer(std::make_shared<Embedding>(rows, columns, padding), std::move(name));
}

int GraphBuilder::embedding(int x, std::int64_t rows, std::int64_t columns, std::string name) {
  return call(make_embedding(rows, columns, {}, std::move(name)), x);
}

// An input is one of integers from the first embedding on that reads it.
void GraphBuilder::check_reads(const Op& op, int i) {
  Node& node = graph_.nodes_[static_cast<std::size_t>(i)];
  const std::int64_t limit = op.index_limit();
  if (limit == 0) {
    if (node.index_limit == 0) return;
    throw GraphError("input of " + op.describe(), "real numbers",
                     "'" + node.name + "', the integers of an embedding");
  }
  const std::string argument = "input of " + op.describe();
  if (node.op) {
    throw GraphError(argument, "an input of the graph, of integers", node.op->describe());
  }
  for (const Node& n : graph_.nodes_) {
    const bool reads = std::find(n.inputs.begin(), n.inputs.end(), i) != n.inputs.end();
    if (!reads || n.op->index_limit() > 0) continue;
    throw GraphError(argument, "an input that only embeddings read",
                     "'" + node.name + "', which " + n.op->describe() + " reads, too");
  }
  node.index_limit = node.index_limit == 0 ? limit : std::min(limit, node.index_limit);
}

}  // namespace hesscore
