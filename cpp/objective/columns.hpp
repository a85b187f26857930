// How many columns or probes travel together.
#pragma once

#include <algorithm>

#include "hesscore/graph.hpp"

namespace hesscore {

// Enough to fill the machine, few enough to bound memory.
inline constexpr std::int64_t kChunkElements = 4 << 20;

inline std::int64_t chunk_of(const Graph& graph, std::int64_t batch, std::int64_t total) {
  std::int64_t widest = 1;
  for (const Node& n : graph.nodes()) widest = std::max(widest, element_count(n.shape));
  return std::clamp<std::int64_t>(kChunkElements / (widest * batch), 1,
                                  std::max<std::int64_t>(total, 1));
}

}  // namespace hesscore
