// Initial parameters of a graph.
#pragma once

#include <string_view>
#include <vector>

#include "hesscore/graph.hpp"

namespace hesscore {

// Flat parameters in float64. Schemes: "default" (uniform +-1/sqrt(fan_in), biases too, as
// PyTorch), "xavier" (uniform, Glorot & Bengio 2010), "he" and "lecun" (normal, 2/fan_in and
// 1/fan_in), "orthogonal", "hessian" (normal, unit norm of the Hessian's factors: 2 / (s (fan_in +
// fan_out)), s the mean squared slope at zero of the activation and the dropout that follow). All
// but "default" zero the biases.
std::vector<double> initial_parameters(const Graph& graph, std::uint64_t seed,
                                       std::string_view scheme);

}  // namespace hesscore
