// The objective: evaluations and products.
#include "kronecker.hpp"

#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <array>

#include "module.hpp"

using namespace nanobind::literals;

namespace hesscore::python {

// ---- evaluations -------------------------------------------------------------------------------

namespace {

struct DiagName {
  const char* name;
  Diag kind;
};
constexpr std::array<DiagName, 8> kDiagNames = {{{"hesscale", Diag::hesscale},
                                                 {"hesscale_gn", Diag::hesscale_gn},
                                                 {"bl89", Diag::bl89},
                                                 {"ggn", Diag::ggn},
                                                 {"ggn_mc", Diag::ggn_mc},
                                                 {"hutchinson", Diag::hutchinson},
                                                 {"empirical_fisher", Diag::empirical_fisher},
                                                 {"hessian", Diag::hessian}}};

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
  shape.insert(shape.end(), f.output_shape.begin(), f.output_shape.end());
  return shape;
}

// The moments of the gradients of single samples, as a dict.
nb::dict grad_moments(const PyObjective& f, const Point& p, GradMoments& to) {
  nb::dict arrays;
  const auto add = [&](const char* name, std::int64_t size, Target& target) {
    const NewArray array(p.place(), p.dtype(), {size});
    target = array.view;
    arrays[name] = array.object;
  };
  const std::int64_t params = f.graph.num_params();
  add("mean", params, to.mean);
  add("second_moment", params, to.second_moment);
  add("variance", params, to.variance);
  add("norms", p.x.batch_size(), to.norms);
  return arrays;
}

// Everything that evaluate() of the engine gives, as a dict in the order of `names`.
nb::dict evaluate(const PyObjective& f, nb::handle w, nb::handle x, nb::handle y,
                  const std::vector<std::string>& names, nb::handle sample_weight, nb::handle train,
                  int samples, std::uint64_t seed, std::int64_t max_memory) {
  const Point p(f, w, x, y, sample_weight, train);
  Outputs out;
  nb::dict results;
  for (const std::string& name : names) {
    if (name == "loss" || name == "kron") {
      results[name.c_str()] = nb::none();
      continue;
    }
    if (name == "grad_moments") {
      results["grad_moments"] = grad_moments(f, p, out.grad_moments);
      continue;
    }
    Shape shape = {f.graph.num_params()};
    if (name == "predict") shape = output_shape(f, p.x);
    if (name == "per_sample_grads") shape.insert(shape.begin(), p.x.batch_size());
    NewArray array(p.place(), p.dtype(), shape);
    if (name == "grad") {
      out.grad = array.view;
    } else if (name == "per_sample_grads") {
      out.per_sample_grads = array.view;
    } else if (name == "predict") {
      out.predict = array.view;
    } else {
      out.diag.push_back({diag_kind(name), array.view, samples, seed, max_memory});
    }
    results[name.c_str()] = array.object;
  }
  double loss = 0;
  if (results.contains("kron")) {
    auto factors = factors_at(p, f, {.samples = samples, .seed = seed}, out);
    loss = factors->engine->loss();
    results["kron"] = std::move(factors);
  } else {
    p.run([&](const Objective& engine) { loss = engine.evaluate(p.w, p.batch(), out, p.mode); });
  }
  if (results.contains("loss")) results["loss"] = loss;
  return results;
}

// Throws unless rows of gradients can be written to `out`.
void check_rows(const PyObjective& f, const Point& p, const Array& out) {
  const View& view = out.view();
  const Shape expected = {p.x.batch_size(), f.graph.num_params()};
  if (out.place().index != p.place().index) {
    throw DeviceError("out", "an array " + place_text(p.place().index),
                      "one " + place_text(out.place().index));
  }
  if (view.dtype != p.dtype() || view.shape != expected) {
    throw OutputError("out", std::string(name_of(p.dtype())) + " " + to_string(expected),
                      std::string(name_of(view.dtype)) + " " + to_string(view.shape));
  }
  if (overlap(p.w, view) || overlap(p.y, view) || overlap(p.sample_weight, view) ||
      p.x.overlaps(view)) {
    throw OutputError("out", "memory of its own", "an array that overlaps the arguments");
  }
}

nb::object per_sample_grads(const PyObjective& f, nb::handle w, nb::handle x, nb::handle y,
                            nb::handle sample_weight, nb::handle train, nb::handle out) {
  const Point p(f, w, x, y, sample_weight, train);
  const auto write = [&](const View& rows) {
    p.run([&](const Objective& engine) { engine.per_sample_grads(p.w, p.batch(), rows, p.mode); });
  };
  if (out.is_none()) {
    const NewArray made(p.place(), p.dtype(), {p.x.batch_size(), f.graph.num_params()});
    write(made.view);
    return made.object;
  }
  Array given("out");
  given.read_output(out);
  check_rows(f, p, given);
  write(given.view());
  return nb::borrow(out);
}

double loss(const PyObjective& f, nb::handle w, nb::handle x, nb::handle y,
            nb::handle sample_weight, nb::handle train) {
  const Point p(f, w, x, y, sample_weight, train);
  double loss = 0;
  p.run([&](const Objective& engine) { loss = engine.evaluate(p.w, p.batch(), {}, p.mode); });
  return loss;
}

nb::tuple value_and_grad(const PyObjective& f, nb::handle w, nb::handle x, nb::handle y,
                         nb::handle sample_weight, nb::handle train) {
  const Point p(f, w, x, y, sample_weight, train);
  const NewArray grad(p.place(), p.dtype(), {f.graph.num_params()});
  double loss = 0;
  p.run([&](const Objective& engine) {
    loss = engine.evaluate(p.w, p.batch(), {.grad = grad.view}, p.mode);
  });
  return nb::make_tuple(loss, grad.object);
}

NewObject predict(const PyObjective& f, nb::handle w, nb::handle x, nb::handle train) {
  const Point p(f, w, x, train);
  const NewArray out(p.place(), p.dtype(), output_shape(f, p.x));
  p.run([&](const Objective& engine) { engine.predict(p.w, p.x.inputs(), out.view, p.mode); });
  return out.object;
}

// ---- buffers -----------------------------------------------------------------------------------

nb::dict buffers(const PyObjective& f) {
  const Place place = f.place_of_buffers();
  const Objective& engine = f.on(place);
  Objective::Buffers values;
  work(place, [&] { values = engine.buffers(); });
  nb::dict named;
  for (const auto& [name, numbers] : values) named[name.c_str()] = nb::cast(numbers);
  return named;
}

void load_buffers(const PyObjective& f, const nb::dict& named) {
  Objective::Buffers values;
  for (const auto& [name, numbers] : named) {
    values[nb::cast<std::string>(name)] = nb::cast<std::vector<double>>(numbers);
  }
  const Place place = f.place_of_buffers();
  const Objective& engine = f.on(place);
  work(place, [&] { engine.load_buffers(values); });
}

void update_buffers(const PyObjective& f, nb::handle w, nb::handle x, nb::handle train) {
  const Point p(f, w, x, train);
  p.run([&](const Objective& engine) { engine.update_buffers(p.w, p.x.inputs(), p.mode); });
}

// ---- products ----------------------------------------------------------------------------------

NewObject product(const PyObjective& f, Product kind, nb::handle w, nb::handle x, nb::handle y,
                  nb::handle v, nb::handle sample_weight, nb::handle train, int samples,
                  std::uint64_t seed) {
  const Point p(f, w, x, y, sample_weight, train);
  Array tangent("v");
  tangent.read(v, p.w.like());
  const NewArray out(p.place(), p.dtype(), tangent.view().shape);
  p.run([&](const Objective& engine) {
    if (f.check_finite) tangent.check_finite();
    engine.product(kind, p.w, p.batch(), tangent, out.view, p.mode, samples, seed);
  });
  return out.object;
}

NewObject jvp(const PyObjective& f, nb::handle w, nb::handle x, nb::handle v, nb::handle train) {
  const Point p(f, w, x, train);
  Array tangent("v");
  tangent.read(v, p.w.like());
  const View& rows = tangent.view();
  const NewArray out(p.place(), p.dtype(),
                     output_shape(f, p.x, rows.shape.size() == 2 ? &rows : nullptr));
  p.run([&](const Objective& engine) {
    if (f.check_finite) tangent.check_finite();
    engine.jvp(p.w, p.x.inputs(), tangent, out.view, p.mode);
  });
  return out.object;
}

NewObject vjp(const PyObjective& f, nb::handle w, nb::handle x, nb::handle u, nb::handle train) {
  const Point p(f, w, x, train);
  Array cotangent("u");
  cotangent.read(u, p.w.like());
  Shape shape = {f.graph.num_params()};
  const Shape& given = cotangent.view().shape;
  if (given.size() == f.output_shape.size() + 2) shape.insert(shape.begin(), given[0]);
  const NewArray out(p.place(), p.dtype(), shape);
  p.run([&](const Objective& engine) {
    if (f.check_finite) cotangent.check_finite();
    engine.vjp(p.w, p.x.inputs(), cotangent, out.view, p.mode);
  });
  return out.object;
}

}  // namespace

void bind_objective(nb::module_& m) {
  m.def("diag_kinds", &diag_kinds);
  nb::enum_<Product>(m, "Product")
      .value("hessian", Product::hessian)
      .value("ggn", Product::ggn)
      .value("fisher_mc", Product::fisher_mc)
      .value("fisher_empirical", Product::fisher_empirical)
      .value("gap", Product::gap);
  nb::class_<PyObjective>(m, "Objective")
      .def(nb::init<const Graph&, bool, const std::string&>(), "graph"_a, "check_finite"_a,
           "precision"_a)
      .def(
          "init_values",
          [](const PyObjective& f, std::uint64_t seed, const std::string& scheme) {
            const std::vector<double> values = f.engine(host()).init_values(seed, scheme);
            const NewArray out(DType::f64, {static_cast<std::int64_t>(values.size())});
            std::copy(values.begin(), values.end(), static_cast<double*>(out.view.data));
            return out.object;
          },
          "seed"_a, "scheme"_a)
      .def(
          "memory",
          [](const PyObjective& f, std::int64_t batch, const std::vector<std::string>& quantities,
             bool float64, bool train, int samples, std::int64_t max_memory) {
            return f.engine(host()).memory(batch, quantities, float64 ? DType::f64 : DType::f32,
                                           train, samples, max_memory);
          },
          "batch"_a, "quantities"_a, "float64"_a, "train"_a, "samples"_a, "max_memory"_a)
      .def("buffers", &buffers)
      .def("load_buffers", &load_buffers, "values"_a)
      .def("update_buffers", &update_buffers, "w"_a.none(), "x"_a.none(), "train"_a.none())
      .def("loss", &loss, "w"_a.none(), "x"_a.none(), "y"_a.none(), "sample_weight"_a.none(),
           "train"_a.none())
      .def("value_and_grad", &value_and_grad, "w"_a.none(), "x"_a.none(), "y"_a.none(),
           "sample_weight"_a.none(), "train"_a.none())
      .def("evaluate", &evaluate, "w"_a.none(), "x"_a.none(), "y"_a.none(), "names"_a,
           "sample_weight"_a.none(), "train"_a.none(), "samples"_a, "seed"_a, "max_memory"_a)
      .def("per_sample_grads", &per_sample_grads, "w"_a.none(), "x"_a.none(), "y"_a.none(),
           "sample_weight"_a.none(), "train"_a.none(), "out"_a.none())
      .def("predict", &predict, "w"_a.none(), "x"_a.none(), "train"_a.none())
      .def("product", &product, "kind"_a, "w"_a.none(), "x"_a.none(), "y"_a.none(), "v"_a.none(),
           "sample_weight"_a.none(), "train"_a.none(), "samples"_a, "seed"_a)
      .def("jvp", &jvp, "w"_a.none(), "x"_a.none(), "v"_a.none(), "train"_a.none())
      .def("vjp", &vjp, "w"_a.none(), "x"_a.none(), "u"_a.none(), "train"_a.none());
}

}  // namespace hesscore::python
