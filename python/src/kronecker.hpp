// Kronecker factors with the array they lie in.
#pragma once

#include "hesscore/kronecker.hpp"

#include <memory>
#include <optional>

#include "objective.hpp"

namespace hesscore::python {

struct PyKronecker {
  Place place;
  bool check_finite;  // in vectors
  NewArray factors;
  std::optional<KroneckerFactors> engine;
};

// Those at a point, and `also` what else is asked for there.
std::unique_ptr<PyKronecker> factors_at(const Point& p, const PyObjective& f,
                                        const KroneckerOptions& options, const Outputs& also);

}  // namespace hesscore::python
