// Padding, slicing and upsampling: windows of one element.
#include <algorithm>

#include "ops/memory_order.hpp"
#include "ops/pooling.hpp"

namespace hesscore {
namespace {

Shape checked_image(const std::string& op, const Shape& x, std::size_t dimensions) {
  if (dimensions < 1 || dimensions > 2) {
    throw GraphError("dimensions of " + op, "one or two", std::to_string(dimensions));
  }
  if (x.size() == dimensions + 1) {
    for (const std::int64_t size : x) check_size("input of " + op, size);
    return x;
  }
  throw ShapeError("input of " + op, dimensions == 1 ? "(C, L)" : "(C, H, W)",
                   "shape " + to_string(x) + " without the batch");
}

// The geometry of an image with the axes' sizes, one element to a window.
math::WindowGeometry image(const Site& s) {
  const Shape &x = s.x_shapes[0], &y = s.y_shape;
  math::WindowGeometry g;
  g.n = s.batch;
  g.c = x[0];
  g.w.in = x.back();
  g.w.out = y.back();
  if (x.size() < 3) return g;
  g.h.in = x[1];
  g.h.out = y[1];
  return g;
}

}  // namespace

std::string_view ZeroPad::type() const { return padding_.size() == 1 ? "ZeroPad1d" : "ZeroPad2d"; }

// In PyTorch's order: the last axis first.
std::string ZeroPad::describe() const {
  Shape all;
  for (auto p = padding_.rbegin(); p != padding_.rend(); ++p)
    all.insert(all.end(), p->begin(), p->end());
  return std::string(type()) + "(" + to_string(all) + ")";
}

Shape ZeroPad::output_shape(const std::vector<Shape>& x) const {
  Shape y = checked_image(describe(), x.at(0), padding_.size());
  for (std::size_t d = 0; d < padding_.size(); ++d) {
    for (const std::int64_t p : padding_[d]) check_size("padding of " + std::string(type()), p);
    y[d + 1] += padding_[d][0] + padding_[d][1];
    const std::int64_t cropped = std::max<std::int64_t>(-padding_[d][0], -padding_[d][1]);
    if (y[d + 1] >= 1 && cropped < x[0][d + 1]) continue;
    throw ShapeError("input of " + describe(), "an image that is not cropped to nothing",
                     "shape " + to_string(x[0]) + " without the batch");
  }
  return y;
}

math::WindowGeometry ZeroPad::geometry(const Site& s) const {
  math::WindowGeometry g = image(s);
  g.w.pad = padding_.back()[0];
  if (padding_.size() == 2) g.h.pad = padding_[0][0];
  return g;
}

std::string Upsample::describe() const {
  return std::string("Upsample(") + (factors_ ? "scale_factor=" : "size=") + to_string(size_) + ")";
}

Shape Upsample::output_shape(const std::vector<Shape>& x) const {
  Shape y = checked_image(describe(), x.at(0), size_.size());
  for (std::size_t d = 0; d < size_.size(); ++d) {
    if (size_[d] < 1) {
      throw GraphError(factors_ ? "scale_factor" : "size", "positive numbers", to_string(size_));
    }
    check_size(factors_ ? "scale_factor" : "size", size_[d]);
    y[d + 1] = factors_ ? y[d + 1] * size_[d] : size_[d];
  }
  return y;
}

math::WindowGeometry Upsample::geometry(const Site& s) const {
  math::WindowGeometry g = image(s);
  g.h.kind = g.w.kind = math::Windows::nearest;
  return g;
}

Slice::Slice(int axis, std::int64_t start, std::optional<std::int64_t> stop, std::int64_t step)
    : axis_(axis), start_(start), stop_(stop), step_(step) {
  if (step < 1) throw GraphError("step of Slice", "a positive number", std::to_string(step));
}

std::string Slice::describe() const {
  return "Slice(axis=" + std::to_string(axis_) + ", " + std::to_string(start_) + ":" +
         (stop_ ? std::to_string(*stop_) : "") + (step_ == 1 ? "" : ":" + std::to_string(step_)) +
         ")";
}

std::int64_t Slice::first(std::int64_t in) const {
  return std::clamp<std::int64_t>(start_ < 0 ? start_ + in : start_, 0, in);
}

Shape Slice::output_shape(const std::vector<Shape>& x) const {
  Shape y = x.at(0);
  if (axis_ < 1 || axis_ > static_cast<int>(y.size())) {
    throw GraphError("axis of Slice", "1.." + std::to_string(y.size()) + " (axis 0 is the batch)",
                     std::to_string(axis_));
  }
  std::int64_t& n = y[static_cast<std::size_t>(axis_) - 1];
  const std::int64_t end = stop_ ? *stop_ < 0 ? *stop_ + n : std::min(*stop_, n) : n;
  if (end <= first(n)) {
    throw ShapeError("input of " + describe(), "an axis of which something is left",
                     "shape " + to_string(x[0]) + " without the batch");
  }
  n = (end - first(n) + step_ - 1) / step_;
  return y;
}

// The axis lies where an image's columns do, what is behind it where its channels do.
math::WindowGeometry Slice::geometry(const Site& s) const {
  const Shape x = shape_in_memory(s.x_shapes[0], s.channels_last);
  const std::size_t api = static_cast<std::size_t>(axis_) - 1;
  const std::size_t axis = axis_in_memory(api, x.size(), s.channels_last);
  math::WindowGeometry g;
  g.n = s.batch;
  for (std::size_t d = 0; d < axis; ++d) g.n *= x[d];
  for (std::size_t d = axis + 1; d < x.size(); ++d) g.c *= x[d];
  g.w.in = x[axis];
  g.w.out = s.y_shape[api];
  g.w.stride = step_;
  g.w.pad = -first(x[axis]);
  return g;
}

void Slice::apply(Emit& e, const Site& s, std::size_t i, In x, Out y, std::int64_t reps) const {
  if (step_ > 1) return WindowMap::apply(e, s, i, x, y, reps);
  const math::WindowGeometry g = geometry(s);
  e.call<kernels::Copy>(
      {x.at(-g.w.pad * g.c), y, reps * g.n, g.y_image(), g.x_image(), g.y_image()});
}

void Slice::apply_t(Emit& e, const Site& s, std::size_t i, In gy, Out gx, std::int64_t reps,
                    bool square) const {
  if (step_ > 1) return WindowMap::apply_t(e, s, i, gy, gx, reps, square);
  const math::WindowGeometry g = geometry(s);
  if (!gx.accumulate && g.x_image() > g.y_image()) {
    e.call<kernels::Fill>({gx, reps * g.n * g.x_image(), 0});
    gx.accumulate = true;
  }
  e.call<kernels::Copy>({gy, Out(gx.at(-g.w.pad * g.c), gx.accumulate), reps * g.n, g.y_image(),
                         g.y_image(), g.x_image()});
}

}  // namespace hesscore
