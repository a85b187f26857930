// Sweep: tangents and their adjoints above some uses of parameters.
#include <algorithm>

#include "plan/sweep.hpp"

namespace hesscore {

Part Sweep::part_of(Part p, const std::vector<bool>& starts) const {
  p.groups.resize(graph_.groups().size(), false);
  p.nodes.resize(sites_.size(), false);
  for (std::size_t i = 0; i < sites_.size(); ++i) {
    const Node& node = graph_.nodes()[i];
    if (starts[i]) p.starts.push_back(i);
    p.nodes[i] = starts[i] || std::any_of(node.inputs.begin(), node.inputs.end(),
                                          [&](int in) { return p.nodes[root(in)]; });
  }
  return p;
}

Part Sweep::part(const std::vector<int>& groups) const {
  Part p{std::vector<bool>(graph_.groups().size(), false), {}, {}};
  for (const int g : groups) p.groups[static_cast<std::size_t>(g)] = true;
  std::vector<bool> starts;
  for (const Node& n : graph_.nodes()) {
    starts.push_back(n.group >= 0 && p.groups[static_cast<std::size_t>(n.group)]);
  }
  return part_of(std::move(p), starts);
}

Part Sweep::part_above(std::size_t node) const {
  std::vector<bool> starts(sites_.size(), false);
  starts[node] = true;
  return part_of({}, starts);
}

// A use below another use multiplies parameters.
bool Sweep::is_affine(const Part& p) const {
  for (std::size_t i = 0; i < sites_.size(); ++i) {
    const Node& node = graph_.nodes()[i];
    if (!p.nodes[i] || root_[i] != i) continue;
    const auto moving = std::count_if(node.inputs.begin(), node.inputs.end(),
                                      [&](int in) { return p.nodes[root(in)]; });
    const bool use = node.group >= 0 && p.groups[static_cast<std::size_t>(node.group)];
    if (use ? moving > 0 : !node.op->is_affine(train_, static_cast<int>(moving))) return false;
  }
  return true;
}

bool Sweep::couples_samples(const Part& p) const {
  for (std::size_t i = 0; i < sites_.size(); ++i) {
    if (p.nodes[i] && graph_.nodes()[i].op->couples_samples(train_)) return true;
  }
  return false;
}

std::optional<std::size_t> Sweep::only_reader(std::size_t i) const {
  if (readers_[i] != 1 || is_output(i)) return {};
  for (std::size_t k = i + 1; k < sites_.size(); ++k) {
    if (root_[k] != k) continue;
    for (const int in : graph_.nodes()[k].inputs) {
      if (root(in) == i) return k;
    }
  }
  return {};
}

std::vector<Out> Sweep::adjoints(NodeArrays& a, const Node& node, std::int64_t reps,
                                 const Part& p) {
  std::vector<Out> outs;
  for (const int in : node.inputs) {
    outs.push_back(p.nodes[root(in)] ? adjoint(a, in, reps) : Out{});
  }
  return outs;
}

// The group's parameters in an array of their own.
std::vector<Operand> Sweep::own_parameters(int group, Operand flat) const {
  std::vector<Operand> parts;
  const std::vector<int>& ids = graph_.groups()[static_cast<std::size_t>(group)].ids;
  std::int64_t begin = 0;
  for (const int id : ids) {
    parts.push_back(flat.at(begin));
    begin += graph_.parameters()[static_cast<std::size_t>(id)].size;
  }
  return parts;
}

void Sweep::jvp(const Part& p, NodeArrays& d, std::int64_t reps, const GroupTangents* own) {
  for (std::size_t i = 0; i < sites_.size(); ++i) {
    const Node& node = graph_.nodes()[i];
    if (!p.nodes[i] || root_[i] != i || d[i]) continue;
    JvpPorts ports{gather(d, node), {}, {}, reps, 0};
    if (own && node.group == own->group) {
      for (const Operand& v : own_parameters(own->group, own->v)) ports.v.emplace_back(v);
      ports.stride = own->stride;
    }
    const bool moves = std::any_of(ports.dx.begin(), ports.dx.end(),
                                   [](const In& dx) { return static_cast<bool>(dx); });
    if (ports.v.empty() && !moves) continue;
    d[i] = e_.temporary(reps * size(i));
    ports.dy = Out(d[i]);
    node.op->jvp(e_, sites_[i], ports);
  }
}

NodeArrays Sweep::vjp_dot(const Part& p, const NodeArrays& dx, const NodeArrays& g, Operand dseed,
                          std::int64_t reps, const GroupTangents* own) {
  NodeArrays dg(sites_.size());
  dg[root(graph_.output())] = dseed;
  bool written = false;
  backward([&](std::size_t i, const Node& node) {
    if (!p.nodes[i] || !dg[i]) return;
    SecondPorts ports{gather(dx, node), {}, g[i], dg[i], adjoints(dg, node, reps, p), {}, reps, 0};
    if (own && node.group == own->group) {
      for (const Operand& v : own_parameters(own->group, own->v)) ports.v.emplace_back(v);
      for (const Operand& hw : own_parameters(own->group, own->hw)) {
        ports.hw.emplace_back(hw, written);
      }
      ports.stride = own->stride;
      written = true;
    }
    const auto given = [](const Operand& o) { return static_cast<bool>(o); };
    if (ports.hw.empty() && std::none_of(ports.dgx.begin(), ports.dgx.end(), given)) return;
    if (ports.v.empty() && std::none_of(ports.dx.begin(), ports.dx.end(), given)) {
      return node.op->vjp(e_, sites_[i], {dg[i], ports.dgx, {}, reps, 0});
    }
    node.op->vjp_dot(e_, sites_[i], ports);
  });
  return dg;
}

}  // namespace hesscore
