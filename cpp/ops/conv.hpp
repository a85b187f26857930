// Convolutions in one and two dimensions and their transposes.
#pragma once

#include "hesscore/graph.hpp"
#include "ops/kinds.hpp"

namespace hesscore {

// Weights are (out, in / groups, kh, kw), of a transposed convolution (in, out / groups, kh, kw);
// in one dimension kh is missing. A transposed convolution is the transpose of a convolution from
// its output to its input, so that both share their kernels, with x and y exchanged.
class Convolution : public Bilinear {
 public:
  Convolution(std::size_t dimensions, std::int64_t in, std::int64_t out, const ConvOptions& options,
              bool transposed);
  std::string_view type() const override;
  std::string describe() const override;
  Shape output_shape(const std::vector<Shape>& x) const override;
  std::vector<ParameterShape> parameters() const override;
  MemoryOrder order() const override { return MemoryOrder::channels_last; }
  bool has_parameter_columns() const override { return true; }
  std::vector<ParameterColumns> parameter_columns(Emit& e, const Site& s) const override;
  void deposit_squares(Emit& e, const Uses& uses, std::int64_t reps, double scale,
                       const std::vector<Out>& to) const override;
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
  void apply(Emit& e, const Site& s, bool forward, In w, In bias, In from, Out to, Stack k,
             bool square) const;
  math::ConvGeometry geometry(const Shape& x, const Shape& y, std::int64_t n) const;
  math::ConvGeometry geometry(const Site& s, std::int64_t reps = 1) const;
  bool reads_pixels_alone() const;  // y at a position comes from x there

  std::size_t dimensions_;
  std::int64_t in_, out_;
  ConvOptions o_;
  bool transposed_;
};

}  // namespace hesscore
