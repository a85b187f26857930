// Sums over samples of what must be formed for each of them: some at a time, in bounded memory.
#include <algorithm>

#include "ops/kinds.hpp"

namespace hesscore {
namespace {

// Elements of gradients that are formed at a time.
constexpr std::int64_t kFormedElements = 4 << 20;

std::vector<std::int64_t> sizes_of(const Op& op) {
  std::vector<std::int64_t> sizes;
  for (const ParameterShape& p : op.parameters()) sizes.push_back(element_count(p.shape));
  return sizes;
}

// reduce(samples, rows) on the gradients of all samples and columns. Where they are no larger than
// the layer's outputs, those of a column are formed at once.
template <class Reduce>
void form(const Op& op, Emit& e, const Uses& uses, std::int64_t reps, const Reduce& reduce) {
  const Site& site = *uses[0].site;
  const std::vector<std::int64_t> sizes = sizes_of(op);
  std::int64_t total = 0;
  for (const std::int64_t size : sizes) total += size;
  const bool small = total <= 2 * element_count(site.y_shape);
  const std::int64_t batch = site.batch;
  const std::int64_t chunk =
      small ? batch : std::clamp<std::int64_t>(kFormedElements / total, 1, batch);
  for (std::int64_t first = 0; first < reps * batch;) {
    const SampleRange samples{first, std::min(chunk, batch - first % batch)};
    std::vector<SampleRows> rows;
    for (const std::int64_t size : sizes) {
      rows.push_back({Out(e.temporary(samples.count * size)), size});
    }
    op.deposit_per_sample(e, uses, samples, rows);
    reduce(samples, rows);
    first += samples.count;
  }
}

}  // namespace

void row_dots(Emit& e, In p, In q, std::int64_t rows, std::int64_t n, Out y) {
  kernels::BroadcastProduct::Args a{.p = p, .q = q, .y = y};
  a.axes.kept = a.axes.summed = 1;
  a.axes.size[0] = rows;
  a.axes.size[1] = a.axes.p[0] = a.axes.q[0] = n;
  a.axes.p[1] = a.axes.q[1] = 1;
  e.call<kernels::BroadcastProduct>(a);
}

void Op::deposit_squares(Emit& e, const Uses& uses, std::int64_t reps, double scale,
                         const std::vector<Out>& to) const {
  std::vector<Out> squares = to;
  form(*this, e, uses, reps, [&](SampleRange samples, const std::vector<SampleRows>& rows) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      e.call<kernels::SquareSum>({rows[i].to, squares[i], rows[i].stride, samples.count, scale});
      squares[i].accumulate = true;
    }
  });
}

void Op::deposit_moments(Emit& e, const Uses& uses, const MomentPorts& to) const {
  MomentPorts p = to;
  form(*this, e, uses, 1, [&](SampleRange samples, const std::vector<SampleRows>& rows) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const In x = rows[i].to;
      const std::int64_t n = rows[i].stride;
      if (p.norms) row_dots(e, x, x, samples.count, n, Out(p.norms.at(samples.first), true));
      if (p.sum.empty()) continue;
      e.call<kernels::ColumnSum>({x, p.sum[i], samples.count, 1, n});
      e.call<kernels::SquareSum>({x, p.squares[i], n, samples.count, p.scale});
      p.sum[i].accumulate = p.squares[i].accumulate = true;
    }
  });
}

// A sample is a rep of a batch of one.
void Bilinear::deposit_per_sample(Emit& e, const Uses& uses, SampleRange samples,
                                  const std::vector<SampleRows>& to) const {
  std::vector<SampleRows> rows = to;
  for (const Use& use : uses) {
    Site one = *use.site;
    one.batch = 1;
    one.x[0] = one.x[0].at(samples.first % use.site->batch * one.x_size());
    const In gy = use.gy.at(samples.first * one.y_size());
    product_w(e, one, gy, one.x[0], rows[0].to, {samples.count, true, true, rows[0].stride}, false);
    if (rows.size() > 1) {
      bias_sum(e, one, gy, rows[1].to, {samples.count, true, true, rows[1].stride});
    }
    for (SampleRows& r : rows) r.to.accumulate = true;
  }
}

}  // namespace hesscore
