// Krylov coordinates in sample space: arrays (c, alpha | u, tau).
#include "curvature/sample_coordinates.hpp"

#include "backend/algebra.hpp"
#include "objective/sample_space.hpp"

namespace hesscore {
namespace {

class SampleCoordinates final : public KrylovCoordinates {
 public:
  SampleCoordinates(const Objective::Impl& f, const Request& r, const Bindings& point,
                    const void* b, std::int64_t length)
      : device_(f.device()),
        dtype_(r.dtype),
        algebra_(f.device(), r.dtype),
        n_(f.graph().num_params()),
        length_(length),
        start_(f.device(), r.dtype, 2 * (length + 1)),
        plan_(make_plan(f, r)) {
    for (const auto& [port, address] : point.ports) plan_->bind(port, address);
    plan_->run_phase(kLinearise);
    rebase(b);
  }

  std::int64_t size() const override { return 2 * (length_ + 1); }

  void rebase(const void* b) override {
    b_ = b;
    run(kContribute, b, start_.data());
    set(start_.data(), length_, 1);
    set(start_.data(), 2 * length_ + 1, algebra_.dot(b, b, n_));
  }

  void start(void* c) const override { algebra_.copy(start_.data(), c, size()); }

  void apply(const void* c, void* out) const override {
    run(kApply, c, out);
    set(out, length_, 0);
    set(out, 2 * length_ + 1, algebra_.dot(second_half(start_.data()), out, length_));
  }

  double dot(const void* c, const void* d) const override {
    return algebra_.dot(c, second_half(d), length_ + 1);
  }

  void to_vector(const void* c, void* v) const override {
    run(kMaterialise, c, v);
    algebra_.axpby(get(c, length_), b_, 1, v, n_);
  }

 private:
  static std::unique_ptr<Plan> make_plan(const Objective::Impl& f, const Request& r) {
    Emit e(f.kernels(), r.dtype);
    compose_sample_space(r, f.graph(), f.loss(), e);
    return std::make_unique<Plan>(std::move(e), f.device());
  }

  void run(SamplePhase phase, const void* in, void* out) const {
    plan_->bind(kPortV, in);
    plan_->bind(kPortOut, out);
    plan_->run_phase(phase);
  }

  std::size_t bytes(std::int64_t elements) const {
    return static_cast<std::size_t>(elements) * size_of(dtype_);
  }
  const void* second_half(const void* c) const {
    return static_cast<const std::byte*>(c) + bytes(length_ + 1);
  }
  void set(void* c, std::int64_t i, double value) const {
    const auto single = static_cast<float>(value);
    const void* from = dtype_ == DType::f32 ? static_cast<const void*>(&single) : &value;
    device_.from_host(static_cast<std::byte*>(c) + bytes(i), from, bytes(1));
  }
  double get(const void* c, std::int64_t i) const {
    double value = 0;
    float single = 0;
    device_.to_host(dtype_ == DType::f32 ? static_cast<void*>(&single) : &value,
                    static_cast<const std::byte*>(c) + bytes(i), bytes(1));
    return dtype_ == DType::f32 ? single : value;
  }

  Device& device_;
  DType dtype_;
  Algebra algebra_;
  std::int64_t n_, length_;
  const void* b_ = nullptr;
  Vector start_;
  std::unique_ptr<Plan> plan_;
};

}  // namespace

std::unique_ptr<KrylovCoordinates> sample_coordinates(const Objective::Impl& f, const Request& r,
                                                      const Bindings& point, const void* b) {
  const std::int64_t length = sample_space_size(r, f.graph());
  if (length == 0) return nullptr;
  return std::make_unique<SampleCoordinates>(f, r, point, b, length);
}

}  // namespace hesscore
