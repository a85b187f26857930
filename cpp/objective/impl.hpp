// Objective::Impl: the graph resolved with its loss, argument checks and the cache of plans.
#pragma once

#include <map>
#include <memory>
#include <mutex>

#include "objective/compose.hpp"
#include "objective/pool.hpp"
#include "plan/plan.hpp"

namespace hesscore {

// Arrays for the ports of a plan, checked.
struct Bindings {
  std::vector<std::pair<int, const void*>> ports;
  void add(int port, const void* address) { ports.emplace_back(port, address); }
};

class Objective::Impl {
 public:
  Impl(Graph graph, Device& device, DType dtype, Precision precision);

  const Graph& graph() const { return graph_; }
  Device& device() const { return device_; }
  DType dtype() const { return dtype_; }
  Precision precision() const { return precision_; }
  const KernelTable& kernels() const { return device_.kernels(precision_); }
  const LossModel& loss() const { return loss_; }
  const Shape& output_shape() const;

  // What operators leave behind. It may outlive the objective.
  const std::shared_ptr<Pool>& pool() const { return pool_; }

  Objective::Buffers buffers();
  void load_buffers(const Objective::Buffers& values);
  // Moves the buffers by what the last tracked evaluation left. Cannot fail.
  void accept_statistics();

  // Argument checks: they fill the request and the bindings, or throw.
  Request check_point(const View& w, const Inputs& x, const Mode& mode, Bindings& b) const;
  void check_target(const Batch& batch, Request& r, Bindings& b) const;
  void check_output(std::string_view name, const Target& out, const Shape& shape,
                    DType dtype) const;
  // Everything that evaluate() is asked for.
  struct Question {
    Request request;
    Bindings bindings;
    std::vector<std::uint64_t> clock;
  };
  Question check_evaluation(const View& w, const Batch& batch, const Outputs& out,
                            const Mode& mode) const;
  double answer(const Question& q, const Batch& batch);
  // Gradients of single samples and their moments, as far as they are asked for.
  void add_samples(const Outputs& out, Request& r, Bindings& b) const;
  // What only the elements tell: labels and indices out of range, negative weights. Checked before
  // a run on the host, and elsewhere when the loss, which such values make NaN, turns out to be
  // NaN.
  void check_values(const Batch& batch, const Request& r) const;
  void check_indices(const Inputs& x) const;
  double mean_weight(const Batch& batch, const Request& r) const;
  // v is (n, ...rest) or (K, n, ...rest); returns K.
  std::int64_t check_vectors(const char* name, const View& v, const Shape& one, DType dtype) const;

  std::unique_ptr<Plan> make_plan(const Request& r) const;
  // Runs the cached plan for `r`; `clock` is seed and step, then the seeds of sampled quantities.
  // Returns the loss if the plan computes one. One call at a time: an objective used from two
  // threads waits.
  double run(const Request& r, const Bindings& b, const std::vector<std::uint64_t>& clock);

 private:
  Plan& plan(const Request& r);
  void make_buffers();
  void check_labels(const View& y, std::int64_t batch) const;
  void check_label_values(const std::int64_t* labels, std::int64_t n) const;
  template <class T>
  const T* on_host(const View& v, std::vector<std::byte>& copy) const;
  void check_soft_target(const View& y, const Shape& shape) const;

  Graph graph_;
  Device& device_;
  DType dtype_;
  Precision precision_;
  LossModel loss_;
  std::mutex mutex_;
  std::map<Request, std::unique_ptr<Plan>> plans_;
  std::shared_ptr<Pool> pool_ = std::make_shared<Pool>();
  Buffer buffers_, batch_statistics_;  // doubles
  std::unique_ptr<Plan> tracking_;     // null without buffers
  Buffer mailbox_;                     // on a device: the loss, then the clock
};

}  // namespace hesscore
