// Sample space: when it pays, and the phases of its plan.
#include "objective/sample_space.hpp"

namespace hesscore {
namespace {

// Coordinates must save at least this part of the layers' own multiply-adds.
constexpr double kWorthwhile = 0.75;

class SampleSpace {
 public:
  SampleSpace(const Request& r, const Graph& graph, Emit& e)
      : graph_(graph),
        e_(e),
        sweep_(graph, e, r.batch, r.train),
        nodes_(sweep_.parametric_nodes()) {
    for (const std::size_t node : nodes_) {
      begin_.push_back(size_);
      size_ += sweep_.site(node).y_size();
    }
  }

  std::int64_t size() const { return size_; }
  bool pays() const;
  void emit(const Request& r, const LossModel& model);

 private:
  bool share(std::size_t a, std::size_t b) const {
    return graph_.nodes()[nodes_[a]].group == graph_.nodes()[nodes_[b]].group;
  }
  template <class F>
  void each_pair(F&& f) const {
    for (std::size_t a = 0; a < nodes_.size(); ++a) {
      for (std::size_t b = 0; b < nodes_.size(); ++b) {
        if (share(a, b)) f(a, b);
      }
    }
  }
  Operand c_of(Operand coordinates, std::size_t i) const { return coordinates.at(begin_[i]); }
  Operand u_of(Operand coordinates, std::size_t i) const {
    return coordinates.at(size_ + 1 + begin_[i]);
  }
  void apply(LossSite& loss, const std::vector<Operand>& grams);

  const Graph& graph_;
  Emit& e_;
  Sweep sweep_;
  std::vector<std::size_t> nodes_;
  std::vector<std::int64_t> begin_;
  std::int64_t size_ = 0;
};

bool SampleSpace::pays() const {
  double gram = 0, direct = 0;
  bool all = !nodes_.empty();
  each_pair([&](std::size_t a, std::size_t b) {
    const Op::GramCost cost =
        sweep_.op(nodes_[a]).gram_cost(sweep_.site(nodes_[a]), sweep_.site(nodes_[b]));
    all = all && cost.gram > 0;
    gram += static_cast<double>(cost.gram);
    if (a == b) direct += static_cast<double>(cost.direct);
  });
  return all && gram < kWorthwhile * direct;
}

void SampleSpace::emit(const Request& r, const LossModel& model) {
  sweep_.keep_slopes();
  sweep_.forward();
  LossSite loss(e_, model, {r.batch, r.soft, r.weighted}, sweep_.output());
  std::vector<Operand> grams;
  each_pair([&](std::size_t a, std::size_t b) {
    grams.push_back(sweep_.op(nodes_[a]).gram(e_, sweep_.site(nodes_[a]), sweep_.site(nodes_[b])));
  });
  const Operand in = e_.external(kPortV), out = e_.external(kPortOut);
  e_.next_phase();
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    sweep_.contribution(nodes_[i], in, Out(u_of(out, i)));
  }
  e_.next_phase();
  apply(loss, grams);
  e_.next_phase();
  ParameterSink sink(graph_, out);
  for (std::size_t i = 0; i < nodes_.size(); ++i) sweep_.deposit(nodes_[i], c_of(in, i), sink);
  sink.finish(e_);
}

void SampleSpace::apply(LossSite& loss, const std::vector<Operand>& grams) {
  const Operand in = e_.external(kPortV), out = e_.external(kPortOut);
  NodeArrays contributions(graph_.nodes().size());
  for (std::size_t i = 0; i < nodes_.size(); ++i) contributions[nodes_[i]] = u_of(in, i);
  const Operand dz = sweep_.at_output(sweep_.jvp_from(contributions));
  sweep_.keep_adjoints();
  const NodeArrays g = sweep_.vjp(loss.hessian(dz, 1), 1, nullptr);
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const std::int64_t n = sweep_.site(nodes_[i]).y_size();
    e_.call<kernels::Copy>({g[nodes_[i]], c_of(out, i), 1, n, n, n});
  }
  std::vector<bool> written(nodes_.size(), false);
  std::size_t pair = 0;
  each_pair([&](std::size_t a, std::size_t b) {
    sweep_.op(nodes_[a]).gram_apply(e_, sweep_.site(nodes_[a]), sweep_.site(nodes_[b]),
                                    grams[pair++], c_of(out, b), Out(u_of(out, a), written[a]));
    written[a] = true;
  });
}

}  // namespace

std::int64_t sample_space_size(const Request& r, const Graph& graph) {
  if (r.product != Product::ggn) return 0;
  const KernelTable none;
  Emit scratch(none, r.dtype);
  const SampleSpace space(r, graph, scratch);
  return space.pays() ? space.size() : 0;
}

void compose_sample_space(const Request& r, const Graph& graph, const LossModel& model, Emit& e) {
  SampleSpace(r, graph, e).emit(r, model);
}

}  // namespace hesscore
