// Curvature operators: a plan linearised at one point, applied many times.
#include "hesscore/curvature.hpp"

#include <algorithm>
#include <map>

#include "curvature/sample_coordinates.hpp"

namespace hesscore {
namespace {

// Vectors that travel together in one pass; more only cost memory.
constexpr std::int64_t kMaxReps = 16;

class CurvatureOperator final : public LinearOperator {
 public:
  CurvatureOperator(const Objective& f, const Request& request, Bindings bindings,
                    std::vector<Buffer> owned, std::vector<std::uint64_t> clock)
      : impl_(f.impl()),
        request_(request),
        bindings_(std::move(bindings)),
        owned_(std::move(owned)),
        clock_(impl_.device(), clock.size() * sizeof(std::uint64_t)) {
    impl_.device().from_host(clock_.data(), clock.data(), clock_.bytes());
    bindings_.add(kPortClock, clock_.data());
  }

  std::int64_t size() const override { return impl_.graph().num_params(); }
  DType dtype() const override { return request_.dtype; }
  Device& device() const override { return impl_.device(); }

  void apply(const void* v, void* out, std::int64_t count) const override {
    const auto row = size() * static_cast<std::int64_t>(size_of(dtype()));
    for (std::int64_t done = 0; done < count;) {
      const std::int64_t reps = std::min(kMaxReps, count - done);
      Plan& p = plan(reps);
      p.bind(kPortV, static_cast<const std::byte*>(v) + done * row);
      p.bind(kPortOut, static_cast<std::byte*>(out) + done * row);
      p.run_phase(1);
      done += reps;
    }
  }

  std::unique_ptr<KrylovCoordinates> krylov_coordinates(const void* b) const override {
    return sample_coordinates(impl_, request_, bindings_, b);
  }

 private:
  // The plan for that many vectors, linearised when it is first asked for.
  Plan& plan(std::int64_t reps) const {
    std::unique_ptr<Plan>& p = plans_[reps];
    if (!p) {
      Request r = request_;
      r.reps = reps;
      p = impl_.make_plan(r);
      for (const auto& [port, address] : bindings_.ports) p->bind(port, address);
      p->run_phase(0);
    }
    return *p;
  }

  const Objective::Impl& impl_;
  Request request_;
  Bindings bindings_;
  std::vector<Buffer> owned_;
  Buffer clock_;
  mutable std::map<std::int64_t, std::unique_ptr<Plan>> plans_;
};

View keep(Device& device, const View& v, std::vector<Buffer>& owned) {
  if (!v) return v;
  const auto bytes = static_cast<std::size_t>(element_count(v.shape)) * size_of(v.dtype);
  owned.emplace_back(device, bytes);
  device.copy(owned.back().data(), v.data, bytes);
  return View(owned.back().data(), v.dtype, v.shape);
}

}  // namespace

std::unique_ptr<LinearOperator> curvature(const Objective& f, Product kind, View w,
                                          const Batch& batch, const Mode& mode, bool snapshot,
                                          int samples, std::uint64_t seed) {
  const auto request = [&](const View& point, const Batch& data, Bindings& b) {
    Request r = f.impl().check_point(point, data.x, mode, b);
    f.impl().check_target(data, r, b);
    if (samples < 1) throw OptionError("samples", ">= 1", std::to_string(samples));
    r.what = Request::What::product;
    r.product = kind;
    if (kind == Product::fisher_mc) r.samples = samples;
    return r;
  };
  Bindings b;
  Request r = request(w, batch, b);
  std::vector<Buffer> owned;
  if (snapshot) {
    Device& device = f.device();
    Batch copy;
    const View point = keep(device, w, owned);
    for (const auto& [name, x] : batch.x.arrays) {
      copy.x.arrays.emplace_back(name, keep(device, x, owned));
    }
    copy.y = keep(device, batch.y, owned);
    copy.sample_weight = keep(device, batch.sample_weight, owned);
    b = {};
    r = request(point, copy, b);
  }
  return std::make_unique<CurvatureOperator>(
      f, r, std::move(b), std::move(owned), std::vector<std::uint64_t>{mode.seed, mode.step, seed});
}

}  // namespace hesscore
