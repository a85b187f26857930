// Newton's method with the dense Hessian.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <mutex>

#include "curvature/curvature_operator.hpp"
#include "hesscore/solve.hpp"
#include "optim/impl.hpp"
#include "optim/options.hpp"

namespace hesscore {
namespace {

constexpr std::int64_t kMostParameters = 20000;  // 3.2 GB in float64
constexpr std::int64_t kRows = 64;               // of the Hessian at a time

class NewtonMethod final : public Optimizer::Impl {
 public:
  NewtonMethod(const Objective& f, Newton method)
      : Impl(f), method_(std::move(method)), curvature_(f, hesscore::Product::hessian) {
    if (n_ > kMostParameters) {
      throw OptionError("method",
                        "at most " + std::to_string(kMostParameters) +
                            " parameters for newton, whose Hessian is dense",
                        std::to_string(n_) + "; hessian_free forms no matrix");
    }
  }

 private:
  StepInfo attempt(const View& w, const Batch& batch, const Mode& mode) override;
  void allocate_scratch() override;
  void form(double damping);
  bool solve_by_cholesky();
  std::int64_t solve_by_eigenvalues(const Mode& mode);
  double inverse_of(double value, double largest) const;
  void multiply(const Vector& a, bool transposed, Vector& c) const;
  template <class Key>
  std::int32_t factor(typename Key::Args args);

  const Newton method_;
  CurvatureOperator curvature_;
  Vector g_, x_, trial_, values_, rows_, matrix_;
  Buffer info_;
};

void NewtonMethod::allocate_scratch() {
  for (Vector* v : {&g_, &x_, &trial_, &values_}) *v = make_vector();
  rows_ = Vector(f_.device(), dtype_, std::min(kRows, n_) * n_);
  matrix_ = Vector(f_.device(), dtype_, n_ * n_);
  info_ = Buffer(f_.device(), sizeof(std::int32_t));
}

StepInfo NewtonMethod::attempt(const View& w, const Batch& batch, const Mode& mode) {
  const double lr = value_at("lr", method_.lr, mode.step);
  StepInfo info{.damping = value_at("damping", method_.damping, mode.step)};
  info.loss = f_.evaluate(w, batch, {.grad = &g_}, mode);
  require_finite(info.loss, mode);
  info.grad_norm = require_finite("gradient", g_, mode);
  Mode still = mode;  // the running statistics are to follow the evaluation alone
  still.track = false;
  curvature_.move_to(w, batch, still, /*snapshot=*/false);
  form(info.damping);
  if (!algebra().all_finite(matrix_.data(), n_ * n_)) {
    throw_non_finite("the Hessian is not finite", mode);
  }
  if (!solve_by_cholesky()) {
    form(info.damping);
    info.negative_eigenvalues = solve_by_eigenvalues(mode);
  }
  algebra().copy(w.data, trial_.data(), n_);
  algebra().axpby(-lr, x_.data(), 1, trial_.data(), n_);
  require_finite("step", trial_, mode);
  algebra().copy(trial_.data(), w.data, n_);
  return info;
}

// The rows of H + damping I, as products with unit vectors.
void NewtonMethod::form(double damping) {
  const ShiftedOperator damped(curvature_, damping);
  const auto size = static_cast<std::int64_t>(size_of(dtype_));
  const double one = 1;
  const float single = 1;
  const void* const unit = dtype_ == DType::f32 ? static_cast<const void*>(&single) : &one;
  for (std::int64_t first = 0; first < n_; first += kRows) {
    poll();
    const std::int64_t count = std::min(kRows, n_ - first);
    algebra().fill(0, rows_.data(), count * n_);
    for (std::int64_t k = 0; k < count; ++k) {
      f_.device().from_host(rows_.as<std::byte>() + (k * n_ + first + k) * size, unit,
                            size_of(dtype_));
    }
    damped.apply(rows_.data(), matrix_.as<std::byte>() + first * n_ * size, count);
  }
}

template <class Key>
std::int32_t NewtonMethod::factor(typename Key::Args args) {
  const std::lock_guard lock(f_.device());
  args.info = Out(info_.data());
  f_.device().kernels().get<Key>(dtype_)(f_.device().stream(), args);
  std::int32_t info = 0;
  f_.device().to_host(&info, info_.data(), sizeof info);
  return info;
}

bool NewtonMethod::solve_by_cholesky() {
  if (factor<kernels::Cholesky>({.a = Out(matrix_.data()), .info = {}, .n = n_}) != 0) return false;
  algebra().copy(g_.data(), x_.data(), n_);
  const std::lock_guard lock(f_.device());
  f_.device().kernels().get<kernels::CholeskySolve>(dtype_)(
      f_.device().stream(), {In(matrix_.data()), Out(x_.data()), n_, 1});
  return true;
}

// x = V' f(values) V g with the eigenvectors in the rows of V. Returns how many values are
// negative.
std::int64_t NewtonMethod::solve_by_eigenvalues(const Mode& mode) {
  if (factor<kernels::SymmetricEigen>(
          {.a = Out(matrix_.data()), .values = Out(values_.data()), .info = {}, .n = n_}) != 0) {
    throw_non_finite("the eigenvalues of the Hessian did not converge", mode);
  }
  std::vector<double> values = values_.to_host();
  const double largest = std::max(std::abs(values.front()), std::abs(values.back()));
  const auto negative = std::count_if(values.begin(), values.end(), [](double v) { return v < 0; });
  for (double& v : values) v = inverse_of(v, largest);
  values_.from_host(values);
  multiply(g_, true, x_);
  algebra().multiply(values_.data(), x_.data(), trial_.data(), n_);
  multiply(trial_, false, x_);
  return negative;
}

double NewtonMethod::inverse_of(double value, double largest) const {
  const double epsilon = dtype_ == DType::f32 ? std::numeric_limits<float>::epsilon()
                                              : std::numeric_limits<double>::epsilon();
  if (std::abs(value) <= static_cast<double>(n_) * epsilon * largest) return 0;
  if (method_.indefinite == Indefinite::truncated && value < 0) return 0;
  return 1 / (method_.indefinite == Indefinite::plain ? value : std::abs(value));
}

// c = a V' or a V, with V in the place of the matrix.
void NewtonMethod::multiply(const Vector& a, bool transposed, Vector& c) const {
  kernels::Product::Args args{In(a.data()), In(matrix_.data()), {}, Out(c.data()), 1, n_, n_};
  args.trans_b = transposed;
  const std::lock_guard lock(f_.device());
  f_.device().kernels().get<kernels::Product>(dtype_)(f_.device().stream(), args);
}

}  // namespace

std::unique_ptr<Optimizer::Impl> make_method(const Objective& f, const Newton& method) {
  return std::make_unique<NewtonMethod>(f, method);
}

}  // namespace hesscore
