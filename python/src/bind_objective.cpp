// The objective: reading the arguments of a call, evaluations and products.
#include "objective.hpp"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <array>

#include "module.hpp"

using namespace nanobind::literals;

namespace hesscore::python {

// ---- arguments ---------------------------------------------------------------------------------

PyObjective::PyObjective(const Graph& graph, bool check)
    : engine(graph),
      check_finite(check),
      labels(std::holds_alternative<CrossEntropyLoss>(graph.loss())),
      label_ndim(engine.output_shape().size()) {}

Mode read_mode(nb::handle train) {
  if (train.ptr() == Py_False) return {};
  if (train.ptr() == Py_True) return {.train = true};
  std::uint64_t seed = 0, step = 0;
  if (nb::isinstance<nb::tuple>(train) && nb::len(train) == 2 && nb::try_cast(train[0], seed) &&
      nb::try_cast(train[1], step)) {
    return {.train = true, .seed = seed, .step = step};
  }
  throw OptionError("train", "False, True or (seed, step)", nb::cast<std::string>(nb::repr(train)));
}

void InputArrays::read(nb::handle value, const Array& like) {
  named_ = nb::isinstance<nb::dict>(value);
  if (!named_) {
    names_.emplace_back();
    arrays_.emplace_back("x").read(value, &like);
    return;
  }
  for (const auto& [key, array] : nb::borrow<nb::dict>(value)) {
    names_.push_back(nb::cast<std::string>(nb::str(key)));
    arrays_.emplace_back("x['" + names_.back() + "']").read(array, &like);
  }
}

Inputs InputArrays::inputs() const {
  Inputs inputs;
  auto name = names_.begin();
  for (const Array& a : arrays_) inputs.arrays.emplace_back(*name++, a.view());
  return inputs;
}

void InputArrays::check_finite() const {
  for (const Array& a : arrays_) a.check_finite();
}

bool InputArrays::overlaps(const View& view) const {
  for (const Array& a : arrays_) {
    if (overlap(a.view(), view)) return true;
  }
  return false;
}

std::int64_t InputArrays::batch_size() const {
  if (arrays_.empty() || arrays_.front().view().shape.empty()) return 0;
  return arrays_.front().view().shape.front();
}

nb::object InputArrays::keep_copy() {
  if (!named_) return arrays_.front().keep_copy();
  nb::dict copies;
  auto name = names_.begin();
  for (Array& a : arrays_) copies[nb::str((name++)->c_str())] = a.keep_copy();
  return copies;
}

void read_targets(const PyObjective& f, const Array& like, nb::handle y, nb::handle sample_weight,
                  Array& to_y, Array& to_weight) {
  if (f.labels) {
    to_y.read_labels(y, like, f.label_ndim);
  } else {
    to_y.read(y, &like);
  }
  if (!sample_weight.is_none()) to_weight.read(sample_weight, &like);
}

Point::Point(const PyObjective& f, nb::handle w_in, nb::handle x_in, nb::handle y_in,
             nb::handle weight_in, nb::handle train)
    : Point(f, w_in, x_in, train) {
  read_targets(f, w, y_in, weight_in, y, sample_weight);
}

Point::Point(const PyObjective& f, nb::handle w_in, nb::handle x_in, nb::handle train)
    : mode(read_mode(train)), f_(f) {
  w.read(w_in);
  x.read(x_in, w);
}

void Point::check_finite() const {
  if (!f_.check_finite) return;
  w.check_finite();
  x.check_finite();
  y.check_finite();
  sample_weight.check_finite();
}

// ---- evaluations -------------------------------------------------------------------------------

namespace {

struct DiagName {
  const char* name;
  Diag kind;
};
constexpr std::array<DiagName, 7> kDiagNames = {{{"hesscale", Diag::hesscale},
                                                 {"hesscale_gn", Diag::hesscale_gn},
                                                 {"bl89", Diag::bl89},
                                                 {"ggn", Diag::ggn},
                                                 {"ggn_mc", Diag::ggn_mc},
                                                 {"hutchinson", Diag::hutchinson},
                                                 {"empirical_fisher", Diag::empirical_fisher}}};

std::vector<std::string> diag_kinds() {
  std::vector<std::string> names;
  for (const DiagName& d : kDiagNames) names.emplace_back(d.name);
  return names;
}

Diag diag_kind(const std::string& name) {
  for (const DiagName& d : kDiagNames) {
    if (name == d.name) return d.kind;
  }
  throw OptionError("kind", "one of the diagonals in hesscore.diag_kinds", name);
}

// The shape of the network's output, with the number of stacked vectors in front if `stack`.
Shape output_shape(const PyObjective& f, const InputArrays& x, const View* stack = nullptr) {
  Shape shape;
  if (stack != nullptr) shape.push_back(stack->shape.front());
  shape.push_back(x.batch_size());
  for (const std::int64_t d : f.engine.output_shape()) shape.push_back(d);
  return shape;
}

// Everything that evaluate() of the engine gives, as a dict in the order of `names`.
nb::dict evaluate(const PyObjective& f, nb::handle w, nb::handle x, nb::handle y,
                  const std::vector<std::string>& names, nb::handle sample_weight, nb::handle train,
                  int samples, std::uint64_t seed) {
  const Point p(f, w, x, y, sample_weight, train);
  const DType dtype = p.w.view().dtype;
  Outputs out;
  nb::dict results;
  for (const std::string& name : names) {
    if (name == "loss") {
      results["loss"] = nb::none();
      continue;
    }
    NewArray array(dtype, name == "predict" ? output_shape(f, p.x) : Shape{f.engine.num_params()});
    if (name == "grad") {
      out.grad = array.view;
    } else if (name == "predict") {
      out.predict = array.view;
    } else {
      out.diag.push_back({diag_kind(name), array.view, samples, seed});
    }
    results[name.c_str()] = array.object;
  }
  double loss = 0;
  {
    const nb::gil_scoped_release release;
    p.check_finite();
    loss = f.engine.evaluate(p.w, p.batch(), out, p.mode);
  }
  if (results.contains("loss")) results["loss"] = loss;
  return results;
}

double loss(const PyObjective& f, nb::handle w, nb::handle x, nb::handle y,
            nb::handle sample_weight, nb::handle train) {
  const Point p(f, w, x, y, sample_weight, train);
  const nb::gil_scoped_release release;
  p.check_finite();
  return f.engine.evaluate(p.w, p.batch(), {}, p.mode);
}

nb::tuple value_and_grad(const PyObjective& f, nb::handle w, nb::handle x, nb::handle y,
                         nb::handle sample_weight, nb::handle train) {
  const Point p(f, w, x, y, sample_weight, train);
  const NewArray grad(p.w.view().dtype, {f.engine.num_params()});
  double loss = 0;
  {
    const nb::gil_scoped_release release;
    p.check_finite();
    loss = f.engine.evaluate(p.w, p.batch(), {.grad = grad.view}, p.mode);
  }
  return nb::make_tuple(loss, grad.object);
}

NumpyArray predict(const PyObjective& f, nb::handle w, nb::handle x, nb::handle train) {
  const Point p(f, w, x, train);
  const NewArray out(p.w.view().dtype, output_shape(f, p.x));
  {
    const nb::gil_scoped_release release;
    p.check_finite();
    f.engine.predict(p.w, p.x.inputs(), out.view, p.mode);
  }
  return out.object;
}

// ---- products ----------------------------------------------------------------------------------

NumpyArray product(const PyObjective& f, Product kind, nb::handle w, nb::handle x, nb::handle y,
                   nb::handle v, nb::handle sample_weight, nb::handle train, int samples,
                   std::uint64_t seed) {
  const Point p(f, w, x, y, sample_weight, train);
  Array tangent("v");
  tangent.read(v, &p.w);
  const NewArray out(p.w.view().dtype, tangent.view().shape);
  {
    const nb::gil_scoped_release release;
    p.check_finite();
    if (f.check_finite) tangent.check_finite();
    f.engine.product(kind, p.w, p.batch(), tangent, out.view, p.mode, samples, seed);
  }
  return out.object;
}

NumpyArray jvp(const PyObjective& f, nb::handle w, nb::handle x, nb::handle v, nb::handle train) {
  const Point p(f, w, x, train);
  Array tangent("v");
  tangent.read(v, &p.w);
  const View& rows = tangent.view();
  const NewArray out(p.w.view().dtype,
                     output_shape(f, p.x, rows.shape.size() == 2 ? &rows : nullptr));
  {
    const nb::gil_scoped_release release;
    p.check_finite();
    if (f.check_finite) tangent.check_finite();
    f.engine.jvp(p.w, p.x.inputs(), tangent, out.view, p.mode);
  }
  return out.object;
}

NumpyArray vjp(const PyObjective& f, nb::handle w, nb::handle x, nb::handle u, nb::handle train) {
  const Point p(f, w, x, train);
  Array cotangent("u");
  cotangent.read(u, &p.w);
  Shape shape = {f.engine.num_params()};
  const Shape& given = cotangent.view().shape;
  if (given.size() == f.engine.output_shape().size() + 2) shape.insert(shape.begin(), given[0]);
  const NewArray out(p.w.view().dtype, shape);
  {
    const nb::gil_scoped_release release;
    p.check_finite();
    if (f.check_finite) cotangent.check_finite();
    f.engine.vjp(p.w, p.x.inputs(), cotangent, out.view, p.mode);
  }
  return out.object;
}

}  // namespace

void bind_objective(nb::module_& m) {
  m.def("diag_kinds", &diag_kinds);
  nb::enum_<Product>(m, "Product")
      .value("hessian", Product::hessian)
      .value("ggn", Product::ggn)
      .value("fisher_mc", Product::fisher_mc)
      .value("fisher_empirical", Product::fisher_empirical);
  nb::class_<PyObjective>(m, "Objective")
      .def(nb::init<const Graph&, bool>(), "graph"_a, "check_finite"_a)
      .def(
          "init_values",
          [](const PyObjective& f, std::uint64_t seed, const std::string& scheme) {
            const std::vector<double> values = f.engine.init_values(seed, scheme);
            const NewArray out(DType::f64, {static_cast<std::int64_t>(values.size())});
            std::copy(values.begin(), values.end(), static_cast<double*>(out.view.data));
            return out.object;
          },
          "seed"_a, "scheme"_a)
      .def("loss", &loss, "w"_a.none(), "x"_a.none(), "y"_a.none(), "sample_weight"_a.none(),
           "train"_a.none())
      .def("value_and_grad", &value_and_grad, "w"_a.none(), "x"_a.none(), "y"_a.none(),
           "sample_weight"_a.none(), "train"_a.none())
      .def("evaluate", &evaluate, "w"_a.none(), "x"_a.none(), "y"_a.none(), "names"_a,
           "sample_weight"_a.none(), "train"_a.none(), "samples"_a, "seed"_a)
      .def("predict", &predict, "w"_a.none(), "x"_a.none(), "train"_a.none())
      .def("product", &product, "kind"_a, "w"_a.none(), "x"_a.none(), "y"_a.none(), "v"_a.none(),
           "sample_weight"_a.none(), "train"_a.none(), "samples"_a, "seed"_a)
      .def("jvp", &jvp, "w"_a.none(), "x"_a.none(), "v"_a.none(), "train"_a.none())
      .def("vjp", &vjp, "w"_a.none(), "x"_a.none(), "u"_a.none(), "train"_a.none());
}

}  // namespace hesscore::python
