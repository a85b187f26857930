// Operators of any origin: products with vectors, sums, products, blocks and inverses.
#include "hesscore/operators.hpp"

#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include "hesscore/solve.hpp"
#include "module.hpp"
#include "operator.hpp"
#include "solvers.hpp"

using namespace nanobind::literals;

namespace hesscore::python {
namespace {

// A v for v (n,), or for each row of v (k, n).
NewObject multiply(const PyMap& a, nb::handle v, bool adjoint) {
  Array in("v");
  in.read(v, a.like("the operator"));
  Shape shape = in.view().shape;
  const LinearMap& A = a.map();
  const std::int64_t n = adjoint ? A.rows() : A.cols();
  if (shape.empty() || shape.size() > 2 || shape.back() != n) {
    throw ShapeError("v", "(" + std::to_string(n) + ",) or (k, " + std::to_string(n) + ")",
                     to_string(shape));
  }
  const std::int64_t count = shape.size() == 2 ? shape.front() : 1;
  shape.back() = adjoint ? A.cols() : A.rows();
  const NewArray out(in.place(), in.view().dtype, shape);
  work(in.place(), [&] {
    if (a.check_finite) in.check_finite();
    if (count == 0) return;
    adjoint ? A.apply_adjoint(in.view().data, out.view.data, count)
            : A.apply(in.view().data, out.view.data, count);
  });
  return out.object;
}

// v'Av for v (n,), or for each row of v (k, n), in float64 (k,); None where A v must be formed.
nb::object forms(const PyOperator& a, nb::handle v) {
  Array in("v");
  in.read(v, a.like("the operator"));
  const Shape& shape = in.view().shape;
  const std::int64_t count = shape.size() == 2 ? shape.front() : 1;
  if (shape.empty() || shape.size() > 2 || shape.back() != a.map().cols()) {
    const std::string n = std::to_string(a.map().cols());
    throw ShapeError("v", "(" + n + ",) or (k, " + n + ")", to_string(shape));
  }
  const NewArray out(in.place(), DType::f64, {count});
  bool there = false;
  work(in.place(), [&] {
    if (a.check_finite) in.check_finite();
    const auto& A = static_cast<const LinearOperator&>(a.map());
    there = A.forms(in.view().data, static_cast<double*>(out.view.data), count);
  });
  return there ? nb::object(out.object) : nb::none();
}

bool is_symmetric(nb::handle a) { return nb::isinstance<PyOperator>(a); }

// `map` with what it borrows, as an operator for solvers if it is `symmetric`.
nb::object wrap(std::unique_ptr<LinearMap> map, bool symmetric, std::vector<nb::object> keep) {
  bool check = false;
  for (const nb::object& a : keep) check = check || nb::cast<const PyMap&>(a).check_finite;
  const auto finish = [&](auto result) {
    result->keep = std::move(keep);
    result->check_finite = check;
    return nb::cast(std::move(result));
  };
  if (!symmetric) {
    auto result = std::make_unique<PyRectangular>();
    result->engine = std::move(map);
    return finish(std::move(result));
  }
  auto result = std::make_unique<PyOperator>();
  result->engine = std::make_unique<SymmetricOperator>(*map);
  result->inner = std::move(map);
  return finish(std::move(result));
}

const LinearMap& map_of(nb::handle a) { return nb::cast<const PyMap&>(a).map(); }

nb::object combined(nb::object a, double scale_a, nb::object b, double scale_b) {
  auto map = std::make_unique<SumMap>(map_of(a), scale_a, map_of(b), scale_b);
  return wrap(std::move(map), is_symmetric(a) && is_symmetric(b), {a, b});
}

// a A + b I
nb::object shifted(nb::object a, double shift, double scale) {
  const LinearMap& A = map_of(a);
  if (is_symmetric(a)) {
    auto result = std::make_unique<PyOperator>();
    result->engine =
        std::make_unique<ShiftedOperator>(*nb::cast<const PyOperator&>(a).engine, shift, scale);
    result->check_finite = nb::cast<const PyMap&>(a).check_finite;
    result->keep = {a};
    return nb::cast(std::move(result));
  }
  if (shift == 0) return wrap(std::make_unique<SumMap>(A, scale), false, {a});
  auto one = std::make_unique<PyOperator>();
  one->engine = std::make_unique<IdentityOperator>(A.device(), A.dtype(), A.rows());
  return combined(std::move(a), scale, nb::cast(std::move(one)), shift);
}

bool is_transpose(nb::handle a, nb::handle b) {
  return nb::isinstance<PyRectangular>(a) && nb::cast<const PyRectangular&>(a).transpose_of.is(b);
}

// A B; A'A and A A' are symmetric.
nb::object product(nb::object a, nb::object b) {
  auto map = std::make_unique<ProductMap>(map_of(a), map_of(b));
  return wrap(std::move(map), is_transpose(a, b) || is_transpose(b, a), {a, b});
}

nb::object transposed(nb::object a) {
  if (is_symmetric(a)) return a;
  auto result = std::make_unique<PyRectangular>();
  result->engine = std::make_unique<TransposedMap>(map_of(a));
  result->check_finite = nb::cast<const PyMap&>(a).check_finite;
  result->transpose_of = a;
  result->keep = {a};
  return nb::cast(std::move(result));
}

nb::object block(nb::object a, const Ranges& rows, const Ranges& cols) {
  auto map = std::make_unique<BlockMap>(map_of(a), rows, cols);
  return wrap(std::move(map), is_symmetric(a) && rows == cols, {a});
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

std::unique_ptr<PyOperator> inverse(nb::object a, bool indefinite, double rtol, double atol,
                                    std::int64_t maxiter, nb::object preconditioner) {
  const auto& A = nb::cast<const PyOperator&>(a);
  InverseOptions options{.method = indefinite ? InverseMethod::minres : InverseMethod::cg,
                         .rtol = rtol,
                         .atol = atol,
                         .maxiter = maxiter};
  auto result = std::make_unique<PyOperator>();
  result->keep = {a};
  result->check_finite = A.check_finite;
  if (!preconditioner.is_none()) {
    options.preconditioner = nb::cast<const PyOperator&>(preconditioner).engine.get();
    result->keep.push_back(preconditioner);
  }
  options.poll = SignalPoll();
  result->engine = std::make_unique<InverseOperator>(*A.engine, std::move(options));
  return result;
}

// For cycles through what is kept: a function that makes batches knows the variables beside it.
int traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  if (!nb::inst_ready(self)) return 0;
  for (const nb::object& kept : nb::inst_ptr<PyMap>(self)->keep) Py_VISIT(kept.ptr());
  return 0;
}

int clear(PyObject* self) {
  nb::inst_ptr<PyMap>(self)->clear();
  return 0;
}

PyType_Slot kSlots[] = {{Py_tp_traverse, reinterpret_cast<void*>(traverse)},
                        {Py_tp_clear, reinterpret_cast<void*>(clear)},
                        {0, nullptr}};

}  // namespace

void bind_operators(nb::module_& m) {
  nb::class_<PyMap>(m, "Map", nb::type_slots(kSlots))
      .def_prop_ro("rows", [](const PyMap& a) { return a.map().rows(); })
      .def_prop_ro("cols", [](const PyMap& a) { return a.map().cols(); })
      .def_prop_ro("dtype", [](const PyMap& a) { return name_of(a.map().dtype()); })
      .def_prop_ro("device", [](const PyMap& a) { return a.map().device().name(); })
      .def(
          "apply", [](const PyMap& a, nb::handle v) { return multiply(a, v, false); }, "v"_a.none())
      .def(
          "apply_adjoint", [](const PyMap& a, nb::handle v) { return multiply(a, v, true); },
          "v"_a.none());
  nb::class_<PyRectangular, PyMap>(m, "RectangularMap", nb::type_slots(kSlots));
  nb::class_<PyOperator, PyMap>(m, "Operator", nb::type_slots(kSlots))
      .def_prop_ro("size", [](const PyOperator& a) { return a.engine->size(); })
      .def("forms", &forms, "v"_a.none());
  m.def("shifted", &shifted, "a"_a, "shift"_a, "scale"_a);
  m.def("combined", &combined, "a"_a, "scale_a"_a, "b"_a, "scale_b"_a);
  m.def("product", &product, "a"_a, "b"_a);
  m.def("transposed", &transposed, "a"_a);
  m.def("block", &block, "a"_a, "rows"_a, "cols"_a);
  m.def("diagonal", &diagonal, "d"_a.none());
  m.def("inverse", &inverse, "a"_a, "indefinite"_a, "rtol"_a, "atol"_a, "maxiter"_a, "M"_a.none());
}

}  // namespace hesscore::python
