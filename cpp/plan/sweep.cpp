// Sweep: forward, tangent and backward passes over the nodes in topological order.
#include "plan/sweep.hpp"

#include <algorithm>

namespace hesscore {

std::vector<Out> ParameterSink::take(int group) {
  std::vector<Out> outs;
  for (const int id : graph_->groups()[static_cast<std::size_t>(group)].ids) {
    const auto i = static_cast<std::size_t>(id);
    outs.emplace_back(to_.at(graph_->parameters()[i].offset), written_[i]);
    outs.back().watch = watch_;
    written_[i] = true;
  }
  return outs;
}

void ParameterSink::finish(Emit& e, std::int64_t reps) {
  for (std::size_t i = 0; i < written_.size(); ++i) {
    if (written_[i]) continue;
    const Parameter& p = graph_->parameters()[i];
    const Operand first = to_.at(p.offset);
    e.call<kernels::Fill>({first, p.size, 0});
    if (reps > 1) {
      e.call<kernels::Copy>({first, to_.at(p.offset + stride_), reps - 1, p.size, 0, stride_});
    }
    written_[i] = true;
  }
}

Sweep::Sweep(const Graph& graph, Emit& e, std::int64_t batch, bool train, bool tracked)
    : graph_(graph), e_(e), batch_(batch), train_(train), y_(graph.nodes().size()) {
  const Operand w = e.external(kPortW), clock = e.external(kPortClock, sizeof(std::uint64_t));
  std::int64_t statistics = 0;
  int inputs = 0;
  for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node& node = graph.nodes()[i];
    const bool view = node.op && node.op->is_view(train);
    root_.push_back(view ? root(node.inputs[0]) : i);
    bool active = node.group >= 0;
    Site s;
    s.node = static_cast<int>(i);
    s.batch = batch;
    s.train = train;
    s.channels_last = node.channels_last;
    s.y_shape = node.shape;
    s.clock = clock;
    s.w = parameters(node, w);
    if (node.buffers >= 0) statistics += add_buffers(s, node, tracked, statistics);
    for (const int in : node.inputs) {
      active = active || active_[static_cast<std::size_t>(in)];
      s.x_shapes.push_back(graph.nodes()[static_cast<std::size_t>(in)].shape);
    }
    active_.push_back(active);
    sites_.push_back(std::move(s));
    if (node.op) continue;
    const std::int64_t size = node.index_limit > 0 ? std::int64_t{sizeof(std::int64_t)} : 0;
    y_[i] = e.external(kPortX + inputs++, size);
  }
  readers_.assign(root_.size(), 0);
  for (std::size_t i = 0; i < root_.size(); ++i) {
    if (root_[i] != i) continue;
    for (const int in : graph.nodes()[i].inputs) ++readers_[root(in)];
  }
  ++readers_[root(graph.output())];
}

bool Sweep::owns_input(std::size_t i) const {
  const std::size_t in = root(graph_.nodes()[i].inputs[0]);
  return graph_.nodes()[in].op && readers_[in] == 1;
}

bool Sweep::overwrites_input(std::size_t i) const {
  return graph_.nodes()[i].op->is_projection() && owns_input(i);
}

// A projection that lies where its input was finds there what its own passes need.
bool Sweep::leaves_slopes(std::size_t i) const {
  const Node& node = graph_.nodes()[i];
  return keeps_slopes_ && active_[i] && node.op->leaves_slopes() && owns_input(i) &&
         !overwrites_input(root(node.inputs[0]));
}

// Returns how many numbers its batch statistics are.
std::int64_t Sweep::add_buffers(Site& s, const Node& node, bool tracked, std::int64_t at) {
  const Operand all = e_.external(kPortBuffers, sizeof(double));
  const auto first = static_cast<std::size_t>(node.buffers);
  for (std::size_t k = 0; k < node.op->buffers().size(); ++k) {
    s.buffers.push_back(all.at(graph_.buffers()[first + k].offset));
  }
  if (tracked) s.batch_statistics = e_.external(kPortBatchStatistics, sizeof(double)).at(at);
  return 2 * graph_.buffers()[first].size;
}

void Sweep::track() {
  for (const Site& s : sites_) {
    if (s.batch_statistics) graph_.nodes()[static_cast<std::size_t>(s.node)].op->track(e_, s);
  }
}

std::int64_t batch_statistics_size(const Graph& graph) {
  std::int64_t size = 0;
  for (const Node& n : graph.nodes()) {
    if (n.buffers >= 0) size += 2 * graph.buffers()[static_cast<std::size_t>(n.buffers)].size;
  }
  return size;
}

std::int64_t Sweep::size(std::size_t node) const {
  return batch_ * element_count(graph_.nodes()[node].shape);
}

std::vector<In> Sweep::gather(const NodeArrays& a, const Node& node) const {
  std::vector<In> ins;
  for (const int in : node.inputs) ins.emplace_back(a[root(in)]);
  return ins;
}

std::vector<In> Sweep::parameters(const Node& node, Operand flat) const {
  std::vector<In> ins;
  if (node.group < 0) return ins;
  for (const int id : graph_.groups()[static_cast<std::size_t>(node.group)].ids) {
    ins.emplace_back(flat.at(graph_.parameters()[static_cast<std::size_t>(id)].offset));
  }
  return ins;
}

Out Sweep::adjoint(NodeArrays& a, int node, std::int64_t reps) {
  const std::size_t r = root(node);
  if (!active_[r]) return {};
  if (a[r]) return Out(a[r], true);
  a[r] = e_.temporary(reps * size(r));
  return Out(a[r], false);
}

std::vector<Out> Sweep::adjoints(NodeArrays& a, const Node& node, std::int64_t reps) {
  std::vector<Out> outs;
  for (const int in : node.inputs) outs.push_back(adjoint(a, in, reps));
  return outs;
}

std::vector<Out> Sweep::adjoints_over(NodeArrays& a, std::size_t i, std::int64_t reps) {
  const Node& node = graph_.nodes()[i];
  if (node.op->is_elementwise() && !keeps_adjoints_ && i != root(graph_.output())) {
    const std::size_t in = root(node.inputs[0]);
    if (active_[in] && !a[in]) {
      a[in] = a[i];
      return {Out(a[in])};
    }
  }
  return adjoints(a, node, reps);
}

void Sweep::forward() {
  for (std::size_t i = 0; i < sites_.size(); ++i) {
    const Node& node = graph_.nodes()[i];
    if (!node.op || root_[i] != i) continue;
    sites_[i].x = gather(y_, node);
    sites_[i].saved = node.op->save(e_, sites_[i]);
    sites_[i].slopes = leaves_slopes(i);
    y_[i] = overwrites_input(i) ? y_[root(node.inputs[0])] : e_.temporary(size(i));
    node.op->forward(e_, sites_[i], Out(y_[i]));
  }
}

NodeArrays Sweep::jvp(Operand v, std::int64_t reps, std::int64_t stride) {
  NodeArrays d(sites_.size());
  for (std::size_t i = 0; i < sites_.size(); ++i) {
    const Node& node = graph_.nodes()[i];
    if (!node.op || root_[i] != i || !active_[i]) continue;
    d[i] = e_.temporary(reps * size(i));
    node.op->jvp(e_, sites_[i], {gather(d, node), parameters(node, v), Out(d[i]), reps, stride});
  }
  complete_output(d, reps);
  return d;
}

// An output that no parameter reaches stands still.
void Sweep::complete_output(NodeArrays& d, std::int64_t reps) {
  const std::size_t output = root(graph_.output());
  if (d[output]) return;
  d[output] = e_.temporary(reps * size(output));
  e_.call<kernels::Fill>({d[output], reps * size(output), 0});
}

NodeArrays Sweep::jvp_from(const NodeArrays& contributions) {
  NodeArrays d(sites_.size());
  for (std::size_t i = 0; i < sites_.size(); ++i) {
    const Node& node = graph_.nodes()[i];
    if (!node.op || root_[i] != i || !active_[i]) continue;
    const bool moves = std::any_of(node.inputs.begin(), node.inputs.end(),
                                   [&](int in) { return active_[root(in)]; });
    if (node.group >= 0 && !moves) {
      d[i] = contributions[i];
      continue;
    }
    d[i] = e_.temporary(size(i));
    if (node.group >= 0) {
      e_.call<kernels::Copy>({contributions[i], d[i], 1, size(i), size(i), size(i)});
    }
    node.op->jvp(e_, sites_[i], {gather(d, node), {}, Out(d[i], node.group >= 0)});
  }
  complete_output(d, 1);
  return d;
}

std::vector<std::size_t> Sweep::parametric_nodes() const {
  std::vector<std::size_t> nodes;
  for (std::size_t i = 0; i < sites_.size(); ++i) {
    if (graph_.nodes()[i].group >= 0) nodes.push_back(i);
  }
  return nodes;
}

void Sweep::contribution(std::size_t i, Operand v, Out to) {
  const Node& node = graph_.nodes()[i];
  node.op->jvp(e_, sites_[i], {std::vector<In>(node.inputs.size()), parameters(node, v), to});
}

void Sweep::deposit(std::size_t i, Operand gy, ParameterSink& sink) {
  const Node& node = graph_.nodes()[i];
  node.op->vjp(e_, sites_[i], {gy, std::vector<Out>(node.inputs.size()), sink.take(node.group)});
}

VjpPorts Sweep::vjp_ports(NodeArrays& g, std::size_t i, std::int64_t reps, ParameterSink* sink,
                          const Part* part) {
  const Node& node = graph_.nodes()[i];
  const bool all = !part || node.op->is_elementwise();
  auto gx = all ? adjoints_over(g, i, reps) : adjoints(g, node, reps, *part);
  VjpPorts p{g[i], std::move(gx), {}, reps, sink ? sink->stride() : 0};
  if (sink && node.group >= 0) p.gw = sink->take(node.group);
  return p;
}

NodeArrays Sweep::vjp(Operand seed, std::int64_t reps, ParameterSink* sink) {
  NodeArrays g(sites_.size());
  g[root(graph_.output())] = seed;
  backward([&](std::size_t i, const Node& node) {
    if (g[i]) node.op->vjp(e_, sites_[i], vjp_ports(g, i, reps, sink));
  });
  if (sink) sink->finish(e_, reps);
  return g;
}

Uses Sweep::uses_of(int group) const {
  Uses uses;
  for (const Site& s : sites_) {
    if (graph_.nodes()[static_cast<std::size_t>(s.node)].group == group) uses.push_back({&s, {}});
  }
  return uses;
}

void Sweep::vjp_uses(Operand seed, std::int64_t reps, ParameterSink* sink, const Deposit& deposit,
                     const Part* part) {
  std::vector<int> left(graph_.groups().size(), 0);
  for (const Node& n : graph_.nodes()) {
    if (n.group >= 0) ++left[static_cast<std::size_t>(n.group)];
  }
  std::vector<Uses> uses(graph_.groups().size());
  NodeArrays g(sites_.size());
  g[root(graph_.output())] = seed;
  backward([&](std::size_t i, const Node& node) {
    if (part && !part->nodes[i]) return;
    if (node.group >= 0 && (!part || part->groups[static_cast<std::size_t>(node.group)])) {
      const auto group = static_cast<std::size_t>(node.group);
      if (g[i]) uses[group].push_back({&sites_[i], g[i]});
      if (--left[group] == 0 && !uses[group].empty()) deposit(*node.op, node.group, uses[group]);
    }
    if (g[i]) node.op->vjp(e_, sites_[i], vjp_ports(g, i, reps, sink, part));
  });
  if (sink) sink->finish(e_, reps);
}

void Sweep::vjp_squares(Operand seed, std::int64_t reps, double scale, ParameterSink& sink,
                        const Part* part) {
  const auto deposit = [&](const Op& op, int group, const Uses& uses) {
    op.deposit_squares(e_, uses, reps, scale, sink.take(group));
  };
  vjp_uses(seed, reps, nullptr, deposit, part);
}

void Sweep::vjp_per_sample(Operand seed, ParameterSink* gradient, const SampleSinks& to) {
  vjp_uses(seed, 1, gradient, [&](const Op& op, int group, const Uses& uses) {
    if (to.rows) {
      std::vector<SampleRows> rows;
      for (const Out& out : to.rows->take(group)) rows.push_back({out, to.rows->stride()});
      op.deposit_per_sample(e_, uses, {0, batch_}, rows);
    }
    if (!to.sum && !to.norms) return;
    MomentPorts p{{}, {}, to.scale, Out(to.norms, true)};
    if (to.sum) p.sum = to.sum->take(group), p.squares = to.squares->take(group);
    op.deposit_moments(e_, uses, p);
  });
  if (to.rows) to.rows->finish(e_, batch_);
  if (to.sum) to.sum->finish(e_), to.squares->finish(e_);
}

void Sweep::vjp_dot(const NodeArrays& dx, const NodeArrays& g, Operand dseed, std::int64_t reps,
                    std::int64_t stride_v, Operand v, ParameterSink& sink) {
  NodeArrays dg(sites_.size());
  dg[root(graph_.output())] = dseed;
  backward([&](std::size_t i, const Node& node) {
    if (!dg[i]) return;
    SecondPorts p{
        gather(dx, node), parameters(node, v), g[i], dg[i], adjoints(dg, node, reps), {}, reps,
        stride_v};
    if (node.group >= 0) p.hw = sink.take(node.group);
    node.op->vjp_dot(e_, sites_[i], p);
  });
  sink.finish(e_, reps);
}

void Sweep::second_forms(const NodeArrays& dx, const NodeArrays& g, std::int64_t reps,
                         std::int64_t stride_v, Operand v, Operand result) {
  backward([&](std::size_t i, const Node& node) {
    if (!g[i]) return;
    node.op->second_form(e_, sites_[i],
                         {gather(dx, node), parameters(node, v), g[i], result, reps, stride_v});
  });
}

NodeArrays Sweep::diagonals(Operand seed, ParameterSink* gradient,
                            std::vector<DiagStream>& streams) {
  NodeArrays g(sites_.size());
  g[root(graph_.output())] = seed;
  std::vector<NodeArrays> h(streams.size(), NodeArrays(sites_.size()));
  for (std::size_t k = 0; k < streams.size(); ++k) h[k][root(graph_.output())] = streams[k].seed;
  backward([&](std::size_t i, const Node& node) {
    if (!h[0][i]) return;
    const std::vector<Out> none(node.inputs.size());
    for (std::size_t k = 0; k < streams.size(); ++k) {
      const bool first = k == 0 && g[i];
      DiagPorts p{g[i],
                  h[k][i],
                  !first                ? none
                  : streams.size() == 1 ? adjoints_over(g, i, 1)
                                        : adjoints(g, node, 1),
                  adjoints_over(h[k], i, 1),
                  {},
                  {},
                  streams[k].gauss_newton};
      if (node.group >= 0) {
        if (first && gradient) p.gw = gradient->take(node.group);
        p.hw = streams[k].sink->take(node.group);
      }
      node.op->diag(e_, sites_[i], p);
    }
  });
  if (gradient) gradient->finish(e_);
  for (DiagStream& s : streams) s.sink->finish(e_);
  return g;
}

}  // namespace hesscore
