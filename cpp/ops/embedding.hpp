// Embedding: rows of a table, looked up by the integers of an input.
#pragma once

#include <optional>

#include "ops/op.hpp"

namespace hesscore {

// y[t] = w[x[t]]: linear in w, with the one-hot rows of x as factors; x has no derivative. What
// arrives at the row `padding`, if there is one, counts as zero.
class Embedding : public Op {
 public:
  Embedding(std::int64_t rows, std::int64_t columns, std::optional<std::int64_t> padding);
  std::string_view type() const override { return "Embedding"; }
  std::string describe() const override;
  std::int64_t index_limit() const override { return rows_; }
  Shape output_shape(const std::vector<Shape>& x) const override;
  std::vector<ParameterShape> parameters() const override;
  std::vector<Operand> save(Emit& e, const Site& s) const override;

  void forward(Emit& e, const Site& s, Out y) const override;
  void jvp(Emit& e, const Site& s, const JvpPorts& p) const override;
  void vjp(Emit& e, const Site& s, const VjpPorts& p) const override;
  void vjp_dot(Emit& e, const Site& s, const SecondPorts& p) const override;
  void diag(Emit& e, const Site& s, const DiagPorts& p) const override;
  void deposit_per_sample(Emit& e, const Uses& uses, SampleRange samples,
                          const std::vector<SampleRows>& to) const override;
  void deposit_squares(Emit& e, const Uses& uses, std::int64_t reps, double scale,
                       const std::vector<Out>& to) const override;
  void deposit_moments(Emit& e, const Uses& uses, const MomentPorts& to) const override;
  std::vector<KroneckerPart> kronecker_parts() const override;
  In kronecker_adjoints(Emit& e, const Site& s, std::size_t part, In gy, std::int64_t first,
                        std::int64_t count) const override;
  void kronecker_counts(Emit& e, const Site& s, In weight, Out to) const override;

 private:
  struct Together {  // the tokens of all uses, and what arrived there
    In gy, x;
    std::int64_t positions;  // of a sample
  };
  Together together(Emit& e, const Uses& uses, std::int64_t reps) const;
  std::int64_t tokens(const Site& s) const { return s.x_size(); }
  In groups(Emit& e, const Uses& uses, const Together& all) const;
  In groups(Emit& e, const Site& s) const;
  In group(Emit& e, In x, Operand to, std::int64_t n) const;
  void deposit(Emit& e, const Site& s, In gy, Out gw, std::int64_t reps, std::int64_t stride) const;

  std::int64_t rows_, columns_, padding_;  // padding -1: none
};

}  // namespace hesscore
