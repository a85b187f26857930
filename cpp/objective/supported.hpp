// What a graph supports, known before anything is emitted.
#pragma once

#include "hesscore/objective.hpp"
#include "objective/request.hpp"

namespace hesscore {

// Throws UnsupportedError that names every layer without a rule for the request.
void check_supported(const Request& r, const Graph& graph);

// The request for quantities by name: "loss", "grad", "predict" and the diagonals. Throws
// OptionError for other names.
Request request_for(const std::vector<std::string>& quantities, int samples);

}  // namespace hesscore
