// What the mean over a batch divides by (kernels::LossScale is one over it), for means over
// batches.
#include "objective/impl.hpp"

namespace hesscore {
namespace {

// The elements of an array in host memory.
template <class T>
std::vector<T> host_copy(Device& device, const View& v) {
  std::vector<T> copy(static_cast<std::size_t>(element_count(v.shape)));
  device.to_host(copy.data(), v.data, copy.size() * sizeof(T));
  return copy;
}

std::vector<double> sample_weights(Device& device, const View& v) {
  if (v.dtype == DType::f64) return host_copy<double>(device, v);
  const std::vector<float> single = host_copy<float>(device, v);
  return {single.begin(), single.end()};
}

}  // namespace

double Objective::Impl::mean_weight(const Batch& batch, const Request& r) const {
  const math::LossSpec& spec = loss_.spec;
  if (!spec.mean) return 1;
  const bool labels = loss_.labels && !r.soft;
  const bool by_label = labels && (spec.has_ignore || !loss_.weights.empty());
  std::vector<double> rows(static_cast<std::size_t>(r.batch), static_cast<double>(spec.positions));
  if (by_label) {
    const auto y = host_copy<std::int64_t>(device_, batch.y);
    rows.assign(rows.size(), 0.0);
    for (std::size_t i = 0; i < y.size(); ++i) {
      if (spec.has_ignore && y[i] == spec.ignore_index) continue;
      const auto c = static_cast<std::size_t>(y[i]);
      rows[i / static_cast<std::size_t>(spec.positions)] +=
          loss_.weights.empty() ? 1 : loss_.weights.at(c);
    }
  }
  std::vector<double> weights(rows.size(), 1.0);
  if (batch.sample_weight) weights = sample_weights(device_, batch.sample_weight);
  double sum = 0;
  for (std::size_t n = 0; n < rows.size(); ++n) sum += rows[n] * weights[n];
  return sum;
}

double Objective::mean_weight(View w, const Batch& batch, const Mode& mode) const {
  Bindings b;
  Request r = impl_->check_point(w, batch.x, mode, b);
  impl_->check_target(batch, r, b);
  return impl_->mean_weight(batch, r);
}

}  // namespace hesscore
