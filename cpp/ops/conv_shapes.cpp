// Convolution: what it asks of its arguments, its shapes and its geometry.
#include <algorithm>

#include "ops/conv.hpp"

namespace hesscore {
namespace {

void check_at_least(const std::string& name, const ConvOptions::Pair& pair, std::int64_t least) {
  for (const std::int64_t value : pair) {
    if (value < least) {
      throw GraphError(name, "numbers >= " + std::to_string(least), std::to_string(value));
    }
    check_size(name, value);
  }
}

void check_channels(const std::string& name, std::int64_t channels, std::int64_t groups) {
  if (channels >= 1 && channels % groups == 0) return;
  throw GraphError(name, "a positive multiple of groups, " + std::to_string(groups),
                   std::to_string(channels));
}

std::string pair(const ConvOptions::Pair& p, std::size_t dimensions) {
  if (dimensions == 1) return std::to_string(p[1]);
  return "(" + std::to_string(p[0]) + ", " + std::to_string(p[1]) + ")";
}

}  // namespace

Convolution::Convolution(std::size_t dimensions, std::int64_t in, std::int64_t out,
                         const ConvOptions& options, bool transposed)
    : dimensions_(dimensions), in_(in), out_(out), o_(options), transposed_(transposed) {
  if (o_.groups < 1) throw GraphError("groups", "a positive number", std::to_string(o_.groups));
  check_channels("in_channels", in, o_.groups);
  check_channels("out_channels", out, o_.groups);
  check_at_least("kernel_size", o_.kernel, 1);
  check_at_least("stride", o_.stride, 1);
  check_at_least("dilation", o_.dilation, 1);
  check_at_least("padding", o_.padding_before, 0);
  check_at_least("padding", o_.padding_after, 0);
  check_at_least("output_padding", o_.output_padding, 0);
  for (std::size_t a = 0; a < 2; ++a) {
    const std::int64_t limit = transposed ? std::max(o_.stride[a], o_.dilation[a]) : 1;
    if (o_.output_padding[a] >= limit) {
      throw GraphError("output_padding", "less than stride or dilation",
                       std::to_string(o_.output_padding[a]));
    }
  }
}

std::string_view Convolution::type() const {
  if (transposed_) return dimensions_ == 1 ? "ConvTranspose1d" : "ConvTranspose2d";
  return dimensions_ == 1 ? "Conv1d" : "Conv2d";
}

std::string Convolution::describe() const {
  std::string text = std::string(type()) + "(" + std::to_string(in_) + ", " + std::to_string(out_) +
                     ", " + pair(o_.kernel, dimensions_);
  const auto add = [&](const char* name, const ConvOptions::Pair& p, std::int64_t usual) {
    if (p != ConvOptions::Pair{usual, usual})
      text += std::string(", ") + name + pair(p, dimensions_);
  };
  add("stride=", o_.stride, 1);
  add("padding=", o_.padding_before, 0);
  add("output_padding=", o_.output_padding, 0);
  add("dilation=", o_.dilation, 1);
  if (o_.groups != 1) text += ", groups=" + std::to_string(o_.groups);
  return text + (o_.bias ? ")" : ", bias=False)");
}

Shape Convolution::output_shape(const std::vector<Shape>& shapes) const {
  const Shape& x = shapes.at(0);
  if (x.size() != dimensions_ + 1 || x[0] != in_) {
    throw ShapeError("input of " + describe(),
                     "(" + std::to_string(in_) + (dimensions_ == 1 ? ", L)" : ", H, W)"),
                     "shape " + to_string(x) + " without the batch");
  }
  Shape y{out_};
  for (std::size_t d = 0; d < dimensions_; ++d) {
    check_size("input of " + describe(), x[d + 1]);
    const std::size_t a = d + 2 - dimensions_;
    const std::int64_t reach = o_.dilation[a] * (o_.kernel[a] - 1);
    const std::int64_t padding = o_.padding_before[a] + o_.padding_after[a];
    const std::int64_t room = x[d + 1] + padding - reach - 1;
    y.push_back(transposed_
                    ? (x[d + 1] - 1) * o_.stride[a] - padding + reach + o_.output_padding[a] + 1
                    : room / o_.stride[a] + (room >= 0));
    if (y.back() >= 1) continue;
    throw ShapeError("input of " + describe(), "an image that the kernel fits into",
                     "shape " + to_string(x) + " without the batch");
  }
  return y;
}

std::vector<ParameterShape> Convolution::parameters() const {
  const std::int64_t rows = transposed_ ? in_ : out_;
  const std::int64_t columns = (transposed_ ? out_ : in_) / o_.groups;
  Shape shape{rows, columns};
  shape.insert(shape.end(), o_.kernel.end() - static_cast<std::ptrdiff_t>(dimensions_),
               o_.kernel.end());
  const std::int64_t taps = element_count(shape) / (rows * columns);
  std::vector<ParameterShape> p{{"weight", shape, columns * taps, rows * taps}};
  if (o_.bias) p.push_back({"bias", {out_}, columns * taps, rows * taps});
  return p;
}

math::ConvGeometry Convolution::geometry(const Shape& x, const Shape& y, std::int64_t n) const {
  const Shape& image = transposed_ ? y : x;
  const Shape& result = transposed_ ? x : y;
  math::ConvGeometry g;
  g.n = n;
  g.c = image[0];
  g.o = result[0];
  g.h = dimensions_ == 1 ? 1 : image[1];
  g.w = image.back();
  g.oh = dimensions_ == 1 ? 1 : result[1];
  g.ow = result.back();
  if (dimensions_ == 2) {
    g.kh = o_.kernel[0];
    g.stride_h = o_.stride[0];
    g.pad_h = o_.padding_before[0];
    g.dilation_h = o_.dilation[0];
  }
  g.kw = o_.kernel[1];
  g.stride_w = o_.stride[1];
  g.pad_w = o_.padding_before[1];
  g.dilation_w = o_.dilation[1];
  g.groups = o_.groups;
  return g;
}

math::ConvGeometry Convolution::geometry(const Site& s, std::int64_t reps) const {
  return geometry(s.x_shapes[0], s.y_shape, reps * s.batch);
}

}  // namespace hesscore
