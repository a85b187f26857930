// Pooling of images, and the other maps that look through windows: padding, slicing, upsampling.
#pragma once

#include <array>
#include <optional>

#include "hesscore/graph.hpp"
#include "ops/kinds.hpp"

namespace hesscore {

// A sum over windows with fixed coefficients: its diagonal takes their squares.
class WindowMap : public FixedMap {
 protected:
  virtual math::WindowGeometry geometry(const Site& s) const = 0;
  void apply(Emit& e, const Site& s, std::size_t i, In x, Out y, std::int64_t reps) const override;
  void apply_t(Emit& e, const Site& s, std::size_t i, In gy, Out gx, std::int64_t reps,
               bool square) const override;
};

// What maximum and average pooling share: PyTorch's rules for sizes, in one or two dimensions; or
// the windows that lead to a given size, -1 keeping an axis.
class PoolWindows {
 public:
  PoolWindows(std::string name, std::size_t dimensions, const PoolOptions& options);
  PoolWindows(std::string name, Shape size);

  const std::string& name() const { return name_; }
  std::string describe() const;
  Shape output_shape(const Shape& x) const;
  math::WindowGeometry geometry(const Site& s) const;

 private:
  math::WindowAxis axis(std::size_t a, std::int64_t in) const;  // a = 0 for rows, 1 for columns
  std::string name_;
  std::size_t dimensions_;
  PoolOptions o_;
  std::optional<Shape> size_;
};

class AvgPool : public WindowMap {
 public:
  AvgPool(std::size_t dimensions, const PoolOptions& options);
  explicit AvgPool(Shape size);
  std::string_view type() const override { return windows_.name(); }
  std::string describe() const override { return windows_.describe(); }
  MemoryOrder order() const override { return MemoryOrder::channels_last; }
  Shape output_shape(const std::vector<Shape>& x) const override {
    return windows_.output_shape(x.at(0));
  }

 protected:
  math::WindowGeometry geometry(const Site& s) const override;

 private:
  PoolWindows windows_;
  math::Divisor divisor_ = math::Divisor::inside;
  double constant_ = 1;
};

// Linear once the forward pass has chosen the inputs; both adjoint and curvature go to them.
class MaxPool : public FixedMap {
 public:
  MaxPool(std::size_t dimensions, const PoolOptions& options);
  explicit MaxPool(Shape size);
  bool takes_maxima() const override { return !empty_windows_; }
  JacobianKind jacobian(bool) const override { return JacobianKind::any; }
  std::string_view type() const override { return windows_.name(); }
  std::string describe() const override { return windows_.describe(); }
  MemoryOrder order() const override { return MemoryOrder::channels_last; }
  Shape output_shape(const std::vector<Shape>& x) const override;
  std::vector<Operand> save(Emit& e, const Site& s) const override;  // the chosen positions
  void forward(Emit& e, const Site& s, Out y) const override;

 protected:
  void apply(Emit& e, const Site& s, std::size_t i, In x, Out y, std::int64_t reps) const override;
  void apply_t(Emit& e, const Site& s, std::size_t i, In gy, Out gx, std::int64_t reps,
               bool square) const override;

 private:
  PoolWindows windows_;
  bool empty_windows_ = false;  // may there be some? Dilation can step over a small image
};

// Zeros around an image of one or two dimensions; negative numbers crop.
class ZeroPad : public WindowMap {
 public:
  explicit ZeroPad(std::vector<std::array<std::int64_t, 2>> padding)
      : padding_(std::move(padding)) {}
  std::string_view type() const override;
  std::string describe() const override;
  MemoryOrder order() const override { return MemoryOrder::channels_last; }
  Shape output_shape(const std::vector<Shape>& x) const override;

 protected:
  math::WindowGeometry geometry(const Site& s) const override;

 private:
  std::vector<std::array<std::int64_t, 2>> padding_;
};

// Nearest neighbours: output o is input floor(o in / out).
class Upsample : public WindowMap {
 public:
  Upsample(Shape size, bool factors) : size_(std::move(size)), factors_(factors) {}
  std::string_view type() const override { return "Upsample"; }
  std::string describe() const override;
  MemoryOrder order() const override { return MemoryOrder::channels_last; }
  Shape output_shape(const std::vector<Shape>& x) const override;

 protected:
  math::WindowGeometry geometry(const Site& s) const override;

 private:
  Shape size_;  // or factors
  bool factors_;
};

// x[start:stop:step] along one axis, counted with the batch as axis 0; numbers below zero count
// from the end, as in NumPy.
class Slice : public WindowMap {
 public:
  Slice(int axis, std::int64_t start, std::optional<std::int64_t> stop, std::int64_t step);
  std::string_view type() const override { return "Slice"; }
  std::string describe() const override;
  MemoryOrder order() const override { return MemoryOrder::any; }
  Shape output_shape(const std::vector<Shape>& x) const override;

 protected:
  math::WindowGeometry geometry(const Site& s) const override;
  void apply(Emit& e, const Site& s, std::size_t i, In x, Out y, std::int64_t reps) const override;
  void apply_t(Emit& e, const Site& s, std::size_t i, In gy, Out gx, std::int64_t reps,
               bool square) const override;

 private:
  std::int64_t first(std::int64_t in) const;  // element of an axis of `in`
  int axis_;
  std::int64_t start_;
  std::optional<std::int64_t> stop_;
  std::int64_t step_;
};

}  // namespace hesscore
