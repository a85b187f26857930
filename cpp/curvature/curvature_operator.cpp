// Curvature operators: plans linearised at one point, applied many times.
#include "curvature/curvature_operator.hpp"

#include <algorithm>

#include "curvature/passes.hpp"
#include "curvature/sample_coordinates.hpp"

namespace hesscore {
namespace {

// Shapes of batches remembered: that of an epoch's batches and of its last one, and some more.
constexpr std::size_t kMaxPlaces = 4;

}  // namespace

CurvatureOperator::CurvatureOperator(const Objective::Impl& f, Product kind, int samples,
                                     std::uint64_t seed)
    : impl_(f), pool_(impl_.pool()), kind_(kind), samples_(samples), seed_(seed) {
  if (samples < 1) throw OptionError("samples", ">= 1", std::to_string(samples));
}

CurvatureOperator::~CurvatureOperator() { leave(); }

void CurvatureOperator::leave() {
  for (auto& [r, place] : places_) pool_->give(r, std::move(place));
  places_.clear();
}

Request CurvatureOperator::request(const View& w, const Batch& batch, const Mode& mode,
                                   Bindings& point) const {
  Request r = impl_.check_point(w, batch.x, mode, point);
  impl_.check_target(batch, r, point);
  r.what = Request::What::product;
  r.product = kind_;
  if (kind_ == Product::fisher_mc) r.samples = samples_;
  return r;
}

View CurvatureOperator::keep(const View& v, Buffer& copy) const {
  if (!v) return v;
  const auto bytes = static_cast<std::size_t>(element_count(v.shape)) * size_of(v.dtype);
  if (copy.data() == nullptr || copy.bytes() != bytes) copy = Buffer(device(), bytes);
  device().copy(copy.data(), v.data, bytes);
  return View(copy.data(), v.dtype, v.shape);
}

void CurvatureOperator::move_to(const View& w, const Batch& batch, const Mode& mode,
                                bool snapshot) {
  Bindings point;
  const Request r = request(w, batch, mode, point);
  if (places_.size() >= kMaxPlaces && !places_.contains(r)) leave();
  std::shared_ptr<Place>& place = places_[r];
  if (!place) place = std::static_pointer_cast<Place>(pool_->take(r));
  if (!place) place = std::make_shared<Place>();
  here_ = place.get();
  here_->request = r;
  if (snapshot || !device().is_host()) {
    here_->copies.resize(batch.x.arrays.size() + 3);
    auto to = here_->copies.begin();
    const View at = keep(w, *to++);
    Batch copy;
    for (const auto& [name, x] : batch.x.arrays) copy.x.arrays.emplace_back(name, keep(x, *to++));
    copy.y = keep(batch.y, *to++);
    copy.sample_weight = keep(batch.sample_weight, *to++);
    point = {};
    request(at, copy, mode, point);
  }
  const std::uint64_t clock[] = {mode.seed, mode.step, seed_};
  if (here_->clock.data() == nullptr) here_->clock = Buffer(device(), sizeof clock);
  device().from_host(here_->clock.data(), clock, sizeof clock);
  point.add(kPortClock, here_->clock.data());
  here_->point = std::move(point);
  for (auto& [reps, p] : here_->plans) p.current = false;
  for (auto& [reps, p] : here_->forms) p.current = false;
  for (auto& resident : here_->resident) resident.current = false;
}

std::int64_t CurvatureOperator::memory(const View& w, const Batch& batch, const Mode& mode) const {
  Bindings point;
  const Request r = request(w, batch, mode, point);
  Emit e(impl_.kernels(), r.dtype);
  compose(r, impl_.graph(), impl_.loss(), e);
  Workspace needed;
  std::int64_t bytes = Plan::memory(std::move(e), needed);
  if (device().is_host()) return bytes;
  const auto add = [&](const View& v) {
    if (v) bytes += element_count(v.shape) * static_cast<std::int64_t>(size_of(v.dtype));
  };
  for (const auto& [name, x] : batch.x.arrays) add(x);
  for (const View& v : {w, batch.y, batch.sample_weight}) add(v);
  return bytes;
}

Plan& CurvatureOperator::plan(std::int64_t reps) const {
  for (const auto& resident : here_->resident) {
    if (reps == 1 && resident.current) return resident.work->plan();
  }
  return plan(Request::What::product, reps, here_->plans);
}

Plan& CurvatureOperator::plan(Request::What what, std::int64_t reps, Place::Plans& plans) const {
  auto& [plan, current] = plans[reps];
  if (!plan) {
    Request r = here_->request;
    r.what = what;
    r.reps = reps;
    plan = impl_.make_plan(r);
  }
  if (!current) {
    for (const auto& [port, address] : here_->point.ports) plan->bind(port, address);
    plan->run_phase(0);
    current = true;
  }
  return *plan;
}

void CurvatureOperator::apply(const void* v, void* out, std::int64_t count) const {
  run(false, v, out, static_cast<std::size_t>(size()) * size_of(dtype()), count);
}

bool CurvatureOperator::forms(const void* v, double* result, std::int64_t count) const {
  run(true, v, result, sizeof(double), count);
  return true;
}

// `out_bytes` for each vector.
void CurvatureOperator::run(bool forms, const void* v, void* out, std::size_t out_bytes,
                            std::int64_t count) const {
  const std::lock_guard device_lock(device());  // the first one: callers may have it
  const std::lock_guard lock(mutex_);
  const auto row = size() * static_cast<std::int64_t>(size_of(dtype()));
  const std::int64_t most =
      vectors_per_pass(impl_.graph(), here_->request.batch, device().is_host());
  for (std::int64_t done = 0; done < count;) {
    const std::int64_t reps = std::min(most, count - done);
    Plan& p = forms ? plan(Request::What::form, reps, here_->forms) : plan(reps);
    p.bind(kPortV, static_cast<const std::byte*>(v) + done * row);
    p.bind(kPortOut, static_cast<std::byte*>(out) + done * static_cast<std::int64_t>(out_bytes));
    p.run_phase(1);
    done += reps;
  }
}

std::unique_ptr<KrylovCoordinates> CurvatureOperator::krylov_coordinates(const void* b) const {
  return sample_coordinates(impl_, here_->request, here_->point, b);
}

// A solve that its own callback begins finds the first one in possession.
LinearOperator::Resident CurvatureOperator::resident_cg(bool preconditioned) const {
  const std::lock_guard device_lock(device());  // the first one: callers may have it
  const std::lock_guard lock(mutex_);
  auto& [work, current] = here_->resident[preconditioned ? 1 : 0];
  if (work.use_count() > 1) return {};
  if (!work) work = std::make_shared<ResidentProduct>(impl_, here_->request, preconditioned);
  if (!current) work->linearise(here_->point);
  current = true;
  return {work};
}

std::unique_ptr<LinearOperator> curvature(const Objective& f, Product kind, View w,
                                          const Batch& batch, const Mode& mode, bool snapshot,
                                          int samples, std::uint64_t seed) {
  auto a = std::make_unique<CurvatureOperator>(f, kind, samples, seed);
  a->move_to(w, batch, mode, snapshot);
  return a;
}

}  // namespace hesscore
