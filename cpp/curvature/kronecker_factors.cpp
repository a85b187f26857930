// Kronecker factors at a point, and what is computed from them.
#include <algorithm>
#include <cmath>
#include <optional>

#include "curvature/factor_work.hpp"
#include "curvature/kronecker_operator.hpp"

namespace hesscore {
namespace {

double sum(const std::vector<double>& x) {
  double s = 0;
  for (const double v : x) s += v;
  return s;
}

void check_damping(double damping) {
  if (!(damping >= 0 && std::isfinite(damping))) {
    throw OptionError("damping", "a finite number >= 0", std::to_string(damping));
  }
}

[[noreturn]] void not_positive_definite(const std::string& block, double damping) {
  throw OptionError("damping", "enough to make block '" + block + "' positive definite",
                    std::to_string(damping));
}

}  // namespace

class KroneckerFactors::Impl {
 public:
  Impl(const Objective& f, const View& w, const Batch& batch, const KroneckerOptions& options,
       const Mode& mode, const Target& storage, const Outputs& also);

  std::unique_ptr<LinearOperator> matrix();
  std::unique_ptr<LinearOperator> inverse(double damping, bool split);
  double trace() const;
  double logdet(double damping);
  void diagonal(const Target& out);
  void update(const Impl& other, double decay);

  const void* at(std::int64_t i) const { return algebra_.at(factors_.data, i); }

  Device& device_;
  const DType dtype_;
  const std::int64_t n_;
  const bool corrected_;
  double loss_ = 0;
  bool signed_ = false;  // may the matrix be indefinite?
  std::shared_ptr<const KroneckerLayout> layout_;
  std::vector<KroneckerBlock> blocks_;
  Vector own_;
  View factors_;

 private:
  struct Spectrum {
    Vector bases;  // in the layout of the factors
    std::vector<std::vector<double>> a, g;
  };
  const Spectrum& spectrum();
  // The eigenvalues of a block as a matrix, as it lies among matrices.
  std::vector<double> eigenvalues(std::size_t i);
  std::unique_ptr<LinearOperator> split_inverse(double damping) const;
  std::unique_ptr<LinearOperator> make(KroneckerForm form, const void* factors, const void* middle,
                                       std::vector<Vector> keep = {}) const;

  FactorAlgebra algebra_;
  Vector moments_;
  std::vector<double> host_moments_;
  std::optional<Spectrum> spectrum_;
};

KroneckerFactors::Impl::Impl(const Objective& f, const View& w, const Batch& batch,
                             const KroneckerOptions& options, const Mode& mode,
                             const Target& storage, const Outputs& also)
    : device_(f.device()),
      dtype_(w.dtype),
      n_(f.num_params()),
      corrected_(options.corrected),
      layout_(
          std::make_shared<KroneckerLayout>(kronecker_layout(f.graph(), options.separate_bias))),
      algebra_(f.device(), w.dtype == DType::i64 ? DType::f64 : w.dtype) {
  Bindings checked;
  f.impl().check_point(w, batch.x, mode, checked);
  if (options.corrected && options.kind == Factors::recursive) {
    throw OptionError("corrected", "gradients of samples, which KFRA has none of", "true");
  }
  if (options.samples < 1) throw OptionError("samples", ">= 1", std::to_string(options.samples));
  blocks_.assign(layout_->places.begin(), layout_->places.end());
  if (storage) {
    f.impl().check_output("storage", storage, {layout_->factors}, dtype_);
    factors_ = storage;
  } else {
    own_ = Vector(device_, dtype_, layout_->factors);
    factors_ = own_;
  }
  loss_ = evaluate_factors(f.impl(), w, batch, options, mode, factors_.data, also);
  const bool columns = options.kind == Factors::exact || options.kind == Factors::recursive;
  signed_ = columns && f.impl().loss().spec.kind == math::LossKind::gaussian_nll;
  if (!corrected_) return;
  spectrum();
  moments_ = Vector(device_, dtype_, n_);
  Mode still = mode;  // the running statistics follow the first sweep
  still.track = false;
  evaluate_factors(f.impl(), w, batch, options, still, moments_.data(), {},
                   spectrum_->bases.data());
}

std::unique_ptr<LinearOperator> KroneckerFactors::Impl::make(KroneckerForm form,
                                                             const void* factors,
                                                             const void* middle,
                                                             std::vector<Vector> keep) const {
  return std::make_unique<KroneckerOperator>(device_, dtype_, n_, layout_, form, factors, middle,
                                             std::move(keep));
}

std::unique_ptr<LinearOperator> KroneckerFactors::Impl::matrix() {
  if (!corrected_) return make(KroneckerForm::direct, factors_.data, nullptr);
  return make(KroneckerForm::spectral, spectrum().bases.data(), moments_.data());
}

const KroneckerFactors::Impl::Spectrum& KroneckerFactors::Impl::spectrum() {
  if (spectrum_) return *spectrum_;
  Spectrum s{Vector(device_, dtype_, layout_->factors), {}, {}};
  for (const KroneckerPlace& p : layout_->places) {
    const auto eigen = [&](std::int64_t at, std::int64_t n, bool may_be_negative) {
      std::vector<double> values = algebra_.eigen(this->at(at), algebra_.at(s.bases.data(), at), n);
      if (may_be_negative) return values;
      for (double& v : values) v = std::max(v, 0.0);  // rounding
      return values;
    };
    s.a.push_back(p.diagonal ? algebra_.values(at(p.a), p.columns) : eigen(p.a, p.columns, false));
    const bool shared = s.a.size() > 1 && (&p)[-1].g == p.g;
    s.g.push_back(shared ? s.g.back() : eigen(p.g, p.rows, signed_));
  }
  spectrum_ = std::move(s);
  return *spectrum_;
}

std::vector<double> KroneckerFactors::Impl::eigenvalues(std::size_t i) {
  const KroneckerPlace& p = layout_->places[i];
  if (corrected_) {
    if (host_moments_.empty()) host_moments_ = moments_.to_host();
    const auto begin = host_moments_.begin() + p.matrix_at;
    return {begin, begin + p.elements()};
  }
  const Spectrum& s = spectrum();
  std::vector<double> values;
  const auto& outer = p.diagonal ? s.a[i] : s.g[i];
  const auto& inner = p.diagonal ? s.g[i] : s.a[i];
  values.reserve(static_cast<std::size_t>(p.elements()));
  for (const double x : outer) {
    for (const double y : inner) values.push_back(x * y);
  }
  return values;
}

std::unique_ptr<LinearOperator> KroneckerFactors::Impl::inverse(double damping, bool split) {
  check_damping(damping);
  if (split && !corrected_) return split_inverse(damping);
  std::vector<double> all;
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    for (const double value : eigenvalues(i)) {
      if (!(value + damping > 0)) not_positive_definite(blocks_[i].name, damping);
      all.push_back(1 / (value + damping));
    }
  }
  std::vector<Vector> keep;
  keep.emplace_back(device_, dtype_, n_);
  keep.back().from_host(all);
  keep.emplace_back(device_, dtype_, layout_->factors);
  const void *middle = keep[0].data(), *bases = keep[1].data();
  device_.copy(keep[1].data(), spectrum().bases.data(),
               static_cast<std::size_t>(layout_->factors) * size_of(dtype_));
  return make(KroneckerForm::spectral, bases, middle, std::move(keep));
}

std::unique_ptr<LinearOperator> KroneckerFactors::Impl::split_inverse(double damping) const {
  const auto layout = std::make_shared<KroneckerLayout>(inverse_layout(*layout_));
  std::vector<Vector> keep;
  keep.emplace_back(device_, dtype_, layout->factors);
  const KroneckerPlace* const failed =
      invert_factors(algebra_, *layout_, factors_.data, damping, keep[0].data());
  if (failed != nullptr) not_positive_definite(failed->name, damping);
  const void* const inverses = keep[0].data();
  return std::make_unique<KroneckerOperator>(device_, dtype_, n_, layout, KroneckerForm::direct,
                                             inverses, nullptr, std::move(keep));
}

double KroneckerFactors::Impl::trace() const {
  if (corrected_) return sum(moments_.to_host());
  double trace = 0;
  for (const KroneckerPlace& p : layout_->places) {
    const double a = sum(p.diagonal ? algebra_.values(at(p.a), p.columns)
                                    : algebra_.diagonal(at(p.a), p.columns));
    trace += a * sum(algebra_.diagonal(at(p.g), p.rows));
  }
  return trace;
}

double KroneckerFactors::Impl::logdet(double damping) {
  check_damping(damping);
  double logdet = 0;
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    for (const double value : eigenvalues(i)) {
      if (!(value + damping > 0)) not_positive_definite(blocks_[i].name, damping);
      logdet += std::log(value + damping);
    }
  }
  return logdet;
}

void KroneckerFactors::Impl::diagonal(const Target& out) {
  const KroneckerForm form = corrected_ ? KroneckerForm::spectral : KroneckerForm::direct;
  Emit e(device_.kernels(), dtype_);
  emit_kronecker_diagonal(e, *layout_, form);
  Plan plan(std::move(e), device_);
  plan.bind(kKroneckerFactors, corrected_ ? spectrum().bases.data() : factors_.data);
  plan.bind(kKroneckerMiddle, moments_.data());
  plan.bind(kPortOut, out.data);
  const std::lock_guard lock(device_);
  plan.run();
  device_.synchronize();
}

void KroneckerFactors::Impl::update(const Impl& other, double decay) {
  if (!(decay >= 0 && decay <= 1)) {
    throw OptionError("decay", "0 <= decay <= 1", std::to_string(decay));
  }
  const bool alike = other.layout_->factors == layout_->factors &&
                     other.blocks_.size() == blocks_.size() && other.dtype_ == dtype_ &&
                     &other.device_ == &device_;
  if (!alike) throw StateError("other", "factors of the same layers, dtype and device", "others");
  if (corrected_ || other.corrected_) {
    throw UnsupportedError("moments in different eigenbases have no average");
  }
  Algebra(device_, dtype_)
      .axpby(1 - decay, other.factors_.data, decay, factors_.data, layout_->factors);
  signed_ = signed_ || other.signed_;
  spectrum_.reset();
}

// ---- the public class --------------------------------------------------------------------------

KroneckerFactors::KroneckerFactors(const Objective& f, View w, const Batch& batch,
                                   const KroneckerOptions& options, const Mode& mode,
                                   const Target& storage, const Outputs& also)
    : impl_(std::make_unique<Impl>(f, w, batch, options, mode, storage, also)) {}
KroneckerFactors::~KroneckerFactors() = default;
KroneckerFactors::KroneckerFactors(KroneckerFactors&&) noexcept = default;

std::int64_t KroneckerFactors::count(const Objective& f, const KroneckerOptions& options) {
  return kronecker_layout(f.graph(), options.separate_bias).factors;
}

double KroneckerFactors::loss() const { return impl_->loss_; }
const std::vector<KroneckerBlock>& KroneckerFactors::blocks() const { return impl_->blocks_; }
View KroneckerFactors::factors() const { return impl_->factors_; }
std::int64_t KroneckerFactors::size() const { return impl_->n_; }
DType KroneckerFactors::dtype() const { return impl_->dtype_; }
Device& KroneckerFactors::device() const { return impl_->device_; }

std::unique_ptr<LinearOperator> KroneckerFactors::matrix() const { return impl_->matrix(); }

std::unique_ptr<LinearOperator> KroneckerFactors::inverse(double damping, bool split) const {
  return impl_->inverse(damping, split);
}

double KroneckerFactors::trace() const { return impl_->trace(); }

double KroneckerFactors::logdet(double damping) const { return impl_->logdet(damping); }

void KroneckerFactors::diagonal(const Target& out) const {
  if (!out || out.dtype != dtype() || out.shape != Shape{size()}) {
    throw OutputError("out", to_string(Shape{size()}) + " of " + std::string(name_of(dtype())),
                      out ? to_string(out.shape) : "nothing");
  }
  impl_->diagonal(out);
}

void KroneckerFactors::update(const KroneckerFactors& other, double decay) {
  impl_->update(*other.impl_, decay);
}

}  // namespace hesscore
