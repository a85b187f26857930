// What all methods share: the state, its dtype, and the frame of a transactional step.
#pragma once

#include <exception>
#include <optional>

#include "backend/algebra.hpp"
#include "hesscore/optim.hpp"
#include "optim/device_steps.hpp"
#include "optim/mini_batches.hpp"
#include "optim/turns.hpp"

namespace hesscore {

class Optimizer::Impl {
 public:
  explicit Impl(const Objective& f);
  virtual ~Impl();

  using Poll = std::function<void()>;
  StepInfo step(const View& w, const Batch& batch, const Poll& poll);
  using OnStep = std::function<bool(const StepInfo&)>;
  std::int64_t run(const View& w, const Batch& data, const RunOptions& options, std::int64_t epoch,
                   std::int64_t first, std::int64_t count, const OnStep& on_step);
  void set(const StepOptions& options);  // before anything else
  Vector ema() const;
  State state() const;
  void load_state(const State& state);

 protected:
  // One step from w. Touches w and the state only as its last act, which cannot fail.
  virtual StepInfo attempt(const View& w, const Batch& batch, const Mode& mode) = 0;
  // For methods whose step a device can take by itself, as long as the update cannot overflow.
  virtual std::optional<DeviceUpdate> device_update() const { return {}; }
  // Completes the record of that step, or returns false if the update might overflow.
  virtual bool describe(math::StepRecord&) const { return false; }
  virtual void allocate_scratch() = 0;
  // Throws OptionError for batches too small for the method.
  virtual void check_rows(std::int64_t) const {}
  virtual void after_load() {}
  // Does `attempt` move the mean of w?
  virtual bool averages() const { return false; }
  // Throws StateError on scalars that no step leaves behind.
  virtual void check_scalars(const Optimizer::State&) const {}

  // State that `state()` saves. Vectors are empty until the dtype of w is known; without a size
  // they are as long as w.
  Vector& add_vector(const std::string& name, std::int64_t size = -1) {
    sizes_[name] = size < 0 ? n_ : size;
    return vectors_[name];
  }
  double& add_scalar(const std::string& name, double value) { return scalars_[name] = value; }

  Vector make_vector() const { return make_vector(n_); }
  Vector make_vector(std::int64_t size) const { return Vector(f_.device(), dtype_, size); }
  void* row(const Vector& rows, std::int64_t i) const {  // of n_ numbers
    return rows.as<std::byte>() + i * n_ * static_cast<std::int64_t>(size_of(dtype_));
  }
  const Algebra& algebra() const { return *algebra_; }
  // To be called before every evaluation but the first, and within solves. May throw.
  void poll() const {
    if (*poll_) (*poll_)();
  }
  const StepOptions& options() const { return options_; }
  Vector* mean() const { return mean_; }
  // Clips a finite gradient of this norm, by means of as many numbers elsewhere.
  void clip(Vector& g, double norm, Vector& scratch, const Mode& mode) const;
  // A norm to clip by must be a number.
  void require_norm(double norm, const Mode& mode) const;

  // Throw NonFiniteError, saying which quantity at which parameter in which step. The second
  // returns the norm, which is infinite if its square overflows float64.
  void require_finite(double loss, const Mode& mode) const;
  double require_finite(const char* quantity, const Vector& v, const Mode& mode) const;
  // At the minimum losses differ by the rounding of what they are computed from alone: by this.
  double resolution(double loss) const;

  const Objective& f_;
  const std::int64_t n_;
  DType dtype_ = DType::f32;

 private:
  // Throws what a step on this batch would throw, for a whole data set before its first step.
  Request check(const View& w, const Batch& data, Bindings& b) const;
  void prepare(const View& w);
  StepInfo careful_step(const View& w, const Batch& batch, std::uint64_t dropout_seed);

  struct Launch {
    Request request;
    StepRows rows;
    std::int64_t most = 1, first_row = 0;
    bool paced = false;  // as many as fill about 10 ms
    std::uint64_t dropout_seed = 0;
    std::function<void()> meanwhile = {};
  };
  // The losses of the next steps, which the device took; none if the first is for careful_step.
  std::vector<double> launch(Launch l);
  std::vector<double> launch_batches(const View& w, std::int64_t first, std::int64_t most,
                                     const RunOptions& options);
  std::vector<math::StepRecord> records(const Launch& l, std::int64_t most);
  void check_state(const State& state) const;
  void upload(const State& state);

  class Listening;  // to a poll
  const Poll none_;
  const Poll* poll_ = &none_;
  StepOptions options_;
  Vector* mean_ = nullptr;  // of w
  std::map<std::string, Vector> vectors_;
  std::map<std::string, std::int64_t> sizes_;
  std::map<std::string, double> scalars_;
  double& steps_;
  mutable Turns turns_;  // of steps, runs and load_state
  MiniBatches mini_batches_;
  std::unique_ptr<DeviceSteps> device_steps_;
  std::exception_ptr late_;         // what a schedule threw that was asked ahead of its step
  double late_step_ = 0;            // which is this one
  std::optional<Algebra> algebra_;  // empty until the dtype is known
  std::optional<State> pending_;    // loaded before that
};

// A fresh seed for each step.
std::uint64_t step_seed(std::uint64_t seed, std::uint64_t step);

[[noreturn]] void throw_non_finite(const std::string& what, const Mode& mode);

// One for each family of methods.
std::unique_ptr<Optimizer::Impl> make_method(const Objective& f, const Sgd& method);
std::unique_ptr<Optimizer::Impl> make_method(const Objective& f, const Adam& method);
std::unique_ptr<Optimizer::Impl> make_method(const Objective& f, const AdamW& method);
std::unique_ptr<Optimizer::Impl> make_method(const Objective& f, const AdaHessian& method);
std::unique_ptr<Optimizer::Impl> make_method(const Objective& f, const AdaHesScale& method);
std::unique_ptr<Optimizer::Impl> make_method(const Objective& f, const AdaHesScaleGN& method);
std::unique_ptr<Optimizer::Impl> make_method(const Objective& f, const Bl89& method);
std::unique_ptr<Optimizer::Impl> make_method(const Objective& f, const ChainruleAdam& method);
std::unique_ptr<Optimizer::Impl> make_method(const Objective& f, const SophiaG& method);
std::unique_ptr<Optimizer::Impl> make_method(const Objective& f, const SophiaH& method);
std::unique_ptr<Optimizer::Impl> make_method(const Objective& f, const GaussNewton& method);
std::unique_ptr<Optimizer::Impl> make_method(const Objective& f, const HessianFree& method);
std::unique_ptr<Optimizer::Impl> make_method(const Objective& f, const TrustRegion& method);
std::unique_ptr<Optimizer::Impl> make_method(const Objective& f, const Newton& method);
std::unique_ptr<Optimizer::Impl> make_method(const Objective& f, const Lbfgs& method);
std::unique_ptr<Optimizer::Impl> make_method(const Objective& f, const ReplicaNewton& method);
std::unique_ptr<Optimizer::Impl> make_method(const Objective& f, const Kfac& method);

}  // namespace hesscore
