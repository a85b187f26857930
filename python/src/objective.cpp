// The objective on each device, and the arguments of a call.
#include "objective.hpp"

#include <nanobind/stl/string.h>

namespace hesscore::python {

PyObjective::PyObjective(Graph g, bool check, const std::string& precision)
    : graph(std::move(g)),
      check_finite(check),
      float64_only(precision == "fp64"),
      labels(std::holds_alternative<CrossEntropyLoss>(graph.loss())),
      output_shape(graph.nodes()[static_cast<std::size_t>(graph.output())].shape),
      precision_(precision == "tf32" ? Precision::tf32 : Precision::fp32) {
  on(host());
}

const Objective& PyObjective::engine(const Place& place) const {
  std::unique_ptr<Objective>& engine = engines_[place.index];
  if (!engine) engine = std::make_unique<Objective>(graph, *place.device, DType::f32, precision_);
  return *engine;
}

const Objective& PyObjective::on(const Place& place) const {
  const Objective& here = engine(place);
  if (graph.buffers().empty() || place.index == buffers_at_) return here;
  const Place before = place_of_buffers();
  const Objective& there = engine(before);
  Objective::Buffers values;
  work(before, [&] { values = there.buffers(); });
  work(place, [&] { here.load_buffers(values); });
  buffers_at_ = place.index;
  return here;
}

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

void InputArrays::read(nb::handle value, const Like& like, const Graph& graph) {
  const auto indices = [&](const std::string& name) {
    for (const int i : graph.inputs()) {
      const Node& node = graph.nodes()[static_cast<std::size_t>(i)];
      if (node.name == name || name.empty()) return node.index_limit > 0;
    }
    return false;
  };
  named_ = nb::isinstance<nb::dict>(value);
  if (!named_) {
    names_.emplace_back();
    arrays_.emplace_back("x");
    return read_one(value, like, indices(""));
  }
  for (const auto& [key, array] : nb::borrow<nb::dict>(value)) {
    names_.push_back(nb::cast<std::string>(nb::str(key)));
    arrays_.emplace_back("x['" + names_.back() + "']");
    read_one(array, like, indices(names_.back()));
  }
}

void InputArrays::read_one(nb::handle value, const Like& like, bool indices) {
  if (indices) {
    arrays_.back().read_indices(value, like);
  } else {
    arrays_.back().read(value, like);
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

void check_precision(const PyObjective& f, const Array& w) {
  if (f.float64_only && w.view().dtype != DType::f64) {
    throw DTypeError("w", "float64, as precision=\"fp64\" says", "float32");
  }
}

void read_targets(const PyObjective& f, const Like& like, nb::handle y, nb::handle sample_weight,
                  Array& to_y, Array& to_weight) {
  if (f.labels) {
    to_y.read_labels(y, like, f.label_ndim());
  } else {
    to_y.read(y, like);
  }
  if (!sample_weight.is_none()) to_weight.read(sample_weight, like);
}

Point::Point(const PyObjective& f, nb::handle w_in, nb::handle x_in, nb::handle y_in,
             nb::handle weight_in, nb::handle train)
    : Point(f, w_in, x_in, train) {
  read_targets(f, w.like(), y_in, weight_in, y, sample_weight);
}

Point::Point(const PyObjective& f, nb::handle w_in, nb::handle x_in, nb::handle train)
    : mode(read_mode(train)), f_(f) {
  w.read(w_in);
  check_precision(f, w);
  x.read(x_in, w.like(), f.graph);
}

void Point::run(const std::function<void(const Objective&)>& body) const {
  const Objective& engine = f_.on(place());
  work(place(), [&] {
    if (f_.check_finite) {
      w.check_finite();
      x.check_finite();
      y.check_finite();
      sample_weight.check_finite();
    }
    body(engine);
  });
}

}  // namespace hesscore::python
