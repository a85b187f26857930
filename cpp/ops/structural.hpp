// Ops without parameters that move or combine activations.
#pragma once

#include "ops/kinds.hpp"

namespace hesscore {

// `shape` with its -1, if it has one, replaced so that it has n elements.
Shape filled_in(const std::string& op, Shape shape, std::int64_t n);

// A view with a given shape: Flatten, Identity, reshapes.
class Reshape : public FixedMap {
 public:
  // An empty target keeps the shape; one -1 follows from the other sizes.
  explicit Reshape(std::string name, Shape target = {})
      : name_(std::move(name)), target_(std::move(target)) {}
  std::string_view type() const override { return name_; }
  std::string describe() const override;
  MemoryOrder order() const override {
    return target_.empty() ? MemoryOrder::any : MemoryOrder::api;
  }
  Shape output_shape(const std::vector<Shape>& x) const override;
  bool is_view(bool) const override { return true; }

 protected:
  void apply(Emit& e, const Site& s, std::size_t i, In x, Out y, std::int64_t reps) const override;
  void apply_t(Emit& e, const Site& s, std::size_t i, In gy, Out gx, std::int64_t reps,
               bool square) const override;

 private:
  std::string name_;
  Shape target_;
};

// y = x_0 + x_1 + ...
class Add : public FixedMap {
 public:
  std::string_view type() const override { return "Add"; }
  MemoryOrder order() const override { return MemoryOrder::any; }
  Shape output_shape(const std::vector<Shape>& x) const override;

 protected:
  void apply(Emit& e, const Site& s, std::size_t i, In x, Out y, std::int64_t reps) const override;
  void apply_t(Emit& e, const Site& s, std::size_t i, In gy, Out gx, std::int64_t reps,
               bool square) const override;
};

// The inputs side by side along one axis, counted with the batch as axis 0.
class Concat : public FixedMap {
 public:
  explicit Concat(int axis) : axis_(axis) {}
  std::string_view type() const override { return "Concat"; }
  MemoryOrder order() const override { return MemoryOrder::any; }
  Shape output_shape(const std::vector<Shape>& x) const override;

 protected:
  void apply(Emit& e, const Site& s, std::size_t i, In x, Out y, std::int64_t reps) const override;
  void apply_t(Emit& e, const Site& s, std::size_t i, In gy, Out gx, std::int64_t reps,
               bool square) const override;
  bool disjoint() const override { return true; }

 private:
  // Of input i: rows, length of its piece of a row, length of a row of y, where the piece begins.
  struct Geometry {
    std::int64_t outer, inner, row, begin;
  };
  Geometry geometry(const Site& s, std::size_t i) const;
  int axis_;
};

// Zeroes with probability p while training and scales the rest by 1 / (1 - p). The mask is a
// function of seed, step, node and of the element's place in memory, where images are channels
// last.
class Dropout : public FixedMap {
 public:
  explicit Dropout(double p);
  std::string_view type() const override { return "Dropout"; }
  std::string describe() const override;
  MemoryOrder order() const override { return MemoryOrder::any; }
  Shape output_shape(const std::vector<Shape>& x) const override { return x.at(0); }
  bool is_view(bool train) const override { return !train || p_ == 0; }
  double mean_square() const { return 1 / (1 - p_); }  // of the factors
  JacobianKind jacobian(bool) const override { return JacobianKind::diagonal; }

 protected:
  void apply(Emit& e, const Site& s, std::size_t i, In x, Out y, std::int64_t reps) const override;
  void apply_t(Emit& e, const Site& s, std::size_t i, In gy, Out gx, std::int64_t reps,
               bool square) const override;

 private:
  double p_;
};

}  // namespace hesscore
