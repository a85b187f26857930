// How many vectors travel together through a graph.
#pragma once

#include <algorithm>
#include <bit>

#include "hesscore/graph.hpp"

namespace hesscore {

// A device wants work, a processor what its caches hold: there a vector and its widest tangent,
// times the vectors of a pass, are about 4 M numbers. In processor time 16 at once took a tenth
// longer than 4 on 784-512-256-10 at N = 128, and half as long again on 3c3d, whose tangents are 26
// MB each.
inline std::int64_t vectors_per_pass(const Graph& graph, std::int64_t batch, bool on_host) {
  constexpr std::int64_t kLeast = 2, kMost = 16, kHostElements = 4 << 20;
  if (!on_host) return kMost;
  std::int64_t widest = std::max<std::int64_t>(graph.num_params(), 1);
  for (const Node& n : graph.nodes()) widest = std::max(widest, batch * element_count(n.shape));
  const auto fit = static_cast<std::uint64_t>(kHostElements / widest);
  return std::clamp(static_cast<std::int64_t>(std::bit_floor(fit)), kLeast, kMost);
}

}  // namespace hesscore
