// Reorder: transposes of (channels, positions).
#include "ops/memory_order.hpp"

namespace hesscore {

Reorder::Reorder(const Shape& shape, bool to_channels_last)
    : channels_(shape.at(0)),
      positions_(element_count(shape) / channels_),
      to_channels_last_(to_channels_last) {}

void Reorder::apply(Emit& e, const Site& s, std::size_t, In x, Out y, std::int64_t reps) const {
  const std::int64_t n = reps * s.batch;
  e.call<kernels::Transpose>(to_channels_last_
                                 ? kernels::Transpose::Args{x, y, n, channels_, positions_}
                                 : kernels::Transpose::Args{x, y, n, positions_, channels_});
}

void Reorder::apply_t(Emit& e, const Site& s, std::size_t, In gy, Out gx, std::int64_t reps,
                      bool) const {
  const std::int64_t n = reps * s.batch;
  e.call<kernels::Transpose>(to_channels_last_
                                 ? kernels::Transpose::Args{gy, gx, n, positions_, channels_}
                                 : kernels::Transpose::Args{gy, gx, n, channels_, positions_});
}

std::size_t axis_in_memory(std::size_t axis, std::size_t rank, bool channels_last) {
  if (!channels_last) return axis;
  return axis == 0 ? rank - 1 : axis - 1;
}

Shape shape_in_memory(const Shape& shape, bool channels_last) {
  Shape memory(shape.size());
  for (std::size_t a = 0; a < shape.size(); ++a) {
    memory[axis_in_memory(a, shape.size(), channels_last)] = shape[a];
  }
  return memory;
}

}  // namespace hesscore
