// What the bindings of all solvers share.
#pragma once

#include "hesscore/solve.hpp"
#include "operator.hpp"
#include "signals.hpp"

namespace hesscore::python {

inline std::size_t bytes_of(const View& v) {
  return static_cast<std::size_t>(element_count(v.shape)) * size_of(v.dtype);
}

// (status, message, iterations, residual, history)
nb::tuple told(const SolveReport& report);

NewObject array_of(const std::vector<double>& values, Shape shape);

// Reads a vector (n,), or with `rows` an array (K, n), that fits the operator.
void read_for(const PyOperator& a, const char* operator_name, nb::handle given, Array& v,
              bool rows = false);
void check_preconditioner(const PyOperator* m, const Array& b);
NewArray starting_point(nb::handle x0, const Array& b);

}  // namespace hesscore::python
