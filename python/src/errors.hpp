// From C++ exceptions to the Python classes of hesscore/errors.py.
#pragma once

#include <nanobind/nanobind.h>

#include "hesscore/core.hpp"

namespace hesscore::python {

namespace nb = nanobind;

// Raises `error` as its Python class, with `cause` as its __cause__.
[[noreturn]] void raise_from(const Error& error, nb::python_error& cause);

}  // namespace hesscore::python
