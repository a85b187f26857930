// Structural ops: reshape, add, concat, dropout.
#include "ops/structural.hpp"

#include <sstream>

#include "ops/memory_order.hpp"

namespace hesscore {
namespace {

void copy(Emit& e, In x, Out y, std::int64_t n) { e.call<kernels::Copy>({x, y, 1, n, n, n}); }

Shape same_shapes(std::string_view op, const std::vector<Shape>& x) {
  for (const Shape& s : x) {
    if (s != x[0]) {
      throw ShapeError("inputs of " + std::string(op), "equal shapes " + to_string(x[0]),
                       to_string(s));
    }
  }
  return x[0];
}

}  // namespace

Shape filled_in(const std::string& op, Shape shape, std::int64_t n) {
  std::int64_t known = 1, *open = nullptr;
  bool valid = true;
  for (std::int64_t& size : shape) {
    if (size == -1 && open == nullptr) {
      open = &size;
    } else {
      valid = valid && size > 0 && size <= n;
      known *= valid ? size : 1;
      valid = valid && known <= n;
    }
  }
  if (valid && open != nullptr && n % known == 0) {
    *open = n / known;
    known = n;
  }
  if (valid && known == n) return shape;
  throw ShapeError("shape of " + op,
                   "sizes of " + std::to_string(n) + " elements, one of them -1 at most",
                   to_string(shape));
}

std::string Reshape::describe() const {
  return name_ + (name_ == "Reshape" || name_ == "Unflatten" ? to_string(target_) : "");
}

Shape Reshape::output_shape(const std::vector<Shape>& x) const {
  if (target_.empty()) return x.at(0);
  return filled_in(name_, target_, element_count(x.at(0)));
}

void Reshape::apply(Emit& e, const Site& s, std::size_t, In x, Out y, std::int64_t reps) const {
  copy(e, x, y, reps * s.y_size());
}

void Reshape::apply_t(Emit& e, const Site& s, std::size_t, In gy, Out gx, std::int64_t reps,
                      bool) const {
  copy(e, gy, gx, reps * s.y_size());
}

Shape Add::output_shape(const std::vector<Shape>& x) const { return same_shapes("Add", x); }

void Add::apply(Emit& e, const Site& s, std::size_t, In x, Out y, std::int64_t reps) const {
  copy(e, x, y, reps * s.y_size());
}

void Add::apply_t(Emit& e, const Site& s, std::size_t, In gy, Out gx, std::int64_t reps,
                  bool) const {
  copy(e, gy, gx, reps * s.y_size());
}

Shape Concat::output_shape(const std::vector<Shape>& x) const {
  const auto rank = static_cast<int>(x.at(0).size());
  if (axis_ < 1 || axis_ > rank) {
    throw GraphError("axis of Concat", "1.." + std::to_string(rank) + " (axis 0 is the batch)",
                     std::to_string(axis_));
  }
  const auto a = static_cast<std::size_t>(axis_ - 1);
  Shape y = x[0];
  y[a] = 0;
  for (const Shape& s : x) {
    Shape rest = s;
    if (s.size() == y.size()) rest[a] = y[a];
    if (rest != y) {
      throw ShapeError(
          "inputs of Concat",
          "shapes equal but for axis " + std::to_string(axis_) + ", like " + to_string(x[0]),
          to_string(s));
    }
    y[a] += s[a];
  }
  return y;
}

Concat::Geometry Concat::geometry(const Site& s, std::size_t i) const {
  const auto axis = static_cast<std::size_t>(axis_ - 1);
  const Shape y = shape_in_memory(s.y_shape, s.channels_last);
  const std::size_t a = axis_in_memory(axis, y.size(), s.channels_last);
  Geometry g{s.batch, 1, 1, 0};
  for (std::size_t d = 0; d < a; ++d) g.outer *= y[d];
  for (std::size_t d = a + 1; d < y.size(); ++d) g.row *= y[d];
  for (std::size_t j = 0; j < i; ++j) g.begin += s.x_shapes[j][axis] * g.row;
  g.inner = s.x_shapes[i][axis] * g.row;
  g.row *= y[a];
  return g;
}

void Concat::apply(Emit& e, const Site& s, std::size_t i, In x, Out y, std::int64_t reps) const {
  const Geometry g = geometry(s, i);
  e.call<kernels::Copy>(
      {x, Out(y.at(g.begin), y.accumulate), reps * g.outer, g.inner, g.inner, g.row});
}

void Concat::apply_t(Emit& e, const Site& s, std::size_t i, In gy, Out gx, std::int64_t reps,
                     bool) const {
  const Geometry g = geometry(s, i);
  e.call<kernels::Copy>({gy.at(g.begin), gx, reps * g.outer, g.inner, g.row, g.inner});
}

Dropout::Dropout(double p) : p_(p) {
  if (!(p >= 0 && p < 1)) throw GraphError("p of Dropout", "0 <= p < 1", std::to_string(p));
}

std::string Dropout::describe() const {
  std::ostringstream text;
  text << "Dropout(" << p_ << ")";
  return text.str();
}

void Dropout::apply(Emit& e, const Site& s, std::size_t, In x, Out y, std::int64_t reps) const {
  e.call<kernels::Dropout>({x, s.clock, y, s.x_size(), reps, p_, s.node, false});
}

void Dropout::apply_t(Emit& e, const Site& s, std::size_t, In gy, Out gx, std::int64_t reps,
                      bool square) const {
  e.call<kernels::Dropout>({gy, s.clock, gx, s.x_size(), reps, p_, s.node, square});
}

}  // namespace hesscore
