// What the GPU's products are built on: where tiles lie in shared memory, and which tile and how
// many splits a product gets.
#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "../cuda/product/choose.hpp"
#include "../cuda/product/layout.hpp"
#include "check.hpp"

namespace {

using namespace hesscore::cuda;

// The most lanes of those served at once whose words lie in the same bank but at different places.
// A warp's words are read in groups of 32; of numbers of two words, in halves.
template <class Tile, class Lanes, bool kLeft>
int conflicts(int words) {
  int worst = 0;
  for (int e = 0; e < 2; ++e) {
    for (int half = 0; half < words; ++half) {
      std::array<std::set<int>, 32> banks;
      for (int lane = half * 32 / words; lane < (half + 1) * 32 / words; ++lane) {
        const Place at = kLeft ? Lanes::left_at(lane, e) : Lanes::right_at(lane, e);
        for (int word = 0; word < words; ++word) {
          const int address = words * Tile::at(at.i, at.k) + word;
          banks[static_cast<std::size_t>(address % 32)].insert(address);
        }
      }
      for (const std::set<int>& bank : banks) {
        worst = std::max(worst, static_cast<int>(bank.size()));
      }
    }
  }
  return worst;
}

template <class T, int kExtent, int kDepth, bool kAlongK>
void check_layout() {
  using Tile = SharedTile<T, kExtent, kDepth, kAlongK>;
  using Lanes = std::conditional_t<sizeof(T) == 4, MmaLanes, SimtLanes>;
  std::set<int> seen;
  for (int i = 0; i < kExtent; ++i) {
    for (int k = 0; k < kDepth; ++k) seen.insert(Tile::at(i, k));
  }
  CHECK(seen.size() == std::size_t{kExtent} * kDepth);
  CHECK(*seen.begin() == 0 && *seen.rbegin() < Tile::kSize);
  CHECK(Tile::kStride * sizeof(T) % 16 == 0);
  constexpr int kWords = sizeof(T) / 4;
  CHECK(conflicts<Tile, Lanes, true>(kWords) == 1);
  CHECK(conflicts<Tile, Lanes, false>(kWords) == 1);
}

template <TileShape tile, class T>
void check_layouts() {
  check_layout<T, tile.m, tile.k, true>();
  check_layout<T, tile.m, tile.k, false>();
  check_layout<T, tile.n, tile.k, true>();
  check_layout<T, tile.n, tile.k, false>();
}

}  // namespace

TEST("tiles in shared memory are one to one, and read without bank conflicts") {
  check_layouts<kLarge, float>();
  check_layouts<kMedium, float>();
  check_layouts<kSmall, float>();
  check_layouts<kNarrow, float>();
  check_layouts<kMediumF64, double>();
  check_layouts<kSmallF64, double>();
}

TEST("the lanes of a fragment hold every element once") {
  std::set<std::pair<int, int>> left, right, sum;
  for (int lane = 0; lane < 32; ++lane) {
    for (int e = 0; e < 4; ++e) {
      left.insert({MmaLanes::left_at(lane, e).i, MmaLanes::left_at(lane, e).k});
      sum.insert({accumulated(lane, e).i, accumulated(lane, e).k});
    }
    for (int e = 0; e < 2; ++e) {
      right.insert({MmaLanes::right_at(lane, e).i, MmaLanes::right_at(lane, e).k});
    }
  }
  CHECK(left.size() == 16 * 8 && right.size() == 8 * 8 && sum.size() == 16 * 8);
  CHECK(left.rbegin()->first == 15 && right.rbegin()->first == 7 && sum.rbegin()->first == 15);
}

TEST("small products are spread over the GPU, large ones use large tiles") {
  const Machine machine{132, std::size_t{32} << 20, 4096};
  const auto best = [&](Workload w) {
    return choose(machine, w, Rate{170, 18, 1}, kLarge, kMedium, kSmall, kNarrow);
  };
  const auto blocks = [](Workload w, const Choice& c) {
    return detail::pieces(w.m, c.tile.m) * detail::pieces(w.n, c.tile.n) * w.batch * c.splits;
  };
  const Workload hidden{128, 128, 1, 1, 784}, output{128, 10, 1, 1, 128},
      wide{4096, 4096, 1, 1, 4096};
  CHECK(blocks(hidden, best(hidden)) >= 64);
  CHECK(blocks(output, best(output)) >= 4);
  CHECK(best(wide).tile == kLarge && best(wide).splits == 1);
  for (const std::int64_t m : {1, 10, 100, 1000, 10000}) {
    for (const std::int64_t k : {1, 31, 784, 100000}) {
      for (const bool grouped : {false, true}) {
        const Workload w{m, 64, 1, grouped ? k : 1, grouped ? 3 : k, 1, grouped};
        const Choice c = best(w);
        const std::int64_t per_segment = detail::pieces(w.length, c.tile.k);
        const std::int64_t chunks = w.segments * per_segment;
        CHECK(std::int64_t{c.splits} * c.chunks_per_split >= chunks);
        CHECK((std::int64_t{c.splits} - 1) * c.chunks_per_split < chunks);
        CHECK(!grouped || c.chunks_per_split % per_segment == 0);
        CHECK(c.splits == 1 || 4 * partial_size(c.tile, 1) * blocks(w, c) <= std::int64_t{32}
                                                                                 << 20);
      }
    }
  }
}
