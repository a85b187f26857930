// Operators of an objective: made once at a point, applied often.
#include "hesscore/curvature.hpp"

#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>

#include "module.hpp"
#include "objective.hpp"
#include "operator.hpp"
#include "signals.hpp"

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

std::unique_ptr<PyRectangular> jacobian_at(nb::handle objective, nb::handle w, nb::handle x,
                                           nb::handle train) {
  const auto& f = nb::cast<const PyObjective&>(objective);
  Point p(f, w, x, train);
  auto result = std::make_unique<PyRectangular>();
  result->check_finite = f.check_finite;
  result->keep = {nb::borrow(objective), p.w.keep_copy(), p.x.keep_copy()};
  p.run([&](const Objective& engine) {
    result->engine = jacobian(engine, p.w, p.x.inputs(), p.mode, /*snapshot=*/false);
  });
  return result;
}

double mean_weight(const PyObjective& f, nb::handle w, nb::handle x, nb::handle y,
                   nb::handle sample_weight) {
  const Point p(f, w, x, y, sample_weight, nb::bool_(false));
  double weight = 0;
  p.run([&](const Objective& engine) { weight = engine.mean_weight(p.w, p.batch()); });
  return weight;
}

void check_values(const Point& p) {
  p.x.check_finite();
  p.y.check_finite();
  p.sample_weight.check_finite();
}

// Batches that Python's iterators bring, anew for each product. `items()` gives an iterator over
// (x, y, sample_weight).
class StreamedBatches final : public BatchSource {
 public:
  StreamedBatches(const PyObjective& f, nb::handle w, nb::handle items, nb::handle train)
      : f_(f), w_(w), items_(items), train_(train) {}

  void rewind() override {
    const nb::gil_scoped_acquire acquire;
    iterator_ = items_();
  }

  bool next(Batch& batch) override {
    if (!take()) return false;
    if (f_.check_finite) check_values(*point_);
    batch = point_->batch();
    return true;
  }

  bool stays() const override { return false; }

 private:
  bool take() {
    const nb::gil_scoped_acquire acquire;
    nb::object item = nb::steal(PyIter_Next(iterator_.ptr()));
    if (!item.is_valid()) {
      if (PyErr_Occurred() != nullptr) throw nb::python_error();
      iterator_.reset();
      return false;
    }
    point_ = std::make_unique<Point>(f_, w_, item[0], item[1], item[2], train_);
    item_ = std::move(item);
    return true;
  }

  const PyObjective& f_;
  nb::handle w_, items_, train_;  // of the operator's `keep`
  nb::object iterator_, item_;
  std::unique_ptr<Point> point_;
};

// Looks for Ctrl-C, and tells Python how many batches of a product are done.
std::function<void(std::int64_t)> watch_with(nb::handle progress) {
  return [progress, clock = SignalClock()](std::int64_t done) mutable {
    const bool shown = !progress.is_none();
    if (!shown && !clock.due()) return;
    const nb::gil_scoped_acquire acquire;
    check_signals();
    if (shown) progress(done);
  };
}

// The operator and its copy of w. `batches`: a list of (x, y, sample_weight), or a function that
// gives an iterator over such.
nb::tuple curvature_over(nb::object objective, Product kind, nb::handle w, nb::object batches,
                         nb::object train, int samples, std::uint64_t seed, std::int64_t max_memory,
                         nb::object progress) {
  const auto& f = nb::cast<const PyObjective&>(objective);
  Array at("w");
  at.read(w);
  check_precision(f, at);
  const nb::object w_copy = at.keep_copy();
  const Mode mode = read_mode(train);
  auto result = std::make_unique<PyOperator>();
  result->check_finite = f.check_finite;
  result->keep = {objective, w_copy, batches, train, progress};
  BatchesOptions options{max_memory, samples, seed, watch_with(progress)};
  const Objective& engine = f.on(at.place());
  if (!nb::isinstance<nb::list>(batches)) {
    auto source = std::make_shared<StreamedBatches>(f, w_copy, batches, train);
    result->data = source;  // whatever happens, it ends with the GIL
    work(at.place(), [&] {
      if (f.check_finite) at.check_finite();
      result->engine = curvature(engine, kind, at, source, mode, options);
    });
    return nb::make_tuple(nb::cast(std::move(result)), w_copy);
  }
  auto points = std::make_shared<std::list<Point>>();
  for (const nb::handle item : nb::borrow<nb::list>(batches)) {
    points->emplace_back(f, w_copy, item[0], item[1], item[2], train);
  }
  result->data = points;
  std::vector<Batch> views;
  for (const Point& p : *points) views.push_back(p.batch());
  work(at.place(), [&] {
    if (f.check_finite) {
      at.check_finite();
      for (const Point& p : *points) check_values(p);
    }
    result->engine = curvature(engine, kind, at, std::move(views), mode, options);
  });
  return nb::make_tuple(nb::cast(std::move(result)), w_copy);
}

}  // namespace

void bind_curvature(nb::module_& m) {
  m.def("curvature", &curvature_at, "f"_a, "kind"_a, "w"_a.none(), "x"_a.none(), "y"_a.none(),
        "sample_weight"_a.none(), "train"_a, "samples"_a, "seed"_a);
  m.def("curvature_over", &curvature_over, "f"_a, "kind"_a, "w"_a.none(), "batches"_a, "train"_a,
        "samples"_a, "seed"_a, "max_memory"_a, "progress"_a.none());
  m.def("jacobian", &jacobian_at, "f"_a, "w"_a.none(), "x"_a.none(), "train"_a);
  m.def("mean_weight", &mean_weight, "f"_a, "w"_a.none(), "x"_a.none(), "y"_a.none(),
        "sample_weight"_a.none());
}

}  // namespace hesscore::python
