// Conjugate gradients over operators of the engine and over callables of Python.
#include "hesscore/solve.hpp"

#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/unique_ptr.h>

#include <cstring>

#include "module.hpp"
#include "operator.hpp"
#include "signals.hpp"

using namespace nanobind::literals;

namespace hesscore::python {
namespace {

NumpyArray vector_copy(const void* data, DType dtype, std::int64_t n) {
  const NewArray out(dtype, {n});
  std::memcpy(out.view.data, data, static_cast<std::size_t>(n) * size_of(dtype));
  return out.object;
}

// A v by calling Python, which sees one NumPy vector at a time.
class CallbackOperator : public LinearOperator {
 public:
  CallbackOperator(nb::object apply, std::string name, DType dtype, std::int64_t size)
      : apply_(std::move(apply)), name_(std::move(name)), dtype_(dtype), size_(size) {}
  std::int64_t size() const override { return size_; }
  DType dtype() const override { return dtype_; }
  Device& device() const override { return hesscore::device("cpu"); }

  void apply(const void* v, void* out, std::int64_t count) const override {
    const nb::gil_scoped_acquire acquire;
    const std::size_t bytes = static_cast<std::size_t>(size_) * size_of(dtype_);
    for (std::int64_t k = 0; k < count; ++k) {
      const std::size_t at = static_cast<std::size_t>(k) * bytes;
      const nb::object in = vector_copy(static_cast<const std::byte*>(v) + at, dtype_, size_);
      call(in, static_cast<std::byte*>(out) + at, bytes);
    }
  }

 private:
  void call(const nb::object& v, void* to, std::size_t bytes) const {
    Array result(name_ + "(v)");
    result.read(apply_(v));
    if (result.view().dtype != dtype_) {
      throw DTypeError(result.name(), std::string(name_of(dtype_)) + " like b",
                       std::string(name_of(result.view().dtype)));
    }
    if (result.view().shape != Shape{size_}) {
      throw ShapeError(result.name(), to_string({size_}), to_string(result.view().shape));
    }
    std::memcpy(to, result.view().data, bytes);
  }

  nb::object apply_;
  std::string name_;
  DType dtype_;
  std::int64_t size_;
};

std::unique_ptr<PyOperator> callback_operator(nb::object apply, const std::string& name,
                                              nb::handle b) {
  Array right("b");
  right.read(b);
  if (right.view().shape.size() != 1) {
    throw ShapeError("b", "a vector", to_string(right.view().shape));
  }
  auto result = std::make_unique<PyOperator>();
  result->engine = std::make_unique<CallbackOperator>(std::move(apply), name, right.view().dtype,
                                                      right.view().shape[0]);
  return result;
}

// x0 or zeros, in an array of our own that cg turns into the solution.
NewArray starting_point(nb::handle x0, const Array& b) {
  Array given("x0");
  if (!x0.is_none()) {
    given.read(x0, &b);
    if (given.view().shape != b.view().shape) {
      throw ShapeError("x0", to_string(b.view().shape) + " like b", to_string(given.view().shape));
    }
    given.check_finite();
  }
  NewArray x(b.view().dtype, b.view().shape);
  const std::size_t bytes =
      static_cast<std::size_t>(element_count(x.view.shape)) * size_of(x.view.dtype);
  if (given.view()) {
    std::memcpy(x.view.data, given.view().data, bytes);
  } else {
    std::memset(x.view.data, 0, bytes);
  }
  return x;
}

void check_system(const PyOperator& a, const Array& b) {
  if (b.view().shape != Shape{a.engine->size()}) {
    throw ShapeError("b", to_string({a.engine->size()}) + " like A", to_string(b.view().shape));
  }
  if (b.view().dtype != a.engine->dtype()) {
    throw DTypeError("b", std::string(name_of(a.engine->dtype())) + " like A",
                     std::string(name_of(b.view().dtype)));
  }
  b.check_finite();
}

nb::tuple solve_cg(const PyOperator& a, nb::handle b_in, nb::handle x0, double rtol, double atol,
                   std::int64_t maxiter, const PyOperator* preconditioner, nb::object callback,
                   bool martens) {
  Array b("b");
  b.read(b_in);
  check_system(a, b);
  const NewArray x = starting_point(x0, b);
  CgOptions options{.rtol = rtol,
                    .atol = atol,
                    .maxiter = maxiter,
                    .stop = martens ? StopRule::martens : StopRule::residual,
                    .preconditioner = preconditioner ? preconditioner->engine.get() : nullptr};
  const bool called = !callback.is_none();
  SignalClock clock;
  options.callback_at = [&](std::int64_t) {
    if (clock.due()) {
      const nb::gil_scoped_acquire acquire;
      check_signals();
    }
    return called;
  };
  options.callback = [&](std::int64_t, double, const View& at) {
    const nb::gil_scoped_acquire acquire;
    return nb::cast<bool>(nb::bool_(callback(vector_copy(at.data, at.dtype, at.shape[0]))));
  };
  SolveReport report;
  {
    const nb::gil_scoped_release release;
    report = cg(*a.engine, b, x.view, options);
  }
  const NewArray history(DType::f64, {static_cast<std::int64_t>(report.history.size())});
  std::copy(report.history.begin(), report.history.end(), static_cast<double*>(history.view.data));
  return nb::make_tuple(x.object, name_of(report.status), report.message, report.iterations,
                        report.residual, history.object);
}

}  // namespace

void bind_solve(nb::module_& m) {
  m.def("callback_operator", &callback_operator, "apply"_a, "name"_a, "b"_a.none());
  m.def("cg", &solve_cg, "A"_a, "b"_a.none(), "x0"_a.none(), "rtol"_a, "atol"_a, "maxiter"_a,
        "M"_a.none(), "callback"_a.none(), "martens"_a);
}

}  // namespace hesscore::python
