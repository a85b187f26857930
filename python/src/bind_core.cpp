// Errors, devices, threads and configuration.
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include <new>

#include "errors.hpp"
#include "hesscore/device.hpp"
#include "hesscore/solve.hpp"
#include "module.hpp"

using namespace nanobind::literals;

namespace hesscore::python {
namespace {

template <class E>
bool is(const Error& error) {
  return dynamic_cast<const E*>(&error) != nullptr;
}

struct ErrorClass {
  const char* name;
  bool (*matches)(const Error&);
};
#define HC_ERROR_CLASS(Name) {#Name, &is<Name>}
constexpr ErrorClass kErrorClasses[] = {
    HC_ERROR_CLASS(ShapeError),       HC_ERROR_CLASS(DTypeError),
    HC_ERROR_CLASS(DeviceError),      HC_ERROR_CLASS(LabelError),
    HC_ERROR_CLASS(IndexRangeError),  HC_ERROR_CLASS(LayoutError),
    HC_ERROR_CLASS(OutputError),      HC_ERROR_CLASS(SizeError),
    HC_ERROR_CLASS(UnsupportedError), HC_ERROR_CLASS(GraphError),
    HC_ERROR_CLASS(NonFiniteError),   HC_ERROR_CLASS(OptionError),
    HC_ERROR_CLASS(StateError),       HC_ERROR_CLASS(OutOfMemoryError),
    HC_ERROR_CLASS(CheckpointError),  HC_ERROR_CLASS(ConvergenceError)};
#undef HC_ERROR_CLASS

const char* class_name(const Error& error) {
  for (const ErrorClass& c : kErrorClasses) {
    if (c.matches(error)) return c.name;
  }
  return "Error";
}

nb::object python_instance(const Error& error) {
  const nb::object type = nb::module_::import_("hesscore.errors").attr(class_name(error));
  nb::object instance = type(error.what(), error.arg(), error.expected(), error.got());
  if (const auto* failed = dynamic_cast<const ConvergenceError*>(&error)) {
    const SolveReport& r = failed->report;
    instance.attr("report") =
        nb::module_::import_("hesscore.solve")
            .attr("SolveReport")(name_of(r.status), r.message, r.iterations, r.residual, r.history);
  }
  return instance;
}

void set_python_error(const Error& error) {
  const nb::object instance = python_instance(error);
  PyErr_SetObject(instance.type().ptr(), instance.ptr());
}

// Throwing from a translator hands the exception on to the next one.
void translate(const std::exception_ptr& p, void*) {
  try {
    std::rethrow_exception(p);
  } catch (const Error& error) {
    set_python_error(error);
  } catch (const std::bad_alloc&) {
    set_python_error(OutOfMemoryError("out of memory"));
  }
}

}  // namespace

void raise_from(const Error& error, nb::python_error& cause) {
  const nb::object instance = python_instance(error);
  PyException_SetCause(instance.ptr(), nb::borrow(cause.value()).release().ptr());
  PyErr_SetObject(instance.type().ptr(), instance.ptr());
  throw nb::python_error();
}

void bind_core(nb::module_& m) {
  nb::register_exception_translator(translate);
  m.def("devices", &devices);
  m.def(
      "describe_device", [](const std::string& name) { return device(name).description(); },
      "name"_a);
  m.def("cuda_status", &cuda_status);
  m.def("set_num_threads", &set_num_threads, "n"_a);
  m.def("num_threads", &num_threads);
}

}  // namespace hesscore::python
