// Images between the two memory orders. The builder puts these nodes where they are needed.
#pragma once

#include "ops/kinds.hpp"

namespace hesscore {

// y[p, c] = x[c, p], or back; free where there is one channel or one position.
class Reorder : public FixedMap {
 public:
  Reorder(const Shape& shape, bool to_channels_last);
  std::string_view type() const override { return "Reorder"; }
  Shape output_shape(const std::vector<Shape>& x) const override { return x.at(0); }
  bool is_view(bool) const override { return channels_ == 1 || positions_ == 1; }

 protected:
  void apply(Emit& e, const Site& s, std::size_t i, In x, Out y, std::int64_t reps) const override;
  void apply_t(Emit& e, const Site& s, std::size_t i, In gy, Out gx, std::int64_t reps,
               bool square) const override;

 private:
  std::int64_t channels_, positions_;
  bool to_channels_last_;
};

// The axis of the memory that is axis `axis` of the shape, both without the batch, and the sizes
// of the axes in memory.
std::size_t axis_in_memory(std::size_t axis, std::size_t rank, bool channels_last);
Shape shape_in_memory(const Shape& shape, bool channels_last);

}  // namespace hesscore
