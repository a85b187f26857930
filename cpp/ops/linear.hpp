// Linear: y = x W' + b on the last axis, W (out, in).
#pragma once

#include "ops/kinds.hpp"

namespace hesscore {

class Linear : public Bilinear {
 public:
  Linear(std::int64_t in, std::int64_t out, bool bias);
  std::string_view type() const override { return "Linear"; }
  std::string describe() const override;
  Shape output_shape(const std::vector<Shape>& x) const override;
  std::vector<ParameterShape> parameters() const override;
  bool is_dense(const Site& s) const override { return rows(s) == s.batch; }
  bool has_parameter_columns() const override { return true; }
  std::vector<ParameterColumns> parameter_columns(Emit& e, const Site& s) const override;
  GramCost gram_cost(const Site& a, const Site& b) const override;
  Operand gram(Emit& e, const Site& a, const Site& b) const override;
  void gram_apply(Emit& e, const Site& a, const Site& b, In k, In c, Out u) const override;
  void deposit_squares(Emit& e, const Uses& uses, std::int64_t reps, double scale,
                       const std::vector<Out>& to) const override;
  void deposit_moments(Emit& e, const Uses& uses, const MomentPorts& to) const override;
  std::vector<KroneckerPart> kronecker_parts() const override;
  In kronecker_inputs(Emit& e, const Site& s, std::size_t part, std::int64_t first,
                      std::int64_t count) const override;
  In kronecker_adjoints(Emit& e, const Site& s, std::size_t part, In gy, std::int64_t first,
                        std::int64_t count) const override;

 protected:
  void product(Emit& e, const Site& s, In w, In bias, In x, Out y, Stack k) const override;
  void product_x(Emit& e, const Site& s, In w, In gy, Out gx, Stack k, bool square) const override;
  void product_w(Emit& e, const Site& s, In gy, In x, Out gw, Stack k, bool square) const override;
  void bias_sum(Emit& e, const Site& s, In gy, Out gb, Stack k) const override;
  void dual_x(Emit& e, const Site& s, In gy, In hy, Out gx, Out hx) const override;
  void dual_w(Emit& e, const Site& s, In gy, In hy, Out gw, Out hw) const override;

 private:
  struct Together {
    In g, x;
    std::int64_t positions;  // of a sample
  };
  Together together(Emit& e, const Uses& uses, std::int64_t reps) const;

  std::int64_t rows(const Site& s) const { return s.x_size() / in_; }
  std::int64_t in_, out_;
  bool bias_;
};

}  // namespace hesscore
