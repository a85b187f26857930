// Buffers: running statistics that belong to the objective, in float64 on its device.
#include <algorithm>
#include <cmath>

#include "objective/impl.hpp"
#include "plan/sweep.hpp"

namespace hesscore {
namespace {

std::string names(const Graph& graph) {
  std::string text;
  for (const NamedBuffer& b : graph.buffers()) text += (text.empty() ? "" : ", ") + b.name;
  return text.empty() ? "nothing" : text;
}

}  // namespace

void Objective::Impl::make_buffers() {
  std::vector<double> start;
  for (const NamedBuffer& b : graph_.buffers()) {
    start.insert(start.end(), static_cast<std::size_t>(b.size), b.start);
  }
  buffers_ = Buffer(device_, start.size() * sizeof(double));
  device_.from_host(buffers_.data(), start.data(), buffers_.bytes());
  const std::vector<double> none(static_cast<std::size_t>(batch_statistics_size(graph_)), 0.0);
  batch_statistics_ = Buffer(device_, none.size() * sizeof(double));
  device_.from_host(batch_statistics_.data(), none.data(), batch_statistics_.bytes());

  Emit e(kernels(), dtype_);
  Sweep(graph_, e, 1, true, true).track();
  tracking_ = std::make_unique<Plan>(std::move(e), device_);
  tracking_->bind(kPortBuffers, buffers_.data());
  tracking_->bind(kPortBatchStatistics, batch_statistics_.data());
}

void Objective::Impl::accept_statistics() {
  if (!tracking_) return;
  const std::lock_guard lock(mutex_);
  tracking_->run();
}

Objective::Buffers Objective::Impl::buffers() {
  Buffers values;
  if (!tracking_) return values;
  const std::lock_guard lock(mutex_);
  std::vector<double> all(buffers_.bytes() / sizeof(double));
  device_.to_host(all.data(), buffers_.data(), buffers_.bytes());
  for (const NamedBuffer& b : graph_.buffers()) {
    const auto begin = all.begin() + b.offset;
    values[b.name] = std::vector<double>(begin, begin + b.size);
  }
  return values;
}

void Objective::Impl::load_buffers(const Buffers& values) {
  const Buffers before = buffers();
  std::vector<double> all;
  for (const NamedBuffer& b : graph_.buffers()) {
    const std::vector<double>& old = before.at(b.name);
    all.insert(all.end(), old.begin(), old.end());
  }
  for (const auto& [name, given] : values) {
    const auto& known = graph_.buffers();
    const auto b = std::find_if(known.begin(), known.end(),
                                [&, &n = name](const NamedBuffer& k) { return k.name == n; });
    if (b == known.end())
      throw StateError("buffers", "names among " + names(graph_), "'" + name + "'");
    if (static_cast<std::int64_t>(given.size()) != b->size) {
      throw StateError(name, "length " + std::to_string(b->size),
                       "length " + std::to_string(given.size()));
    }
    const bool signless = !name.ends_with("running_mean");
    for (const double v : given) {
      if (std::isfinite(v) && (!signless || v >= 0)) continue;
      throw StateError(name, signless ? "finite numbers >= 0" : "finite numbers",
                       std::to_string(v));
    }
    std::copy(given.begin(), given.end(), all.begin() + b->offset);
  }
  if (!tracking_) return;
  const std::lock_guard lock(mutex_);
  device_.from_host(buffers_.data(), all.data(), buffers_.bytes());
}

Objective::Buffers Objective::buffers() const { return impl_->buffers(); }

void Objective::load_buffers(const Buffers& values) const { impl_->load_buffers(values); }

void Objective::update_buffers(View w, const Inputs& x, const Mode& mode) const {
  if (!mode.train) throw OptionError("train", "training mode", "evaluation");
  Bindings b;
  Request r = impl_->check_point(w, x, mode, b);
  if (r.batch == 0) throw ShapeError("x", "at least one sample", "a batch of 0");
  if (graph().buffers().empty()) return;
  r.what = Request::What::track;
  impl_->run(r, b, {mode.seed, mode.step});
}

}  // namespace hesscore
