// Sweep: emits the passes over a graph. Every quantity is a composition of these.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "hesscore/graph.hpp"
#include "ops/op.hpp"

namespace hesscore {

// Where the parameters' results of a backward pass go: a flat array in the layout of w; results of
// different reps are `stride` elements apart. It knows what has been written, so that shared layers
// accumulate and parameters nobody reached are set to zero.
class ParameterSink {
 public:
  ParameterSink() = default;  // absent
  ParameterSink(const Graph& graph, Operand to, std::int64_t stride = 0)
      : graph_(&graph), to_(to), stride_(stride), written_(graph.parameters().size(), false) {}
  // Adds to what is there.
  static ParameterSink adding_to(const Graph& graph, Operand to) {
    ParameterSink sink(graph, to);
    sink.written_.assign(graph.parameters().size(), true);
    return sink;
  }

  explicit operator bool() const { return graph_ != nullptr; }
  std::int64_t stride() const { return stride_; }
  void watch() { watch_ = true; }  // values that are not moderate raise the alarm
  void add() { written_.assign(written_.size(), true); }  // to what is there
  std::vector<Out> take(int group);             // one for each parameter; marks them written
  void finish(Emit& e, std::int64_t reps = 1);  // zeros where nothing was written

 private:
  const Graph* graph_ = nullptr;
  Operand to_;
  std::int64_t stride_ = 0;
  bool watch_ = false;
  std::vector<bool> written_;
};

using NodeArrays = std::vector<Operand>;  // one for each node; views share their source's

// A part of a graph: some nodes, perhaps the uses of parameter groups, and all that depends on
// them.
struct Part {
  std::vector<bool> groups, nodes;
  std::vector<std::size_t> starts;
};

// Tangents of one group's parameters, v in the group's own layout, and what its columns give.
struct GroupTangents {
  int group = -1;
  Operand v, hw;
  std::int64_t stride = 0;
};

// One diagonal that rides on a backward sweep.
struct DiagStream {
  In seed;  // at the output
  bool gauss_newton = false;
  ParameterSink* sink = nullptr;
};

// What a backward sweep leaves of the gradients of single samples; absent ones are skipped.
struct SampleSinks {
  ParameterSink* rows = nullptr;                     // `stride` apart
  ParameterSink *sum = nullptr, *squares = nullptr;  // both or neither
  double scale = 1;                                  // of the squares
  Operand norms;                                     // their squares are added
};

// Length of the array at kPortBatchStatistics.
std::int64_t batch_statistics_size(const Graph& graph);

class Sweep {
 public:
  // `tracked`: layers with running statistics leave those of this batch for track().
  Sweep(const Graph& graph, Emit& e, std::int64_t batch, bool train, bool tracked = false);

  // Only jvp and vjp will follow: forward may leave the slopes of activations where what they were
  // computed from was.
  void keep_slopes() { keeps_slopes_ = e_.has<kernels::MapLinearize>(); }
  void forward();
  // The adjoints that vjp and diagonals return will be read: none overwrites another.
  void keep_adjoints() { keeps_adjoints_ = true; }
  void track();  // moves the running statistics
  Operand output() const { return y_[root(graph_.output())]; }
  // Layers with parameters, in order, and what is known at each.
  std::vector<std::size_t> parametric_nodes() const;
  const Site& site(std::size_t node) const { return sites_[node]; }
  const Op& op(std::size_t node) const { return *graph_.nodes()[node].op; }
  void contribution(std::size_t node, Operand v, Out to);           // P(v, x) at one layer
  void deposit(std::size_t node, Operand gy, ParameterSink& sink);  // its transpose

  Operand at_output(const NodeArrays& a) const { return a[root(graph_.output())]; }

  // Tangents of all nodes for parameter tangents v (reps, stride).
  NodeArrays jvp(Operand v, std::int64_t reps, std::int64_t stride);
  // The same when every layer's own contribution P(v, x) is given, at its node.
  NodeArrays jvp_from(const NodeArrays& contributions);
  // Adjoints of all nodes from `seed` (reps stacked) at the output; deposits the sum.
  NodeArrays vjp(Operand seed, std::int64_t reps, ParameterSink* sink);
  // Like vjp, and calls deposit(op, group, uses) when all uses of a group of parameters are known.
  // With a part: in it, for its groups.
  using Deposit = std::function<void(const Op& op, int group, const Uses& uses)>;
  void vjp_uses(Operand seed, std::int64_t reps, ParameterSink* sink, const Deposit& deposit,
                const Part* part = nullptr);
  Uses uses_of(int group) const;  // without adjoints
  // Like vjp, but deposits scale * sum of squares over columns and samples. With a part: for its
  // groups alone.
  void vjp_squares(Operand seed, std::int64_t reps, double scale, ParameterSink& sink,
                   const Part* part = nullptr);
  // Like vjp, and deposits what `to` asks for.
  void vjp_per_sample(Operand seed, ParameterSink* gradient, const SampleSinks& to);
  // The tangent of vjp: tangents dx and adjoints g from the passes above, dseed at the output.
  void vjp_dot(const NodeArrays& dx, const NodeArrays& g, Operand dseed, std::int64_t reps,
               std::int64_t stride_v, Operand v, ParameterSink& sink);
  // For r < reps: result[r] (float64) += the quadratic forms of all layers' own second derivatives,
  // weighted with the adjoints g, along the tangents dx and v.
  void second_forms(const NodeArrays& dx, const NodeArrays& g, std::int64_t reps,
                    std::int64_t stride_v, Operand v, Operand result);
  // Gradient and diagonals in one sweep. `seed` may be empty when nobody reads the adjoints, which
  // are returned.
  NodeArrays diagonals(Operand seed, ParameterSink* gradient, std::vector<DiagStream>& streams);

  // The same passes above some groups, everything else standing still (sweep_part.cpp).
  Part part(const std::vector<int>& groups) const;
  Part part_above(std::size_t node) const;
  bool reaches_output(const Part& p) const { return p.nodes[root(graph_.output())]; }
  bool is_output(std::size_t i) const { return i == root(graph_.output()); }
  bool only_loss_reads(std::size_t i) const { return is_output(i) && readers_[i] == 1; }
  // The node that reads what node i computes, if there is but one and nobody else does.
  std::optional<std::size_t> only_reader(std::size_t i) const;
  // Is the output affine, piece by piece, in the parameters of the groups? Do samples meet there?
  bool is_affine(const Part& p) const;
  bool couples_samples(const Part& p) const;
  std::int64_t size(std::size_t node) const;
  // Tangents where d does not have them yet: of the uses it is given, or those of `own`.
  void jvp(const Part& p, NodeArrays& d, std::int64_t reps, const GroupTangents* own = nullptr);
  // Tangents of the adjoints down to the uses, or down to the parameters of `own`.
  NodeArrays vjp_dot(const Part& p, const NodeArrays& dx, const NodeArrays& g, Operand dseed,
                     std::int64_t reps, const GroupTangents* own = nullptr);

 private:
  std::size_t root(int node) const { return root_[static_cast<std::size_t>(node)]; }
  std::int64_t add_buffers(Site& s, const Node& node, bool tracked, std::int64_t at);
  Out adjoint(NodeArrays& a, int node, std::int64_t reps);  // where a consumer adds
  std::vector<Out> adjoints(NodeArrays& a, const Node& node, std::int64_t reps);
  std::vector<Out> adjoints(NodeArrays& a, const Node& node, std::int64_t reps, const Part& p);
  // The same where that of the node itself, which nobody reads any more, may be overwritten.
  std::vector<Out> adjoints_over(NodeArrays& a, std::size_t node, std::int64_t reps);
  bool owns_input(std::size_t node) const;  // is its input read by nobody else?
  bool overwrites_input(std::size_t node) const;
  bool leaves_slopes(std::size_t node) const;
  void complete_output(NodeArrays& d, std::int64_t reps);
  std::vector<In> gather(const NodeArrays& a, const Node& node) const;
  std::vector<In> parameters(const Node& node, Operand flat) const;
  Part part_of(Part p, const std::vector<bool>& starts) const;
  std::vector<Operand> own_parameters(int group, Operand flat) const;
  template <class F>
  void backward(F&& rule) {  // over the ops that parameters reach, in reverse
    for (std::size_t i = sites_.size(); i-- > 0;) {
      const Node& node = graph_.nodes()[i];
      if (node.op && root_[i] == i && active_[i]) rule(i, node);
    }
  }
  VjpPorts vjp_ports(NodeArrays& g, std::size_t node, std::int64_t reps, ParameterSink* sink,
                     const Part* part = nullptr);

  const Graph& graph_;
  Emit& e_;
  std::int64_t batch_;
  bool train_, keeps_slopes_ = false, keeps_adjoints_ = false;
  std::vector<std::size_t> root_;  // the node whose memory a view uses
  std::vector<bool> active_;       // do parameters reach its value?
  std::vector<int> readers_;       // how many nodes read its memory, and is it the output?
  std::vector<Site> sites_;
  NodeArrays y_;
};

}  // namespace hesscore
