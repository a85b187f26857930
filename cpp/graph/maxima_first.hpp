// A rewrite of graphs: maxima before activations.
#pragma once

#include "hesscore/graph.hpp"

namespace hesscore {

// max f(x) = f(max x) for an f that never decreases, and so for derivatives: those of f are needed
// at the maximum only. An activation that nothing but a maximum over windows reads comes after it
// and runs on fewer numbers. Names stay with their layers.
Graph maxima_first(Graph graph);

}  // namespace hesscore
