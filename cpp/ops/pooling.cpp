// Maximum and average pooling: their kernel calls.
#include "ops/pooling.hpp"

namespace hesscore {

void WindowMap::apply(Emit& e, const Site& s, std::size_t, In x, Out y, std::int64_t reps) const {
  math::WindowGeometry g = geometry(s);
  g.n *= reps;
  e.call<kernels::WindowSum>({x, y, g});
}

void WindowMap::apply_t(Emit& e, const Site& s, std::size_t, In gy, Out gx, std::int64_t reps,
                        bool square) const {
  math::WindowGeometry g = geometry(s);
  g.n *= reps;
  e.call<kernels::WindowSpread>({gy, gx, g, square});
}

AvgPool::AvgPool(std::size_t dimensions, const PoolOptions& o)
    : windows_("AvgPool", dimensions, o) {
  if (o.dilation != PoolOptions::Pair{1, 1}) {
    throw GraphError("dilation of AvgPool", "1", to_string({o.dilation[0], o.dilation[1]}));
  }
  if (o.count_include_pad) divisor_ = math::Divisor::padded;
  if (!o.divisor_override) return;
  if (*o.divisor_override == 0) throw GraphError("divisor_override", "not zero", "0");
  divisor_ = math::Divisor::constant;
  constant_ = static_cast<double>(*o.divisor_override);
}

AvgPool::AvgPool(Shape size) : windows_("AdaptiveAvgPool", std::move(size)) {}

math::WindowGeometry AvgPool::geometry(const Site& s) const {
  math::WindowGeometry g = windows_.geometry(s);
  g.divisor = divisor_;
  g.constant = constant_;
  return g;
}

MaxPool::MaxPool(std::size_t dimensions, const PoolOptions& o)
    : windows_("MaxPool", dimensions, o), empty_windows_(o.dilation != PoolOptions::Pair{1, 1}) {
  if (!o.count_include_pad || o.divisor_override) {
    throw GraphError("options of MaxPool", "none of average pooling",
                     o.divisor_override ? "divisor_override" : "count_include_pad");
  }
}

MaxPool::MaxPool(Shape size) : windows_("AdaptiveMaxPool", std::move(size)) {}

Shape MaxPool::output_shape(const std::vector<Shape>& x) const {
  return windows_.output_shape(x.at(0));
}

std::vector<Operand> MaxPool::save(Emit& e, const Site& s) const {
  return {e.temporary(s.y_size(), sizeof(std::int32_t))};
}

void MaxPool::forward(Emit& e, const Site& s, Out y) const {
  e.call<kernels::MaxPool>({s.x[0], y, s.saved[0], windows_.geometry(s)});
}

void MaxPool::apply(Emit& e, const Site& s, std::size_t, In x, Out y, std::int64_t reps) const {
  e.call<kernels::MaxPoolTangent>({x, s.saved[0], y, windows_.geometry(s), reps});
}

void MaxPool::apply_t(Emit& e, const Site& s, std::size_t, In gy, Out gx, std::int64_t reps,
                      bool) const {
  e.call<kernels::MaxPoolAdjoint>({gy, s.saved[0], gx, windows_.geometry(s), reps});
}

}  // namespace hesscore
