// PoolWindows: the checks, sizes and geometry of pooling.
#include <limits>

#include "ops/pooling.hpp"

namespace hesscore {
namespace {

using Pair = PoolOptions::Pair;

void check_at_least(const char* name, const Pair& p, std::int64_t least) {
  for (const std::int64_t v : p) {
    if (v < least) {
      throw GraphError(name, least == 0 ? "zero or more" : "a positive number", std::to_string(v));
    }
    check_size(name, v);
  }
}

std::string text_of(const Pair& p, std::size_t dimensions) {
  if (dimensions == 1 || p[0] == p[1]) return std::to_string(p[1]);
  return "(" + std::to_string(p[0]) + ", " + std::to_string(p[1]) + ")";
}

// The number of windows, as PyTorch counts: in ceil_mode the last one may reach over the padding,
// also where it is the only one, but those that start behind the image and its padding in front do
// not count.
std::int64_t windows(const math::WindowAxis& x, bool ceil_mode) {
  const std::int64_t room = x.in + 2 * x.pad - x.dilation * (x.kernel - 1) - 1;
  const std::int64_t steps = room + (ceil_mode ? x.stride - 1 : 0);
  if (steps < 0) return 0;
  const std::int64_t n = steps / x.stride + 1;
  return ceil_mode && (n - 1) * x.stride >= x.in + x.pad ? n - 1 : n;
}

}  // namespace

PoolWindows::PoolWindows(std::string name, std::size_t dimensions, const PoolOptions& options)
    : name_(std::move(name) + (dimensions == 1 ? "1d" : "2d")),
      dimensions_(dimensions),
      o_(options) {
  if (!o_.stride) o_.stride = o_.kernel;
  check_at_least("kernel_size", o_.kernel, 1);
  check_at_least("stride", *o_.stride, 1);
  check_at_least("dilation", o_.dilation, 1);
  check_at_least("padding", o_.padding, 0);
  for (std::size_t a = 0; a < 2; ++a) {
    if (2 * o_.padding[a] <= o_.kernel[a]) continue;
    throw GraphError("padding of " + name_,
                     "at most half of kernel_size, " + std::to_string(o_.kernel[a]),
                     std::to_string(o_.padding[a]));
  }
}

PoolWindows::PoolWindows(std::string name, Shape size)
    : name_(std::move(name) + (size.size() == 1 ? "1d" : "2d")), dimensions_(size.size()) {
  if (size.empty() || size.size() > 2) {
    throw GraphError("output_size", "one or two numbers", to_string(size));
  }
  for (const std::int64_t n : size) {
    if (n >= 1 || n == -1) continue;
    throw GraphError("output_size", "positive numbers", to_string(size));
  }
  size_ = std::move(size);
}

std::string PoolWindows::describe() const {
  if (size_) {
    return name_ + (dimensions_ == 1 ? "(" + std::to_string((*size_)[0]) + ")" : to_string(*size_));
  }
  std::string text = name_ + "(" + text_of(o_.kernel, dimensions_);
  const auto add = [&](const char* name, const Pair& p, const Pair& usual) {
    if (p != usual) text += std::string(", ") + name + text_of(p, dimensions_);
  };
  add("stride=", *o_.stride, o_.kernel);
  add("padding=", o_.padding, {0, 0});
  add("dilation=", o_.dilation, {1, 1});
  if (o_.ceil_mode) text += ", ceil_mode=True";
  if (!o_.count_include_pad) text += ", count_include_pad=False";
  if (o_.divisor_override) text += ", divisor_override=" + std::to_string(*o_.divisor_override);
  return text + ")";
}

math::WindowAxis PoolWindows::axis(std::size_t a, std::int64_t in) const {
  math::WindowAxis x;
  x.in = in;
  if (size_) {
    const std::int64_t n = (*size_)[a + dimensions_ - 2];
    x.out = n < 0 ? in : n;
    x.kind = math::Windows::adaptive;
    return x;
  }
  x.kernel = o_.kernel[a];
  x.stride = (*o_.stride)[a];
  x.pad = o_.padding[a];
  x.dilation = o_.dilation[a];
  x.out = windows(x, o_.ceil_mode);
  return x;
}

Shape PoolWindows::output_shape(const Shape& x) const {
  const std::string input = "input of " + describe(), without = " without the batch";
  if (x.size() != dimensions_ + 1) {
    throw ShapeError(input, dimensions_ == 1 ? "(C, L)" : "(C, H, W)",
                     "shape " + to_string(x) + without);
  }
  Shape y{x[0]};
  for (std::size_t d = 1; d < x.size(); ++d) {
    check_size(input, x[d]);
    y.push_back(axis(d + 1 - dimensions_, x[d]).out);
  }
  if (element_count(y) < 1) {
    throw ShapeError(input, "an image that the window fits into",
                     "shape " + to_string(x) + without);
  }
  if (element_count(x) / x[0] > std::numeric_limits<std::int32_t>::max()) {
    throw SizeError(input, "fewer than 2^31 positions", "shape " + to_string(x) + without);
  }
  return y;
}

math::WindowGeometry PoolWindows::geometry(const Site& s) const {
  const Shape& x = s.x_shapes[0];
  math::WindowGeometry g;
  g.n = s.batch;
  g.c = x[0];
  if (dimensions_ == 2) g.h = axis(0, x[1]);
  g.w = axis(1, x.back());
  return g;
}

}  // namespace hesscore
