// The op kinds: an author states the minimum, every pass is derived here, once.
//
//   Elementwise  y = f(x):        dy = f' dx;  gx = f' gy;  dgx = f' dgy + f'' dx gy;
//                                 hx = f'^2 hy + f'' gy (Gauss-Newton: without the second term)
//   FixedMap     y = A x:         dy = A dx;  gx = A' gy;  dgx = A' dgy;  hx = (A o A)' hy
//   Bilinear     y = P(w, x):     dy = P(w, dx) + P(v, x);  gx = Px(w, gy), gw = Pw(gy, x);
//                                 dgx = Px(w, dgy) + Px(v, gy), hw = Pw(dgy, x) + Pw(gy, dx);
//                                 diagonal: the same products on squared w and x
#pragma once

#include "ops/op.hpp"

namespace hesscore {

class Elementwise : public Op {
 public:
  Elementwise(std::string name, kernels::Activation act) : name_(std::move(name)), act_(act) {}
  std::string_view type() const override { return name_; }
  MemoryOrder order() const override { return MemoryOrder::any; }
  bool is_elementwise() const override { return true; }
  JacobianKind jacobian(bool) const override { return JacobianKind::diagonal; }
  bool is_projection() const override;
  bool never_decreases() const override;
  bool leaves_slopes() const override { return !is_affine(false, 1); }
  bool is_affine(bool train, int moving) const override;
  Shape output_shape(const std::vector<Shape>& x) const override { return x.at(0); }
  void forward(Emit& e, const Site& s, Out y) const override;
  void jvp(Emit& e, const Site& s, const JvpPorts& p) const override;
  void vjp(Emit& e, const Site& s, const VjpPorts& p) const override;
  void vjp_dot(Emit& e, const Site& s, const SecondPorts& p) const override;
  void diag(Emit& e, const Site& s, const DiagPorts& p) const override;
  double mean_square_slope() const;  // of both sides of zero: 1 for tanh, 1/2 for relu

 private:
  void multiply_slopes(Emit& e, const Site& s, In from, Out to, std::int64_t reps) const;

  std::string name_;
  kernels::Activation act_;
};

class FixedMap : public Op {
 public:
  bool is_affine(bool, int) const override { return true; }
  JacobianKind jacobian(bool) const override { return JacobianKind::same; }
  void forward(Emit& e, const Site& s, Out y) const override;
  void jvp(Emit& e, const Site& s, const JvpPorts& p) const override;
  void vjp(Emit& e, const Site& s, const VjpPorts& p) const override;
  void vjp_dot(Emit& e, const Site& s, const SecondPorts& p) const override;
  void diag(Emit& e, const Site& s, const DiagPorts& p) const override;

 protected:
  // y[r] (+)= A_i x_i[r] and gx[r] (+)= A_i' gy[r] for r < reps; `square`: with squared
  // coefficients.
  virtual void apply(Emit& e, const Site& s, std::size_t i, In x, Out y,
                     std::int64_t reps) const = 0;
  virtual void apply_t(Emit& e, const Site& s, std::size_t i, In gy, Out gx, std::int64_t reps,
                       bool square) const = 0;
  // Do the A_i write disjoint parts of y, so that none needs to accumulate?
  virtual bool disjoint() const { return false; }
};

// One weight, an optional bias, one input.
class Bilinear : public Op {
 public:
  bool is_affine(bool, int) const override { return true; }
  JacobianKind jacobian(bool) const override { return JacobianKind::same; }
  void forward(Emit& e, const Site& s, Out y) const override;
  void jvp(Emit& e, const Site& s, const JvpPorts& p) const override;
  void vjp(Emit& e, const Site& s, const VjpPorts& p) const override;
  void vjp_dot(Emit& e, const Site& s, const SecondPorts& p) const override;
  void diag(Emit& e, const Site& s, const DiagPorts& p) const override;
  void second_form(Emit& e, const Site& s, const FormPorts& p) const override;
  void deposit_per_sample(Emit& e, const Uses& uses, SampleRange samples,
                          const std::vector<SampleRows>& to) const override;

 protected:
  // Results are stacked `reps` times; `first` and `second` say whether the first and second operand
  // of the product have their own values in every rep. Parameters of reps are `stride` apart.
  struct Stack {
    std::int64_t reps = 1;
    bool first = false, second = false;
    std::int64_t stride = 0;
  };
  // y (+)= P(w, x) + bias;  gx (+)= Px(w, gy);  gw (+)= Pw(gy, x);  gb (+)= sum of gy.
  virtual void product(Emit& e, const Site& s, In w, In bias, In x, Out y, Stack k) const = 0;
  virtual void product_x(Emit& e, const Site& s, In w, In gy, Out gx, Stack k,
                         bool square) const = 0;
  virtual void product_w(Emit& e, const Site& s, In gy, In x, Out gw, Stack k,
                         bool square) const = 0;
  virtual void bias_sum(Emit& e, const Site& s, In gy, Out gb, Stack k) const = 0;
  // {gx, hx} and {gw, hw} with the shared operand read once.
  virtual void dual_x(Emit& e, const Site& s, In gy, In hy, Out gx, Out hx) const = 0;
  virtual void dual_w(Emit& e, const Site& s, In gy, In hy, Out gw, Out hw) const = 0;
};

}  // namespace hesscore
