// Conjugate gradients over operators of the engine and over callables of Python.
#include "hesscore/solve.hpp"

#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/unique_ptr.h>

#include "module.hpp"
#include "solvers.hpp"

using namespace nanobind::literals;

namespace hesscore::python {
namespace {

// For Python, from within the engine, which has the device to itself.
NewObject vector_copy(const Place& place, const View& v) {
  const NewArray out(place, v.dtype, v.shape);
  place.device->copy(out.view.data, v.data, bytes_of(v));
  return out.object;
}

// A v by calling Python, which sees one vector at a time.
class CallbackOperator : public LinearOperator {
 public:
  CallbackOperator(nb::object apply, std::string name, const Array& b)
      : apply_(std::move(apply)),
        name_(std::move(name)),
        like_(b.like()),
        place_(b.place()),
        size_(b.view().shape[0]) {}
  std::int64_t size() const override { return size_; }
  DType dtype() const override { return like_.dtype; }
  Device& device() const override { return *place_.device; }

  void apply(const void* v, void* out, std::int64_t count) const override {
    const nb::gil_scoped_acquire acquire;
    const auto row = size_ * static_cast<std::int64_t>(size_of(dtype()));
    for (std::int64_t k = 0; k < count; ++k) {
      const View in(static_cast<const std::byte*>(v) + k * row, dtype(), {size_});
      call(vector_copy(place_, in), static_cast<std::byte*>(out) + k * row);
    }
  }

 private:
  void call(const nb::object& v, void* to) const {
    Array result(name_ + "(v)");
    result.read(apply_(v), like_);
    if (result.view().shape != Shape{size_}) {
      throw ShapeError(result.name(), to_string({size_}), to_string(result.view().shape));
    }
    place_.device->copy(to, result.view().data, bytes_of(result));
  }

  nb::object apply_;
  std::string name_;
  Like like_;
  Place place_;
  std::int64_t size_;
};

std::unique_ptr<PyOperator> callback_operator(nb::object apply, const std::string& name,
                                              nb::handle b, std::string argument) {
  Array right(std::move(argument));
  right.read(b);
  if (right.view().shape.size() != 1) {
    throw ShapeError(right.name(), "a vector", to_string(right.view().shape));
  }
  auto result = std::make_unique<PyOperator>();
  result->engine = std::make_unique<CallbackOperator>(std::move(apply), name, right);
  return result;
}

nb::tuple solve_cg(const PyOperator& a, nb::handle b_in, nb::handle x0, double rtol, double atol,
                   std::int64_t maxiter, const PyOperator* preconditioner, nb::object callback,
                   bool martens) {
  Array b("b");
  read_for(a, "A", b_in, b);
  check_preconditioner(preconditioner, b);
  const NewArray x = starting_point(x0, b);
  CgOptions options{.rtol = rtol,
                    .atol = atol,
                    .maxiter = maxiter,
                    .stop = martens ? StopRule::martens : StopRule::residual,
                    .preconditioner = preconditioner ? preconditioner->engine.get() : nullptr};
  options.poll = SignalPoll();
  if (!callback.is_none()) {
    options.callback = [&](std::int64_t, double, const View& at) {
      const nb::gil_scoped_acquire acquire;
      return nb::cast<bool>(nb::bool_(callback(vector_copy(b.place(), at))));
    };
  }
  SolveReport report;
  work(b.place(), [&] {
    b.check_finite();
    report = cg(*a.engine, b, x.view, options);
  });
  return nb::make_tuple(x.object, told(report));
}

}  // namespace

nb::tuple told(const SolveReport& r) {
  const auto count = static_cast<std::int64_t>(r.history.size());
  return nb::make_tuple(name_of(r.status), r.message, r.iterations, r.residual,
                        array_of(r.history, {count}));
}

NewObject array_of(const std::vector<double>& values, Shape shape) {
  const NewArray out(DType::f64, std::move(shape));
  std::copy(values.begin(), values.end(), static_cast<double*>(out.view.data));
  return out.object;
}

void read_for(const PyOperator& a, const char* operator_name, nb::handle given, Array& v,
              bool rows) {
  v.read(given, a.like(operator_name));
  const std::int64_t n = a.engine->size();
  const Shape& shape = v.view().shape;
  if (shape == Shape{n} || (rows && shape.size() == 2 && shape[0] > 0 && shape[1] == n)) return;
  throw ShapeError(v.name(),
                   to_string({n}) + (rows ? " or (K, " + std::to_string(n) + ")" : "") + " like " +
                       operator_name,
                   to_string(shape));
}

void check_preconditioner(const PyOperator* m, const Array& b) {
  if (m == nullptr) return;
  const int index = index_of(m->engine->device());
  if (index != b.place().index) {
    throw DeviceError("M", "an operator or a diagonal " + place_text(b.place().index) + " like b",
                      "one " + place_text(index));
  }
}

// x0 or zeros, in an array of our own that a solver turns into the solution.
NewArray starting_point(nb::handle x0, const Array& b) {
  const View& like = b.view();
  if (x0.is_none()) return NewArray(b.place(), like.dtype, like.shape, /*zeros=*/true);
  Array given("x0");
  given.read(x0, b.like());
  if (given.view().shape != like.shape) {
    throw ShapeError("x0", to_string(like.shape) + " like b", to_string(given.view().shape));
  }
  NewArray x(b.place(), like.dtype, like.shape);
  work(b.place(), [&] {
    given.check_finite();
    b.place().device->copy(x.view.data, given.view().data, bytes_of(given));
  });
  return x;
}

void bind_solve(nb::module_& m) {
  m.def("callback_operator", &callback_operator, "apply"_a, "name"_a, "b"_a.none(),
        "argument"_a = "b");
  m.def("cg", &solve_cg, "A"_a, "b"_a.none(), "x0"_a.none(), "rtol"_a, "atol"_a, "maxiter"_a,
        "M"_a.none(), "callback"_a.none(), "martens"_a);
}

}  // namespace hesscore::python
