// What solvers ask of their arguments.
#include "solve/checks.hpp"

#include <cmath>

#include "solve/ending.hpp"

namespace hesscore {

void check_vector(const char* name, const View& v, const LinearOperator& A, bool rows) {
  const std::string expected =
      "shape " + to_string({A.size()}) + (rows ? " or (K, " + std::to_string(A.size()) + ")" : "");
  if (!v) throw ShapeError(name, expected, "nothing");
  if (v.dtype != A.dtype()) {
    throw DTypeError(name, std::string(name_of(A.dtype())), std::string(name_of(v.dtype)));
  }
  const bool fits = v.shape == Shape{A.size()} ||
                    (rows && v.shape.size() == 2 && v.shape[0] > 0 && v.shape[1] == A.size());
  if (!fits) throw ShapeError(name, expected, "shape " + to_string(v.shape));
}

void check_like(const char* name, const LinearOperator& M, const LinearOperator& A) {
  if (M.size() != A.size()) {
    throw ShapeError(name, "size " + std::to_string(A.size()), "size " + std::to_string(M.size()));
  }
  if (M.dtype() != A.dtype()) {
    throw DTypeError(name, std::string(name_of(A.dtype())), std::string(name_of(M.dtype())));
  }
}

void check_tolerance(const char* name, double value) {
  if (!(value >= 0 && std::isfinite(value))) {
    throw OptionError(name, "a finite number >= 0", text(value));
  }
}

void check_count(const char* name, std::int64_t value, std::int64_t low, std::int64_t high) {
  if (value < low || value > high) {
    throw OptionError(name, "an integer in " + std::to_string(low) + " .. " + std::to_string(high),
                      std::to_string(value));
  }
}

}  // namespace hesscore
