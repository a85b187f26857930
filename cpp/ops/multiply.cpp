// Products: y = a b, ga = b gy, dga = b dgy + db gy, ha = b^2 hy; what was repeated is summed.
#include "ops/multiply.hpp"

#include <algorithm>

#include "ops/memory_order.hpp"

namespace hesscore {
namespace {

// The sizes of a * b, or an error that names the op.
Shape broadcast(std::string_view op, const Shape& a, const Shape& b) {
  Shape y = a;
  for (std::size_t k = 0; k < y.size(); ++k) {
    if (a[k] == 1) y[k] = b[k];
    if (b[k] == 1 || b[k] == y[k]) continue;
    throw ShapeError("inputs of " + std::string(op),
                     "sizes that are equal or 1, like " + to_string(a), to_string(b));
  }
  return y;
}

Shape with_leading_ones(Shape shape, std::size_t rank) {
  shape.insert(shape.begin(), rank - shape.size(), 1);
  return shape;
}

struct Axis {
  std::int64_t size, p, q, y;
};

// The strides of a dense array, 0 along axes of size 1.
Shape strides(const Shape& size) {
  Shape s(size.size(), 0);
  std::int64_t step = 1;
  for (std::size_t k = size.size(); k-- > 0; step *= size[k]) s[k] = size[k] == 1 ? 0 : step;
  return s;
}

// As few axes as possible: neighbours that step together become one.
std::vector<Axis> merged(const Shape& p, const Shape& q, const Shape& y) {
  const Shape sp = strides(p), sq = strides(q), sy = strides(y);
  std::vector<Axis> axes;
  for (std::size_t k = 0; k < p.size(); ++k) {
    const Axis axis{std::max({p[k], q[k], y[k]}), sp[k], sq[k], sy[k]};
    if (axis.size == 1) continue;
    if (!axes.empty()) {
      Axis& outer = axes.back();
      if (outer.p == axis.p * axis.size && outer.q == axis.q * axis.size &&
          outer.y == axis.y * axis.size) {
        outer = {outer.size * axis.size, axis.p, axis.q, axis.y};
        continue;
      }
    }
    axes.push_back(axis);
  }
  std::stable_partition(axes.begin(), axes.end(), [](const Axis& a) { return a.y != 0; });
  return axes;
}

Shape stacked(std::int64_t reps, std::int64_t batch, const Shape& size) {
  Shape all{reps, batch};
  all.insert(all.end(), size.begin(), size.end());
  return all;
}

}  // namespace

Shape Multiply::output_shape(const std::vector<Shape>& x) const {
  if (x.at(0).size() != x.at(1).size()) {
    throw ShapeError("inputs of Multiply", "as many axes as " + to_string(x[0]) + " has",
                     to_string(x[1]));
  }
  return broadcast("Multiply", x[0], x[1]);
}

Multiply::Sizes Multiply::sizes(const Site& s) const {
  return {{shape_in_memory(s.x_shapes[0], s.channels_last),
           shape_in_memory(s.x_shapes[1], s.channels_last)},
          shape_in_memory(s.y_shape, s.channels_last)};
}

void Multiply::emit(Emit& e, const Site& s, Factor p, Factor q, const Shape& size, Out to,
                    std::int64_t reps, bool square) {
  if (p.size == size && q.size == size) {
    e.call<kernels::Multiply>({p.data, q.data, to, s.batch * element_count(size), reps,
                               p.reps && reps > 1, q.reps && reps > 1, square});
    return;
  }
  const auto axes =
      merged(stacked(p.reps ? reps : 1, s.batch, p.size),
             stacked(q.reps ? reps : 1, s.batch, q.size), stacked(reps, s.batch, size));
  if (axes.size() > math::BroadcastAxes::kMost) {
    throw UnsupportedError("a product that repeats more than six groups of axes");
  }
  kernels::BroadcastProduct::Args a{p.data, q.data, to, {}, square};
  for (const Axis& axis : axes) {
    const int k = a.axes.axes();
    a.axes.size[k] = axis.size;
    a.axes.p[k] = axis.p;
    a.axes.q[k] = axis.q;
    ++(axis.y != 0 ? a.axes.kept : a.axes.summed);
  }
  e.call<kernels::BroadcastProduct>(a);
}

void Multiply::forward(Emit& e, const Site& s, Out y) const {
  const Sizes z = sizes(s);
  emit(e, s, {s.x[0], z.x[0], false}, {s.x[1], z.x[1], false}, z.y, y, 1);
}

void Multiply::jvp(Emit& e, const Site& s, const JvpPorts& p) const {
  const Sizes z = sizes(s);
  Out dy = p.dy;
  for (std::size_t i = 0; i < 2; ++i) {
    if (!p.dx[i]) continue;
    emit(e, s, {p.dx[i], z.x[i], true}, {s.x[1 - i], z.x[1 - i], false}, z.y, dy, p.reps);
    dy = dy.adding();
  }
}

void Multiply::vjp(Emit& e, const Site& s, const VjpPorts& p) const {
  const Sizes z = sizes(s);
  for (std::size_t i = 0; i < 2; ++i) {
    if (!p.gx[i]) continue;
    emit(e, s, {p.gy, z.y, true}, {s.x[1 - i], z.x[1 - i], false}, z.x[i], p.gx[i], p.reps);
  }
}

void Multiply::vjp_dot(Emit& e, const Site& s, const SecondPorts& p) const {
  const Sizes z = sizes(s);
  for (std::size_t i = 0; i < 2; ++i) {
    if (!p.dgx[i]) continue;
    const Shape& other = z.x[1 - i];
    emit(e, s, {p.dgy, z.y, true}, {s.x[1 - i], other, false}, z.x[i], p.dgx[i], p.reps);
    if (!p.dx[1 - i]) continue;
    emit(e, s, {p.dx[1 - i], other, true}, {p.gy, z.y, false}, z.x[i], p.dgx[i].adding(), p.reps);
  }
}

void Multiply::diag(Emit& e, const Site& s, const DiagPorts& p) const {
  vjp(e, s, {p.gy, p.gx, {}});
  const Sizes z = sizes(s);
  for (std::size_t i = 0; i < 2; ++i) {
    if (!p.hx[i]) continue;
    emit(e, s, {p.hy, z.y, true}, {s.x[1 - i], z.x[1 - i], false}, z.x[i], p.hx[i], 1, true);
  }
}

InnerProduct::Sizes InnerProduct::sizes(const Site& s) const {
  const std::size_t rank = std::max(s.x_shapes[0].size(), s.x_shapes[1].size());
  Sizes z{{with_leading_ones(s.x_shapes[0], rank), with_leading_ones(s.x_shapes[1], rank)}, {}};
  z.y = broadcast(type(), z.x[0], z.x[1]);
  z.y.back() = 1;
  return z;
}

Shape InnerProduct::output_shape(const std::vector<Shape>& x) const {
  const std::size_t rank = std::max(x.at(0).size(), x.at(1).size());
  if (x[0].empty() || x[1].empty() || x[0].back() != x[1].back()) {
    throw ShapeError("inputs of InnerProduct", "last axes of one size, like " + to_string(x[0]),
                     to_string(x[1]));
  }
  Shape y = broadcast(type(), with_leading_ones(x[0], rank), with_leading_ones(x[1], rank));
  y.pop_back();
  return y.empty() ? Shape{1} : y;
}

}  // namespace hesscore
