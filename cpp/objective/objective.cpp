// Objective: checks, then one run of a cached plan.
#include <cmath>
#include <cstring>

#include "graph/init.hpp"
#include "graph/maxima_first.hpp"
#include "objective/impl.hpp"
#include "objective/kronecker_layout.hpp"
#include "objective/supported.hpp"

namespace hesscore {
namespace {

constexpr std::size_t kMaxPlans = 64;

Shape stacked(std::int64_t reps, bool single, const Shape& one) {
  Shape s = one;
  if (!single) s.insert(s.begin(), reps);
  return s;
}

double scalar(const double& bits, DType dtype) {
  if (dtype == DType::f64) return bits;
  float x = 0;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

}  // namespace

Objective::Impl::Impl(Graph graph, Device& device, DType dtype, Precision precision)
    : graph_(maxima_first(std::move(graph))),
      device_(device),
      dtype_(dtype),
      precision_(precision),
      loss_(resolve(graph_.loss(), output_shape())) {
  if (dtype == DType::i64) throw DTypeError("dtype", "float32 or float64", "int64");
  if (!graph_.buffers().empty()) make_buffers();
}

const Shape& Objective::Impl::output_shape() const {
  return graph_.nodes()[static_cast<std::size_t>(graph_.output())].shape;
}

std::unique_ptr<Plan> Objective::Impl::make_plan(const Request& r) const {
  Emit e(kernels(), r.dtype);
  compose(r, graph_, loss_, e);
  return std::make_unique<Plan>(std::move(e), device_);
}

Plan& Objective::Impl::plan(const Request& r) {
  auto it = plans_.find(r);
  if (it == plans_.end()) {
    if (plans_.size() >= kMaxPlans) plans_.clear();
    it = plans_.emplace(r, make_plan(r)).first;
  }
  return *it->second;
}

// On a device the clock and the loss have one place each, for all runs: a run whose arrays lie
// where they lay before is then a recording.
double Objective::Impl::run(const Request& r, const Bindings& b,
                            const std::vector<std::uint64_t>& clock) {
  const std::lock_guard device_lock(device_);  // the first one: callers may have it
  const std::lock_guard lock(mutex_);
  Plan& p = plan(r);
  double loss = 0;
  const void* clock_at = clock.data();
  void* loss_at = &loss;
  if (!device_.is_host()) {
    const std::size_t bytes = clock.size() * sizeof(std::uint64_t);
    if (mailbox_.bytes() < bytes + sizeof loss) mailbox_ = Buffer(device_, bytes + sizeof loss);
    loss_at = mailbox_.data();
    clock_at = static_cast<std::byte*>(loss_at) + sizeof loss;
    if (p.uses(kPortClock)) device_.from_host(const_cast<void*>(clock_at), clock.data(), bytes);
  }
  for (const auto& [port, address] : b.ports) p.bind(port, address);
  p.bind(kPortClock, clock_at);
  p.bind(kPortLoss, loss_at);
  p.run();
  if (!p.uses(kPortLoss)) return 0;
  if (!device_.is_host()) device_.to_host(&loss, loss_at, size_of(r.dtype));
  return scalar(loss, r.dtype);
}

Objective::Objective(Graph graph, Device& device, DType dtype, Precision precision)
    : impl_(std::make_unique<Impl>(std::move(graph), device, dtype, precision)) {}
Objective::~Objective() = default;
Objective::Objective(Objective&&) noexcept = default;

const Graph& Objective::graph() const { return impl_->graph(); }
Device& Objective::device() const { return impl_->device(); }
DType Objective::dtype() const { return impl_->dtype(); }
Precision Objective::precision() const { return impl_->precision(); }
std::int64_t Objective::num_params() const { return impl_->graph().num_params(); }
Shape Objective::output_shape() const { return impl_->output_shape(); }
Vector Objective::zeros() const { return Vector(device(), dtype(), num_params()); }

Vector Objective::init(std::uint64_t seed, std::string_view scheme) const {
  Vector w = zeros();
  w.from_host(init_values(seed, scheme));
  return w;
}

std::vector<double> Objective::init_values(std::uint64_t seed, std::string_view scheme) const {
  return initial_parameters(graph(), seed, scheme);
}

Objective::Impl::Question Objective::Impl::check_evaluation(const View& w, const Batch& batch,
                                                            const Outputs& out,
                                                            const Mode& mode) const {
  Question q;
  Bindings& b = q.bindings;
  Request& r = q.request = check_point(w, batch.x, mode, b);
  check_target(batch, r, b);
  const Shape flat{graph_.num_params()};
  if (out.grad) {
    check_output("grad", out.grad, flat, r.dtype);
    r.grad = true;
    b.add(kPortGrad, out.grad.data);
  }
  if (out.predict) {
    check_output("predict", out.predict, stacked(r.batch, false, output_shape()), r.dtype);
    r.predict = true;
    b.add(kPortPredict, out.predict.data);
  }
  add_samples(out, r, b);
  q.clock = {mode.seed, mode.step};
  for (const DiagTarget& d : out.diag) {
    check_output("diag", d.out, flat, r.dtype);
    if (d.samples < 1) throw OptionError("samples", ">= 1", std::to_string(d.samples));
    const bool sampled = d.kind == Diag::ggn_mc || d.kind == Diag::hutchinson;
    b.add(kPortDiag + static_cast<int>(r.diag.size()), d.out.data);
    const bool in_chunks = d.kind == Diag::hessian || d.kind == Diag::ggn;
    if (d.max_memory < 0) throw OptionError("max_memory", ">= 0", std::to_string(d.max_memory));
    r.diag.push_back({d.kind, sampled ? d.samples : 1, in_chunks ? d.max_memory : 0});
    q.clock.push_back(d.seed);
  }
  r.tracked = mode.track && mode.train && !graph_.buffers().empty();
  return q;
}

double Objective::Impl::answer(const Question& q, const Batch& batch) {
  const double loss = run(q.request, q.bindings, q.clock);
  if (std::isnan(loss) && !device_.is_host()) {
    check_indices(batch.x);
    check_values(batch, q.request);
  }
  return loss;
}

double Objective::evaluate(View w, const Batch& batch, const Outputs& out, const Mode& mode) const {
  return impl_->answer(impl_->check_evaluation(w, batch, out, mode), batch);
}

void Objective::per_sample_grads(View w, const Batch& batch, Target out, const Mode& mode) const {
  if (!out) throw OutputError("per_sample_grads", "an array (N, P)", "nothing");
  evaluate(std::move(w), batch, {.per_sample_grads = std::move(out)}, mode);
}

void Objective::grad_moments(View w, const Batch& batch, const GradMoments& out,
                             const Mode& mode) const {
  evaluate(std::move(w), batch, {.grad_moments = out}, mode);
}

std::int64_t Objective::memory(std::int64_t batch, const std::vector<std::string>& quantities,
                               DType dtype, bool train, int samples,
                               std::int64_t max_memory) const {
  if (batch < 1) throw OptionError("batch", "a positive number", std::to_string(batch));
  Workspace needed;
  std::int64_t bytes = 0;
  for (Request& r : requests_for(quantities, samples, max_memory)) {
    r.dtype = dtype;
    r.batch = batch;
    r.train = train;
    Emit e(impl_->kernels(), dtype);
    compose(r, graph(), impl_->loss(), e);
    bytes += Plan::memory(std::move(e), needed);
    const bool outputs = r.predict || r.what == Request::What::jvp;
    const bool product = r.what == Request::What::product || r.what == Request::What::vjp;
    if (r.kronecker) {
      bytes += kronecker_layout(graph(), r.kronecker->separate_bias).factors *
               static_cast<std::int64_t>(size_of(dtype));
    }
    const std::int64_t moments = r.grad_moments.any() ? 3 : 0;
    const std::int64_t vectors = static_cast<std::int64_t>(r.diag.size()) + moments +
                                 (r.grad || product ? 1 : 0) + (r.per_sample_grads ? batch : 0);
    const std::int64_t of_samples =
        (outputs ? element_count(output_shape()) : 0) + (r.grad_moments.norms ? 1 : 0);
    bytes +=
        (vectors * num_params() + batch * of_samples) * static_cast<std::int64_t>(size_of(dtype));
  }
  return bytes + needed.bytes(num_threads());
}

void Objective::predict(View w, const Inputs& x, Target out, const Mode& mode) const {
  Bindings b;
  Request r = impl_->check_point(w, x, mode, b);
  impl_->check_output("out", out, stacked(r.batch, false, output_shape()), r.dtype);
  if (r.batch == 0) return;
  r.what = Request::What::predict;
  b.add(kPortOut, out.data);
  impl_->run(r, b, {mode.seed, mode.step});
}

void Objective::jvp(View w, const Inputs& x, View v, Target out, const Mode& mode) const {
  Bindings b;
  Request r = impl_->check_point(w, x, mode, b);
  const Shape one{num_params()};
  r.reps = impl_->check_vectors("v", v, one, r.dtype);
  impl_->check_output("out", out,
                      stacked(r.reps, v.shape == one, stacked(r.batch, false, output_shape())),
                      r.dtype);
  if (r.batch == 0) return;
  r.what = Request::What::jvp;
  b.add(kPortV, v.data);
  b.add(kPortOut, out.data);
  impl_->run(r, b, {mode.seed, mode.step});
}

void Objective::vjp(View w, const Inputs& x, View u, Target out, const Mode& mode) const {
  Bindings b;
  Request r = impl_->check_point(w, x, mode, b);
  if (r.batch == 0) throw ShapeError("x", "at least one sample", "a batch of 0");
  const Shape one = stacked(r.batch, false, output_shape());
  r.reps = impl_->check_vectors("u", u, one, r.dtype);
  impl_->check_output("out", out, stacked(r.reps, u.shape == one, {num_params()}), r.dtype);
  r.what = Request::What::vjp;
  b.add(kPortV, u.data);
  b.add(kPortOut, out.data);
  impl_->run(r, b, {mode.seed, mode.step});
}

void Objective::product(Product kind, View w, const Batch& batch, View v, Target out,
                        const Mode& mode, int samples, std::uint64_t seed) const {
  Bindings b;
  Request r = impl_->check_point(w, batch.x, mode, b);
  impl_->check_target(batch, r, b);
  const Shape one{num_params()};
  r.reps = impl_->check_vectors("v", v, one, r.dtype);
  impl_->check_output("out", out, stacked(r.reps, v.shape == one, one), r.dtype);
  if (samples < 1) throw OptionError("samples", ">= 1", std::to_string(samples));
  r.what = Request::What::product;
  r.product = kind;
  if (kind == Product::fisher_mc) r.samples = samples;
  b.add(kPortV, v.data);
  b.add(kPortOut, out.data);
  impl_->run(r, b, {mode.seed, mode.step, seed});
}

}  // namespace hesscore
