// What a graph supports, known before anything is emitted.
#pragma once

#include "hesscore/objective.hpp"
#include "objective/request.hpp"

namespace hesscore {

// Throws UnsupportedError that names every layer without a rule for the request.
void check_supported(const Request& r, const Graph& graph);

// The requests for quantities by name: one for all that evaluate() knows, and one for each product.
// Throws OptionError for other names.
std::vector<Request> requests_for(const std::vector<std::string>& quantities, int samples,
                                  std::int64_t max_memory = 0);

}  // namespace hesscore
