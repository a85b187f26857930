// Curvature operators: made once at a point, applied often.
#include "hesscore/curvature.hpp"

#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/unique_ptr.h>

#include "hesscore/solve.hpp"
#include "module.hpp"
#include "objective.hpp"
#include "operator.hpp"

using namespace nanobind::literals;

namespace hesscore::python {
namespace {

// The operator and the copies of (w, x, y, sample_weight) that it works on.
nb::tuple curvature_at(nb::handle objective, Product kind, nb::handle w, nb::handle x, nb::handle y,
                       nb::handle sample_weight, nb::handle train, int samples,
                       std::uint64_t seed) {
  const auto& f = nb::cast<const PyObjective&>(objective);
  Point p(f, w, x, y, sample_weight, train);
  const nb::object w_copy = p.w.keep_copy(), x_copy = p.x.keep_copy(), y_copy = p.y.keep_copy();
  nb::object weight_copy = nb::none();
  if (p.sample_weight.view()) weight_copy = p.sample_weight.keep_copy();
  auto result = std::make_unique<PyOperator>();
  result->check_finite = f.check_finite;
  result->keep = {nb::borrow(objective), w_copy, x_copy, y_copy, weight_copy};
  p.run([&](const Objective& engine) {
    result->engine =
        curvature(engine, kind, p.w, p.batch(), p.mode, /*snapshot=*/false, samples, seed);
  });
  return nb::make_tuple(nb::cast(std::move(result)), w_copy, x_copy, y_copy, weight_copy);
}

// A v for v (n,), or for each row of v (k, n).
NewObject apply(const PyOperator& a, nb::handle v) {
  Array in("v");
  in.read(v, a.like("the operator"));
  const Shape& shape = in.view().shape;
  const std::int64_t n = a.engine->size();
  if (shape.empty() || shape.size() > 2 || shape.back() != n) {
    throw ShapeError("v", "(" + std::to_string(n) + ",) or (k, " + std::to_string(n) + ")",
                     to_string(shape));
  }
  const NewArray out(in.place(), in.view().dtype, shape);
  const std::int64_t count = shape.size() == 2 ? shape.front() : 1;
  work(in.place(), [&] {
    if (a.check_finite) in.check_finite();
    if (count > 0) a.engine->apply(in.view().data, out.view.data, count);
  });
  return out.object;
}

std::unique_ptr<PyOperator> shifted(nb::handle a, double shift, double scale) {
  auto result = std::make_unique<PyOperator>();
  result->engine =
      std::make_unique<ShiftedOperator>(*nb::cast<const PyOperator&>(a).engine, shift, scale);
  result->keep = {nb::borrow(a)};
  result->check_finite = nb::cast<const PyOperator&>(a).check_finite;
  return result;
}

std::unique_ptr<PyOperator> diagonal(nb::handle d) {
  Array in("d");
  in.read(d);
  if (in.view().shape.size() != 1) {
    throw ShapeError("d", "a vector", to_string(in.view().shape));
  }
  auto result = std::make_unique<PyOperator>();
  work(in.place(), [&] {
    Device& device = *in.place().device;
    Vector stored(device, in.view().dtype, in.view().shape[0]);
    device.copy(stored.data(), in.view().data,
                static_cast<std::size_t>(stored.size()) * size_of(stored.dtype()));
    result->engine = std::make_unique<DiagonalOperator>(std::move(stored));
  });
  return result;
}

}  // namespace

void bind_curvature(nb::module_& m) {
  nb::class_<PyOperator>(m, "Operator")
      .def_prop_ro("size", [](const PyOperator& a) { return a.engine->size(); })
      .def_prop_ro("dtype", [](const PyOperator& a) { return name_of(a.engine->dtype()); })
      .def_prop_ro("device", [](const PyOperator& a) { return a.engine->device().name(); })
      .def("apply", &apply, "v"_a.none());
  m.def("curvature", &curvature_at, "f"_a, "kind"_a, "w"_a.none(), "x"_a.none(), "y"_a.none(),
        "sample_weight"_a.none(), "train"_a, "samples"_a, "seed"_a);
  m.def("shifted", &shifted, "a"_a, "shift"_a, "scale"_a);
  m.def("diagonal", &diagonal, "d"_a.none());
}

}  // namespace hesscore::python
