// Normalisations: batch, layer, group, instance and root mean square, one family of kernels.
#pragma once

#include <optional>

#include "backend/kernels.hpp"
#include "hesscore/graph.hpp"
#include "ops/op.hpp"

namespace hesscore {

// What they share: y = w xhat + b with xhat = (x - mean) / sqrt(variance + eps).
class Normalization : public Op {
 public:
  Shape output_shape(const std::vector<Shape>& x) const override;
  std::vector<ParameterShape> parameters() const override;
  std::vector<Operand> save(Emit& e, const Site& s) const override;

  void forward(Emit& e, const Site& s, Out y) const override;
  void jvp(Emit& e, const Site& s, const JvpPorts& p) const override;
  void vjp(Emit& e, const Site& s, const VjpPorts& p) const override;
  void vjp_dot(Emit& e, const Site& s, const SecondPorts& p) const override;
  void diag(Emit& e, const Site& s, const DiagPorts& p) const override;
  bool has_parameter_columns() const override { return true; }
  std::vector<ParameterColumns> parameter_columns(Emit& e, const Site& s) const override;
  void deposit_per_sample(Emit& e, const Uses& uses, SampleRange samples,
                          const std::vector<SampleRows>& to) const override;
  void deposit_squares(Emit& e, const Uses& uses, std::int64_t reps, double scale,
                       const std::vector<Out>& to) const override;
  std::vector<KroneckerPart> kronecker_parts() const override;
  In kronecker_adjoints(Emit& e, const Site& s, std::size_t part, In gy, std::int64_t first,
                        std::int64_t count) const override;

 protected:
  Normalization(double eps, bool weight, bool bias, Shape weights);
  virtual math::NormGeometry geometry(const Site& s) const = 0;
  // Throws ShapeError unless the layer takes such an input.
  virtual void check(const Shape& x) const = 0;
  virtual double eps(const Emit&) const { return eps_; }

  [[noreturn]] void wrong_input(const std::string& expected, const Shape& x) const;

  const double eps_;
  const bool weight_, bias_;
  const Shape weights_;

 private:
  struct Terms {  // of the gradients
    Operand products, gy;
    std::int64_t size = 0;  // of a sample
  };
  Terms terms(Emit& e, const Uses& uses, std::int64_t reps) const;
  In weight(const Site& s) const { return weight_ ? s.w[0] : In{}; }
  In bias(const Site& s) const { return bias_ ? s.w[1] : In{}; }
  // gy xhat, for `reps` stacked gy.
  Operand weight_terms(Emit& e, const Site& s, In gy, std::int64_t reps) const;
};

// Over the batch, for each channel. In evaluation, and nowhere else, statistics are the running
// ones.
class BatchNorm final : public Normalization {
 public:
  BatchNorm(std::size_t dimensions, std::int64_t features, const BatchNormOptions& options);
  std::string_view type() const override {
    return dimensions_ == 1 ? "BatchNorm1d" : "BatchNorm2d";
  }
  std::string describe() const override;
  MemoryOrder order() const override { return MemoryOrder::channels_last; }
  std::vector<BufferShape> buffers() const override;
  std::vector<Operand> save(Emit& e, const Site& s) const override;
  void track(Emit& e, const Site& s) const override;
  bool couples_samples(bool train) const override { return train || !o_.track_running_stats; }
  bool is_affine(bool train, int) const override { return !couples_samples(train); }
  JacobianKind jacobian(bool train) const override {
    return couples_samples(train) ? JacobianKind::any : JacobianKind::diagonal;
  }

 protected:
  math::NormGeometry geometry(const Site& s) const override;
  void check(const Shape& x) const override;

 private:
  const std::size_t dimensions_;
  const std::int64_t features_;
  const BatchNormOptions o_;
};

// Over the last axes of each sample; `centred`: LayerNorm, else RMSNorm.
class LayerNorm final : public Normalization {
 public:
  LayerNorm(const Shape& shape, const LayerNormOptions& options);
  LayerNorm(const Shape& shape, const RMSNormOptions& options);
  std::string_view type() const override { return centred_ ? "LayerNorm" : "RMSNorm"; }
  std::string describe() const override;

 protected:
  math::NormGeometry geometry(const Site& s) const override;
  void check(const Shape& x) const override;
  double eps(const Emit& e) const override;

 private:
  const bool centred_;
  const bool given_;  // is eps given? Else it is that of the dtype
};

// Over positions and the channels of a group, for each sample; a group for each channel is
// InstanceNorm.
class GroupNorm final : public Normalization {
 public:
  GroupNorm(std::int64_t groups, std::int64_t channels, const GroupNormOptions& options);
  GroupNorm(std::size_t dimensions, std::int64_t features, const GroupNormOptions& options);
  std::string_view type() const override;
  std::string describe() const override;
  MemoryOrder order() const override { return MemoryOrder::channels_last; }

 protected:
  math::NormGeometry geometry(const Site& s) const override;
  void check(const Shape& x) const override;

 private:
  const std::int64_t groups_, channels_;
  const std::size_t dimensions_ = 0;  // of an InstanceNorm
};

}  // namespace hesscore
