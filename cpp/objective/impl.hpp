// Objective::Impl: the graph resolved with its loss, argument checks and the cache of plans.
#pragma once

#include <map>
#include <memory>
#include <mutex>

#include "objective/compose.hpp"
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

  // Argument checks: they fill the request and the bindings, or throw.
  Request check_point(const View& w, const Inputs& x, const Mode& mode, Bindings& b) const;
  void check_target(const Batch& batch, Request& r, Bindings& b) const;
  void check_output(std::string_view name, const Target& out, const Shape& shape,
                    DType dtype) const;
  // v is (n, ...rest) or (K, n, ...rest); returns K.
  std::int64_t check_vectors(const char* name, const View& v, const Shape& one, DType dtype) const;

  std::unique_ptr<Plan> make_plan(const Request& r) const;
  // Runs the cached plan for `r`. One call at a time: an objective used from two threads waits.
  void run(const Request& r, const Bindings& b);

 private:
  void check_labels(const View& y, std::int64_t batch) const;
  void check_soft_target(const View& y, const Shape& shape) const;

  Graph graph_;
  Device& device_;
  DType dtype_;
  Precision precision_;
  LossModel loss_;
  std::mutex mutex_;
  std::map<Request, std::unique_ptr<Plan>> plans_;
};

}  // namespace hesscore
