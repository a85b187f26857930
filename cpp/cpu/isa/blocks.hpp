// Cuts a product into blocks that fit the caches, packs what the tiles cannot read in place, and
// spreads the tiles over the pool.
#pragma once

#include <utility>

#include "cpu/isa/own_copy.hpp"
#include "cpu/isa/pack.hpp"
#include "cpu/isa/rule.hpp"

namespace hesscore::cpu::HC_ISA {

// A V that is nowhere in memory: it packs (k .. k + depth) x (column .. column + columns) of an
// item in `vectors` vectors, or the squares of that.
template <class T>
struct Panels {
  const void* context = nullptr;
  void (*pack)(const void* context, std::int64_t item, std::int64_t k, std::int64_t depth,
               std::int64_t column, std::int64_t columns, int vectors, bool squares,
               T* out) = nullptr;
  // What the first needs for `depth` rows at a time.
  void (*note)(const void* context, std::int64_t depth, Workspace& needed) = nullptr;
};

// C (rows, columns) (+)= S (rows, k) V (k, columns), with S broadcast and V read in vectors.
template <class T>
struct Problem {
  const T* s = nullptr;
  Layout s_layout = Layout::along_k;
  std::int64_t s_stride = 0;  // of the index of S that is not contiguous
  const T* v = nullptr;
  bool v_along_k = false;     // V is stored (columns, k)
  std::int64_t v_stride = 0;  // of the index of V that is not contiguous
  Panels<T> panels = {};      // in place of v
  T* c = nullptr;
  std::int64_t c_stride = 0;
  bool transposed = false;  // C is stored (columns, rows)
  bool add = false;
  bool lower = false;  // what lies above the diagonal of C may be left out
  const T* bias = nullptr;
  std::int64_t rows = 0, columns = 0, k = 0;
  bool square_s = false, square_v = false;
  std::int64_t batch = 1, s_batch = 0, v_batch = 0, c_batch = 0, bias_batch = 0;
  // A second product with the squares of the same V, if s2 is given.
  const T* s2 = nullptr;
  T* c2 = nullptr;
  bool add2 = false;
  // S is `reps` stacked matrices. positions == 0: their sum is taken while packing; otherwise C is
  // scale * sum over all groups of `positions` steps of k of the group's product squared.
  std::int64_t positions = 0, reps = 1, s_rep = 0;
  T scale = 1;
  Finish<T> finish = {};  // applied to C, which is dense then
};

// [0, n) in `parts` pieces that differ by one at most, none above `largest`.
struct Cut {
  std::int64_t n, parts, size, longer;

  Cut(std::int64_t total, std::int64_t largest)
      : n(total),
        parts((total + largest - 1) / largest),
        size(total / parts),
        longer(total % parts) {}
  std::int64_t begin(std::int64_t i) const { return i * size + (i < longer ? i : longer); }
  int length(std::int64_t i) const { return static_cast<int>(size + (i < longer)); }
};

HC_INLINE std::int64_t at_most(std::int64_t x, std::int64_t limit) { return x < limit ? x : limit; }
HC_INLINE std::int64_t at_least(std::int64_t x, std::int64_t limit) {
  return x > limit ? x : limit;
}

template <class F>
HC_INLINE void for_each_task(std::int64_t n, bool serial, const F& body) {
  if (serial) {
    if (rehearsal() != nullptr) return;
    for (std::int64_t i = 0; i < n; ++i) body(i);
  } else {
    parallel_for(n, body);
  }
}

template <class T, Layout layout, int... RV>
constexpr auto product_tiles(std::integer_sequence<int, RV...>) {
  struct Table {
    TileKernel<T> at[sizeof...(RV)];
  };
  return Table{{&product_tile<RV / kTileVectors + 1, RV % kTileVectors + 1, layout, T>...}};
}

template <class T, int... RV>
constexpr auto grouped_tiles(std::integer_sequence<int, RV...>) {
  struct Table {
    TileKernel<T> at[sizeof...(RV)];
  };
  return Table{
      {&grouped_tile<RV / kTileVectors + 1, RV % kTileVectors + 1, Layout::along_rows, T>...}};
}

// Vector multiplications under which a thread is not woken; the size of a task in the same unit.
inline constexpr std::int64_t kSerialWork = 100'000;
inline constexpr std::int64_t kTaskWork = 32'000;
inline constexpr std::int64_t kFinishWork = 64;  // of an epilogue on one vector

template <class T>
class Blocks {
 public:
  explicit Blocks(const Problem<T>& problem)
      : p_(problem),
        parts_(problem.s2 ? 2 : 1),
        tiles_(problem.rows, problem.positions ? kTileRows / 2 : kTileRows),
        vectors_((problem.columns + kLanes<T> - 1) / kLanes<T>,
                 problem.transposed ? 2 : kTileVectors),
        serial_(work_of(problem) < kSerialWork),
        pack_s_(problem.square_s || (problem.reps > 1 && problem.positions == 0) ||
                (problem.positions == 0 && problem.s2 == nullptr &&
                 problem.s_layout == Layout::along_rows && vectors_.parts > kFewPanels &&
                 in_few_sets(problem.s_stride))),
        pack_v_(problem.square_v || problem.v_along_k || problem.panels.pack ||
                (tiles_.parts > kFewPanels && in_few_sets(problem.v_stride))) {
    choose_depth();
  }

  void run() {
    const std::int64_t tiles =
        pack_s_ ? at_most(at_least(kScratch / s_tile_size(), 1), tiles_.parts) : tiles_.parts;
    if (Workspace* needed = rehearsal()) return note(*needed, tiles);
    Block b;
    for (b.tile = 0; b.tile < tiles_.parts; b.tile += tiles) {
      b.tiles = at_most(tiles, tiles_.parts - b.tile);
      for (b.k = 0; b.k < p_.k; b.k += depth_) {
        b.depth = at_most(depth_, p_.k - b.k);
        b.job = new_job();
        multiply(b);
      }
    }
  }

 private:
  static std::int64_t work_of(const Problem<T>& p) {
    const std::int64_t vectors = (p.columns + kLanes<T> - 1) / kLanes<T>;
    const std::int64_t steps = (p.s2 ? 2 : 1) * p.k * p.reps;
    const std::int64_t finish = p.finish.kind == kernels::Epilogue::none ? 0 : kFinishWork;
    return p.batch * p.rows * vectors * (steps + finish);
  }

  enum Buffer { panel_buffer, tile_buffer };
  static constexpr std::int64_t kPanel = kTileVectors * kLanes<T>;
  static constexpr std::int64_t kDepth = 2048 / sizeof(T);  // of a block of k
  static constexpr std::int64_t kScratch =
      (512 << 10) / sizeof(T);                                  // numbers of S packed at a time
  static constexpr std::int64_t kGroup = 4, kPackedGroup = 32;  // tiles, see multiply()
  static constexpr std::int64_t kFewPanels = 4;

  // A block of the iteration space: the first and the number of tiles of S and steps of k.
  struct Block {
    std::int64_t tile, tiles, k, depth, job;
  };

  // Steps of k a multiple of this apart share a few sets of the first-level cache, and would be
  // fetched from the second by every tile. Large tiles hide more of that.
  static bool in_few_sets(std::int64_t stride) {
    constexpr std::int64_t kPeriod = kVectorBytes == 64 ? 4096 : 1024;
    return stride * static_cast<std::int64_t>(sizeof(T)) % kPeriod == 0;
  }
  static std::int64_t padded(std::int64_t k) { return (k + kLanes<T> - 1) / kLanes<T> * kLanes<T>; }
  std::int64_t s_tile_size() const { return kTileRows * padded(depth_); }

  void choose_depth() {
    if (p_.positions) {
      depth_ = at_least(kDepth / p_.positions, 1) * p_.positions;
    } else {
      const std::int64_t blocks = (p_.k + kDepth - 1) / kDepth;
      depth_ = padded((p_.k + blocks - 1) / blocks);
    }
  }

  std::int64_t first_column(std::int64_t q) const { return vectors_.begin(q) * kLanes<T>; }
  std::int64_t columns_of(std::int64_t q) const {
    return at_most(vectors_.length(q) * kLanes<T>, p_.columns - first_column(q));
  }
  // Whether product `part` reads panel q from a packed copy.
  bool packed(std::int64_t q, int part) const {
    return part == 1 || pack_v_ || columns_of(q) < vectors_.length(q) * kLanes<T>;
  }

  void note(Workspace& needed, std::int64_t tiles) const {
    bool packs = parts_ == 2;
    for (const std::int64_t q : {std::int64_t{0}, vectors_.parts - 1}) packs |= packed(q, 0);
    const auto add = [&](Buffer b, std::int64_t size) {
      needed.add((serial_ ? needed.own : needed.each)[b], own_copy_bytes(size, sizeof(T)));
    };
    if (packs) add(panel_buffer, parts_ * kPanel * depth_);
    if (pack_s_) add(tile_buffer, tiles * s_tile_size());
    if (p_.panels.note) p_.panels.note(p_.panels.context, at_most(depth_, p_.k), needed);
  }

  // Panel q and, after it, its squares when both are wanted; null if V is read in place.
  const T* own_panel(const Block& b, std::int64_t item, std::int64_t q) const {
    if (parts_ == 1 && !packed(q, 0)) return nullptr;
    const std::int64_t own = p_.v_batch ? item : 0;
    return own_copy<T>(panel_buffer, parts_ * kPanel * depth_, b.job, own * vectors_.parts + q,
                       [&](T* panel) { pack_panel(b, own, q, panel); });
  }

  // All tiles of the block; null if S is read in place.
  const T* own_tiles(const Block& b, std::int64_t item) const {
    if (!pack_s_) return nullptr;
    const std::int64_t own = p_.s_batch ? item : 0;
    return own_copy<T>(tile_buffer, b.tiles * s_tile_size(), b.job, own, [&](T* tiles) {
      for (std::int64_t t = 0; t < b.tiles; ++t) {
        pack_tile(b, own, b.tile + t, tiles + t * s_tile_size());
      }
    });
  }

  void pack_panel(const Block& b, std::int64_t item, std::int64_t q, T* panel) const {
    const std::int64_t column = first_column(q), columns = columns_of(q);
    const int vectors = vectors_.length(q);
    for (int part = 0; part < parts_; ++part, panel += kPanel * depth_) {
      if (!packed(q, part)) continue;
      const bool squares = p_.square_v || part == 1;
      if (p_.panels.pack) {
        p_.panels.pack(p_.panels.context, item, b.k, b.depth, column, columns, vectors, squares,
                       panel);
        continue;
      }
      const T* v = p_.v + item * p_.v_batch;
      v += p_.v_along_k ? column * p_.v_stride + b.k : b.k * p_.v_stride + column;
      const auto function = p_.v_along_k
                                ? squares ? &pack_transposed<true, T> : &pack_transposed<false, T>
                            : squares ? &pack_columns<true, T>
                                      : &pack_columns<false, T>;
      function(v, p_.v_stride, b.depth, columns, vectors, panel);
    }
  }

  void pack_tile(const Block& b, std::int64_t item, std::int64_t t, T* out) const {
    const T* s = p_.s + item * p_.s_batch;
    const int rows = tiles_.length(t);
    if (p_.s_layout == Layout::along_k) {
      s += tiles_.begin(t) * p_.s_stride + b.k;
      (p_.square_s ? pack_rows<true, T> : pack_rows<false, T>)(s, p_.s_stride, b.depth, rows, out);
    } else {
      s += b.k * p_.s_stride + tiles_.begin(t);
      (p_.square_s ? pack_rows_folded<true, T>
                   : pack_rows_folded<false, T>)(s, p_.s_stride, b.depth, rows, p_.reps, p_.s_rep,
                                                 p_.scale, out);
    }
  }

  // A task is some tiles of one panel. Panels follow each other within a group of tiles, so that a
  // thread stays with the same rows of S and C in product after product; the groups are larger
  // where each means packing the panels again, and a C stored transposed has none.
  void multiply(const Block& b) const {
    const std::int64_t tile_work = kTileRows * kTileVectors * b.depth * parts_ * p_.reps;
    const std::int64_t size = serial_ ? b.tiles : at_least(kTaskWork / tile_work, 1);
    const bool packs = parts_ == 2 || pack_v_, items_inside = packs && !p_.v_batch && p_.batch > 1;
    const bool one_group = serial_ || p_.transposed || items_inside;
    const Cut groups(b.tiles, one_group ? b.tiles : at_least(size, packs ? kPackedGroup : kGroup));
    const std::int64_t chunks = (groups.length(0) + size - 1) / size;
    const std::int64_t panels = vectors_.parts, items = p_.batch;
    for_each_task(items * groups.parts * panels * chunks, serial_, [&](std::int64_t i) {
      const std::int64_t chunk = i % chunks, rest = i / chunks;
      const std::int64_t item = items_inside ? rest % items : rest / (panels * groups.parts);
      const std::int64_t q = (items_inside ? rest / items : rest) % panels;
      const std::int64_t group = items_inside ? 0 : rest / panels % groups.parts;
      const std::int64_t begin = b.tile + groups.begin(group), length = groups.length(group);
      multiply(b, item, q, begin + length * chunk / chunks, begin + length * (chunk + 1) / chunks);
    });
  }

  void multiply(const Block& b, std::int64_t item, std::int64_t q, std::int64_t first,
                std::int64_t last) const {
    while (p_.lower && first < last && tiles_.begin(first + 1) <= first_column(q)) ++first;
    if (first == last) return;
    const T* panel = own_panel(b, item, q);
    const T* tiles = own_tiles(b, item);
    for (int part = 0; part < parts_; ++part) {
      Tile<T> tile = tile_of(b, item, q, panel, part);
      const T* s = (part ? p_.s2 : p_.s) + item * p_.s_batch;
      T* c = (part ? p_.c2 : p_.c) + item * p_.c_batch;
      const T* bias = p_.bias && b.k == 0 ? p_.bias + item * p_.bias_batch : nullptr;
      for (std::int64_t t = first; t < last; ++t) {
        const std::int64_t row = tiles_.begin(t), column = first_column(q);
        tile.s = tiles                               ? tiles + (t - b.tile) * s_tile_size()
                 : p_.s_layout == Layout::along_rows ? s + b.k * p_.s_stride + row
                                                     : s + row * p_.s_stride + b.k;
        tile.c = c + (p_.transposed ? column * p_.c_stride + row : row * p_.c_stride + column);
        if (bias) tile.bias = bias + (p_.transposed ? row : column);
        kernel(tiles_.length(t), vectors_.length(q))(tile);
      }
    }
    if (p_.finish.kind != kernels::Epilogue::none && b.k + b.depth == p_.k) finish(q, first, last);
  }

  // The epilogue of these tiles, row by row of C as it is stored.
  void finish(std::int64_t q, std::int64_t first, std::int64_t last) const {
    std::int64_t row = tiles_.begin(first), rows = tiles_.begin(last) - row;
    std::int64_t column = first_column(q), columns = columns_of(q);
    if (p_.transposed) {
      std::swap(row, column);
      std::swap(rows, columns);
    }
    for (std::int64_t r = row; r < row + rows; ++r) {
      p_.finish(r * p_.c_stride + column, columns);
    }
  }

  // What the tiles of a panel have in common.
  Tile<T> tile_of(const Block& b, std::int64_t item, std::int64_t q, const T* panel,
                  int part) const {
    const bool copy = packed(q, part);
    Tile<T> tile{};
    tile.v = copy ? panel + part * kPanel * depth_
                  : p_.v + item * p_.v_batch + b.k * p_.v_stride + first_column(q);
    tile.v_stride = copy ? vectors_.length(q) * kLanes<T> : p_.v_stride;
    tile.s_stride = pack_s_ ? kTileRows : p_.s_stride;
    tile.c_stride = p_.c_stride;
    tile.k = b.depth;
    tile.columns = static_cast<int>(columns_of(q));
    tile.add = (part ? p_.add2 : p_.add) || b.k > 0;
    tile.transposed = p_.transposed;
    tile.scale = p_.scale;
    tile.positions = p_.positions;
    tile.reps = p_.reps;
    tile.s_rep = p_.s_rep;
    return tile;
  }

  TileKernel<T> kernel(int rows, int vectors) const {
    using All = std::make_integer_sequence<int, kTileRows * kTileVectors>;
    using Half = std::make_integer_sequence<int, kTileRows / 2 * kTileVectors>;
    static constexpr auto along_k = product_tiles<T, Layout::along_k>(All{});
    static constexpr auto along_rows = product_tiles<T, Layout::along_rows>(All{});
    static constexpr auto grouped = grouped_tiles<T>(Half{});
    const int i = (rows - 1) * kTileVectors + vectors - 1;
    if (p_.positions) return grouped.at[i];
    return pack_s_ || p_.s_layout == Layout::along_rows ? along_rows.at[i] : along_k.at[i];
  }

  const Problem<T>& p_;
  const int parts_;
  const Cut tiles_, vectors_;
  const bool serial_, pack_s_, pack_v_;
  std::int64_t depth_ = 0;
};

}  // namespace hesscore::cpu::HC_ISA
