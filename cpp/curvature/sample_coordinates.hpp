// Krylov coordinates of a Gauss-Newton operator in sample space (objective/sample_space.hpp).
#pragma once

#include <memory>

#include "hesscore/linear_operator.hpp"
#include "objective/impl.hpp"

namespace hesscore {

// Null where they do not pay.
std::unique_ptr<KrylovCoordinates> sample_coordinates(const Objective::Impl& f,
                                                      const Request& request, const Bindings& point,
                                                      const void* b);

}  // namespace hesscore
