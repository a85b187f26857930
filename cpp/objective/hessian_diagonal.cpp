// HessianDiagonal: how each group of parameters is reached, and the passes that do it.
#include "objective/hessian_diagonal.hpp"

#include <algorithm>

namespace hesscore {
namespace {

// What travels together by default: enough to fill the machine, few enough to stay in its caches.
constexpr std::int64_t kChunkBytes = 16 << 20;

}  // namespace

std::int64_t chunk_size(std::int64_t bytes, std::int64_t each, std::int64_t total) {
  const std::int64_t most = bytes > 0 ? bytes : kChunkBytes;
  const std::int64_t chunk = std::clamp<std::int64_t>(most / std::max<std::int64_t>(each, 1), 1,
                                                      std::max<std::int64_t>(total, 1));
  const std::int64_t chunks = (total + chunk - 1) / chunk;  // of equal size
  return chunks == 0 ? 1 : (total + chunks - 1) / chunks;
}

HessianDiagonal::HessianDiagonal(const Graph& graph, Emit& e, Sweep& sweep, LossSite& loss,
                                 std::int64_t max_memory)
    : graph_(graph), e_(e), sweep_(sweep), loss_(loss), max_memory_(max_memory) {
  for (int g = 0; g < static_cast<int>(graph.groups().size()); ++g) plans_.push_back(plan(g));
}

HessianDiagonal::Plan HessianDiagonal::plan(int group) const {
  Plan p;
  const Part part = sweep_.part({group});
  if (!sweep_.reaches_output(part)) return p;
  p.use = part.starts.front();
  const bool dense = part.starts.size() == 1 && !sweep_.couples_samples(part) &&
                     sweep_.op(p.use).is_dense(sweep_.site(p.use));
  if (dense && climb(p)) {
    p.way = Way::at_loss;
    return p;
  }
  std::int64_t directions = 0;
  for (const int id : graph_.groups()[static_cast<std::size_t>(group)].ids) {
    directions += graph_.parameters()[static_cast<std::size_t>(id)].size;
  }
  if (dense) directions = element_count(sweep_.site(p.use).y_shape);
  if (sweep_.is_affine(part) && loss_.column_count() <= directions) {
    p.way = Way::squares;
  } else if (dense) {
    p.way = Way::units;
  } else {
    p.way = part.starts.size() == 1 && sweep_.op(p.use).has_parameter_columns() ? Way::weights
                                                                                : Way::group;
  }
  return p;
}

// Up along element-wise maps that nobody else reads. Is the loss next?
bool HessianDiagonal::climb(Plan& p) const {
  p.start = p.use;
  while (const auto reader = sweep_.only_reader(p.start)) {
    if (!sweep_.op(*reader).is_elementwise()) {
      p.product = sweep_.op(*reader).is_dense(sweep_.site(*reader));
      if (p.product) p.start = *reader;
      return false;
    }
    p.maps.push_back(*reader);
    p.start = *reader;
  }
  return sweep_.only_loss_reads(p.start);
}

// Tangents wait for the way back, where a few adjoints are alive at a time.
std::int64_t HessianDiagonal::bytes(const Part& p) const {
  std::int64_t sum = 2 * loss_.size(), widest = 0;
  for (std::size_t i = 0; i < p.nodes.size(); ++i) {
    if (!p.nodes[i]) continue;
    sum += sweep_.size(i);
    widest = std::max(widest, sweep_.size(i));
  }
  return (sum + 3 * widest) * static_cast<std::int64_t>(size_of(e_.dtype()));
}

NodeArrays HessianDiagonal::second_order(const Part& p, NodeArrays d, const NodeArrays& g,
                                         std::int64_t reps, const GroupTangents* own) {
  sweep_.jvp(p, d, reps, own);
  return sweep_.vjp_dot(p, d, g, loss_.hessian(sweep_.at_output(d), reps), reps, own);
}

void HessianDiagonal::emit(const NodeArrays& g, Operand h, ParameterSink& sink) {
  squares(sink);
  for (int i = 0; i < static_cast<int>(plans_.size()); ++i) {
    const Plan& p = plans_[static_cast<std::size_t>(i)];
    if (p.way == Way::at_loss) deposit(p, h, g, sink.take(i));
    if (p.way == Way::units) units(p, i, g, sink);
    if (p.way == Way::weights) weights(p, i, g, sink);
    if (p.way == Way::group) group(i, g, sink);
  }
  for (const Loop& loop : loops_) run(loop);
  if (!end_.empty() && e_.times() > 1) e_.next_phase();
  for (const auto& last : end_) last();
  if (e_.times() > 1) e_.next_phase();
  sink.finish(e_);
}

void HessianDiagonal::run(const Loop& loop) {
  const std::int64_t reps = chunk_size(max_memory_, loop.each, loop.total);
  const std::int64_t times = (loop.total + reps - 1) / reps;
  if (e_.times() > 1) e_.next_phase();
  const Operand first = e_.temporary(1, sizeof(std::int64_t));
  e_.call<kernels::AdvanceCounter>({first, 0, true});
  if (times > 1) e_.next_phase(times);
  loop.body(first, reps);
  if (times > 1) e_.call<kernels::AdvanceCounter>({first, reps});
}

void HessianDiagonal::squares(ParameterSink& sink) {
  std::vector<int> groups;
  for (std::size_t i = 0; i < plans_.size(); ++i) {
    if (plans_[i].way == Way::squares) groups.push_back(static_cast<int>(i));
  }
  if (groups.empty()) return;
  const Part part = sweep_.part(groups);
  loss_.each_chunk(chunk_size(max_memory_, bytes(part), loss_.column_count()),
                   [&](Operand columns, std::int64_t count, double sign) {
                     sweep_.vjp_squares(columns, count, sign, sink, &part);
                   });
}

void HessianDiagonal::units(const Plan& p, int group, const NodeArrays& g, ParameterSink& sink) {
  const Site& use = sweep_.site(p.use);
  const std::int64_t batch = use.batch, count = element_count(use.y_shape);
  const std::int64_t width = sweep_.size(p.start) / batch;
  Operand m, c = e_.temporary(batch * count);
  if (p.product) {
    m = e_.temporary(count * width);
    e_.call<kernels::Transpose>({sweep_.site(p.start).w[0], m, 1, width, count});
  }
  const Part part = sweep_.part_above(p.start);
  loops_.push_back(
      {count, bytes(part), [=, this, &g](Operand first, std::int64_t reps) {
         NodeArrays d(graph_.nodes().size());
         d[p.start] = e_.temporary(reps * batch * width);
         e_.call<kernels::SpreadRows>({first, m, d[p.start], count, width, batch, reps});
         const NodeArrays dg = second_order(part, d, g, reps);
         e_.call<kernels::PickRows>({first, m, dg[p.start], c, count, width, batch, reps});
       }});
  const std::vector<Out> to = sink.take(group);
  end_.push_back([=, this, &g] { deposit(p, c, g, to); });
}

// From the diagonal c at the last of the maps down to the layer's parameters.
void HessianDiagonal::deposit(const Plan& p, Operand c, const NodeArrays& g,
                              const std::vector<Out>& to) {
  for (std::size_t i = p.maps.size(); i-- > 0;) {
    const std::size_t map = p.maps[i];
    const Operand below = e_.temporary(sweep_.size(map));
    sweep_.op(map).diag(e_, sweep_.site(map), {g[map], c, {Out{}}, {Out(below)}, {}, {}});
    c = below;
  }
  sweep_.op(p.use).diag(e_, sweep_.site(p.use), {{}, c, {Out{}}, {Out{}}, {}, to});
}

void HessianDiagonal::weights(const Plan& p, int group, const NodeArrays& g, ParameterSink& sink) {
  const Part part = sweep_.part({group});
  const std::vector<Out> to = sink.take(group);
  const auto columns = sweep_.op(p.use).parameter_columns(e_, sweep_.site(p.use));
  for (std::size_t k = 0; k < columns.size(); ++k) {
    const auto body = [=, this, &g](Operand first, std::int64_t reps) {
      NodeArrays d(graph_.nodes().size());
      d[p.use] = e_.temporary(reps * sweep_.size(p.use));
      e_.call<kernels::WeightTangents>({first, columns[k].x, d[p.use], columns[k].columns, reps});
      const NodeArrays dg = second_order(part, d, g, reps);
      e_.call<kernels::WeightAdjoints>(
          {first, columns[k].x, dg[p.use], to[k], columns[k].columns, reps});
    };
    loops_.push_back({columns[k].columns.count(), bytes(part), body});
  }
}

void HessianDiagonal::group(int group, const NodeArrays& g, ParameterSink& sink) {
  const std::vector<int>& ids = graph_.groups()[static_cast<std::size_t>(group)].ids;
  const std::vector<Out> to = sink.take(group);
  std::int64_t size = 0;
  for (const int id : ids) size += graph_.parameters()[static_cast<std::size_t>(id)].size;
  const Part part = sweep_.part({group});
  const Operand diagonal = e_.temporary(size);
  const std::int64_t each = bytes(part) + 2 * size * static_cast<std::int64_t>(size_of(e_.dtype()));
  loops_.push_back(
      {size, each, [=, this, &g](Operand first, std::int64_t reps) {
         const GroupTangents own{group, e_.temporary(reps * size), e_.temporary(reps * size), size};
         e_.call<kernels::SpreadRows>({first, {}, own.v, size, size, 1, reps});
         second_order(part, NodeArrays(graph_.nodes().size()), g, reps, &own);
         e_.call<kernels::PickRows>({first, {}, own.hw, diagonal, size, size, 1, reps});
       }});
  end_.push_back([=, this, &ids] {
    std::int64_t begin = 0;
    for (std::size_t k = 0; k < to.size(); ++k) {
      const std::int64_t n = graph_.parameters()[static_cast<std::size_t>(ids[k])].size;
      e_.call<kernels::Copy>({diagonal.at(begin), to[k], 1, n, n, n});
      begin += n;
    }
  });
}

}  // namespace hesscore
