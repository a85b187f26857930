// Which tile a product is cut into, and into how many pieces along k: the least time of a small
// model of a multiprocessor.
#pragma once

#include <cstddef>
#include <cstdint>

namespace hesscore::cuda {

// A block's tile of c, its steps of k at a time, and the part of one warp.
struct TileShape {
  int m, n, k, warp_m, warp_n;

  constexpr int warps() const { return m / warp_m * (n / warp_n); }
  constexpr int threads() const { return 32 * warps(); }
  constexpr bool operator==(const TileShape&) const = default;
};
inline constexpr TileShape kLarge{128, 64, 16, 64, 32}, kMedium{64, 64, 32, 32, 32},
    kSmall{32, 32, 32, 16, 16}, kNarrow{64, 16, 32, 16, 16};
inline constexpr TileShape kMediumF64{64, 64, 16, 32, 32}, kSmallF64{32, 32, 16, 16, 16};

// What a policy costs: multiply-adds per cycle of a multiprocessor that has enough of them, and
// the cycles of a warp from one step of k to the next.
struct Rate {
  double work, step;
  int word;  // 4-byte words of a number
};

struct Machine {
  int multiprocessors;
  std::size_t workspace_bytes;
  std::int64_t tickets;
};

struct Workload {
  std::int64_t m, n, batch, segments, length;
  int parts = 1;         // products that share an operand
  bool grouped = false;  // segments are not cut
};

struct Choice {
  TileShape tile{};
  int splits = 1, chunks_per_split = 0;
  double cycles = 1e300;
};

namespace detail {

constexpr std::int64_t pieces(std::int64_t n, std::int64_t size) { return (n + size - 1) / size; }

// Estimates, in cycles: starting a block until its first tile is there; a barrier with its copies;
// a number of the epilogue; handing over partial results and finding out who is last.
inline constexpr double kBlock = 2000, kChunk = 150, kFinish = 20, kHandOver = 1500;
inline constexpr double kBytes = 40;    // from L2 in a cycle
inline constexpr double kResident = 3;  // blocks of a multiprocessor at a time
inline constexpr int kMostSplits = 64;

inline double cycles(const TileShape& t, const Workload& w, const Rate& rate, int multiprocessors,
                     std::int64_t tiles, std::int64_t splits, std::int64_t chunks) {
  const double steps = static_cast<double>(w.length < t.k ? w.length : t.k);
  const double alone = kChunk + steps * rate.step;
  const double multiply = w.parts * t.m * t.n * steps / rate.work;
  const double load = t.warps() * (w.parts * t.warp_m + t.warp_n) * steps * rate.word / 32;
  const double fetch = (w.parts * t.m + t.n) * steps * 4 * rate.word / kBytes;
  const double shared = load > fetch ? load : fetch, busy = multiply > shared ? multiply : shared;
  const auto on_each = static_cast<double>(pieces(tiles * splits, multiprocessors));
  const double resident = on_each < kResident ? on_each : kResident;
  const double chunk = resident * busy > alone + busy ? resident * busy : alone + busy;
  const double numbers = w.parts * t.m * t.n, end = kBlock + kFinish * numbers / t.threads();
  const double time = on_each / resident * (static_cast<double>(chunks) * chunk + end);
  if (splits == 1) return time;
  return time + kHandOver + static_cast<double>(splits + 1) * numbers * 4 * rate.word / kBytes;
}

}  // namespace detail

// Numbers that a block leaves for the one that adds up: its tile, and its sums of op(a)'s rows.
constexpr std::int64_t partial_size(const TileShape& t, int outputs) {
  return static_cast<std::int64_t>(outputs) * (t.m * t.n + t.m);
}

// `best`, or something better with this tile.
inline void consider(const Machine& machine, const TileShape& t, const Workload& w,
                     const Rate& rate, Choice& best) {
  const std::int64_t tiles = detail::pieces(w.m, t.m) * detail::pieces(w.n, t.n) * w.batch;
  const std::int64_t per_segment = detail::pieces(w.length, t.k);
  const std::int64_t units = w.grouped ? w.segments : w.segments * per_segment;
  const std::int64_t chunks_of_unit = w.grouped ? per_segment : 1;
  const std::int64_t bytes = partial_size(t, w.grouped ? 1 : w.parts) * 4 * rate.word * tiles;
  for (std::int64_t wanted = 1; wanted <= detail::kMostSplits;
       wanted += wanted < 4 ? 1 : wanted / 4) {
    const std::int64_t own = detail::pieces(units, wanted), splits = detail::pieces(units, own);
    if (splits > 1 && (tiles > machine.tickets ||
                       bytes * splits > static_cast<std::int64_t>(machine.workspace_bytes))) {
      continue;
    }
    const std::int64_t chunks = own * chunks_of_unit;
    const double time = detail::cycles(t, w, rate, machine.multiprocessors, tiles, splits, chunks);
    if (time < best.cycles) {
      best = {t, static_cast<int>(splits), static_cast<int>(chunks), time};
    }
  }
}

template <class... Shapes>
Choice choose(const Machine& machine, const Workload& w, const Rate& rate, const Shapes&... tiles) {
  Choice best;
  (consider(machine, tiles, w, rate, best), ...);
  return best;
}

}  // namespace hesscore::cuda
