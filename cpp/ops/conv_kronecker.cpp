// Convolution: the rows of its Kronecker factors, which are patches of images.
#include "ops/conv.hpp"

namespace hesscore {

bool Convolution::reads_pixels_alone() const {
  using Pair = ConvOptions::Pair;
  const Pair one{1, 1}, zero{0, 0};
  return o_.kernel == one && o_.stride == one && o_.padding_before == zero &&
         o_.padding_after == zero && o_.groups == 1;
}

// A matrix for each group of channels.
std::vector<KroneckerPart> Convolution::kronecker_parts() const {
  std::vector<KroneckerPart> parts;
  const std::int64_t taps = o_.kernel[0] * o_.kernel[1], g = o_.groups;
  for (std::int64_t i = 0; i < g; ++i) {
    KroneckerPart p{.rows = out_ / g, .channels = in_ / g, .taps = taps, .width = out_};
    p.offset = i * p.rows * p.columns();
    p.channels_first = transposed_;
    p.bias = o_.bias ? 1 : -1;
    p.bias_offset = i * p.rows;
    p.formed = !reads_pixels_alone();
    parts.push_back(p);
  }
  return parts;
}

In Convolution::kronecker_inputs(Emit& e, const Site& s, std::size_t part, std::int64_t first,
                                 std::int64_t count) const {
  const In x = s.x[0].at(first * element_count(s.x_shapes[0]));
  if (reads_pixels_alone()) return x;
  const std::int64_t columns = in_ / o_.groups * o_.kernel[0] * o_.kernel[1];
  const Operand rows = e.temporary(count * (element_count(s.y_shape) / out_) * columns);
  e.call<kernels::Unfold>({x, rows, geometry(s.x_shapes[0], s.y_shape, count),
                           static_cast<std::int64_t>(part), transposed_});
  return rows;
}

In Convolution::kronecker_adjoints(Emit& e, const Site& s, std::size_t part, In gy,
                                   std::int64_t first, std::int64_t count) const {
  const std::int64_t size = element_count(s.y_shape), width = out_ / o_.groups;
  const In g = gy.at(first * size);
  if (o_.groups == 1) return g;
  const std::int64_t rows = count * (size / out_);
  const Operand own = e.temporary(rows * width);
  e.call<kernels::Copy>(
      {g.at(static_cast<std::int64_t>(part) * width), own, rows, width, out_, width});
  return own;
}

}  // namespace hesscore
