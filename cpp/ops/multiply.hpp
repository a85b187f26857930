// Products of two activations: gates and inner products.
#pragma once

#include "ops/op.hpp"

namespace hesscore {

// y = x_0 * x_1, element by element; axes of size 1 are repeated. Both have the same number of
// axes. Each factor's own second derivative is zero.
class Multiply : public Op {
 public:
  std::string_view type() const override { return "Multiply"; }
  MemoryOrder order() const override { return MemoryOrder::any; }
  bool is_affine(bool, int moving) const override { return moving == 1; }
  Shape output_shape(const std::vector<Shape>& x) const override;
  void forward(Emit& e, const Site& s, Out y) const override;
  void jvp(Emit& e, const Site& s, const JvpPorts& p) const override;
  void vjp(Emit& e, const Site& s, const VjpPorts& p) const override;
  void vjp_dot(Emit& e, const Site& s, const SecondPorts& p) const override;
  void diag(Emit& e, const Site& s, const DiagPorts& p) const override;

 protected:
  // The sizes in memory of x_0, x_1 and y over the axes of x_0 * x_1; where y has 1, it is summed.
  struct Sizes {
    Shape x[2], y;
  };
  virtual Sizes sizes(const Site& s) const;

 private:
  // One array of the three, and whether it has its own values in every rep.
  struct Factor {
    In data;
    const Shape& size;
    bool reps;
  };
  static void emit(Emit& e, const Site& s, Factor p, Factor q, const Shape& size, Out to,
                   std::int64_t reps, bool square = false);
};

// y = sum of x_0 * x_1 over the last axis: (D,) and (D,) to (1,), (D,) and (K, D) to (K,). Other
// axes are matched from the last one on; missing ones and those of size 1 are repeated.
class InnerProduct : public Multiply {
 public:
  std::string_view type() const override { return "InnerProduct"; }
  MemoryOrder order() const override { return MemoryOrder::api; }
  Shape output_shape(const std::vector<Shape>& x) const override;

 protected:
  Sizes sizes(const Site& s) const override;
};

}  // namespace hesscore
