// A linear operator as Python holds it.
#pragma once

#include <memory>
#include <vector>

#include "arrays.hpp"
#include "hesscore/linear_operator.hpp"

namespace hesscore::python {

struct PyOperator {
  std::unique_ptr<LinearOperator> engine;
  std::vector<nb::object> keep;  // what the engine's operator borrows
  bool check_finite = false;     // refuse NaN and Inf in vectors

  // What a vector must resemble; `name` is the operator's in errors.
  Like like(std::string name) const {
    return {std::move(name), engine->dtype(), index_of(engine->device())};
  }
};

}  // namespace hesscore::python
