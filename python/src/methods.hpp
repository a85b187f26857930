// The optimizers' options by name: one list for each method, used to read them and to tell
// defaults.
#pragma once

#include <nanobind/nanobind.h>

#include <string>

#include "hesscore/optim.hpp"

namespace hesscore::python {

namespace nb = nanobind;

// Throws OptionError for a value of the wrong type; names are checked by the caller. Callables are
// borrowed from `options`, which must outlive the method.
Method make_method(const std::string& name, const nb::dict& options);

// name -> {option: default}, in the order of the documentation.
nb::dict method_table();

}  // namespace hesscore::python
