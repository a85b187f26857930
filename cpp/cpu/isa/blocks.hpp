// Cuts a product into blocks that fit the caches, packs what the tiles cannot read in place, and
// spreads the tiles over the pool.
#pragma once

#include <utility>

#include "cpu/isa/pack.hpp"
#include "cpu/parallel.hpp"

namespace hesscore::cpu::HC_ISA {

// C (rows, columns) (+)= S (rows, k) V (k, columns), with S broadcast and V read in vectors.
template <class T>
struct Problem {
  const T* s = nullptr;
  Layout s_layout = Layout::along_k;
  std::int64_t s_stride = 0;  // of the index of S that is not contiguous
  const T* v = nullptr;
  bool v_along_k = false;     // V is stored (columns, k)
  std::int64_t v_stride = 0;  // of the index of V that is not contiguous
  T* c = nullptr;
  std::int64_t c_stride = 0;
  bool transposed = false;  // C is stored (columns, rows)
  bool add = false;
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

template <class T>
class Blocks {
 public:
  explicit Blocks(const Problem<T>& problem)
      : p_(problem),
        parts_(problem.s2 ? 2 : 1),
        tiles_(problem.rows, problem.positions ? kTileRows / 2 : kTileRows),
        vectors_((problem.columns + kLanes<T> - 1) / kLanes<T>, kTileVectors),
        serial_(problem.batch * parts_ * problem.rows * vectors_.n * problem.k * problem.reps <
                kSerialWork),
        pack_s_(problem.square_s || (problem.reps > 1 && problem.positions == 0)),
        pack_v_(problem.square_v || problem.v_along_k || in_one_set(problem.v_stride)),
        pack_in_task_((serial_ || tiles_.parts <= kFewTiles) &&
                      (problem.batch == 1 || problem.v_batch)) {
    choose_depth();
  }

  void run() {
    const bool some_v = !pack_in_task_ && (parts_ == 2 || packed(vectors_.parts - 1, 0));
    const std::int64_t panel = some_v ? parts_ * kPanel * depth_ : 0;
    const std::int64_t tile = pack_s_ ? kTileRows * padded(depth_) : 0;
    const std::int64_t panels = that_fit(panel, vectors_.parts);
    const std::int64_t tiles = that_fit(tile, tiles_.parts);
    const std::int64_t items = that_fit(at_least(panels * panel, tiles * tile), p_.batch);
    v_packed_ = static_cast<T*>(scratch(0, items * panels * panel * sizeof(T)));
    s_packed_ = static_cast<T*>(scratch(1, items * tiles * tile * sizeof(T)));
    Block b;
    for (b.item = 0; b.item < p_.batch; b.item += items) {
      b.items = at_most(items, p_.batch - b.item);
      for (b.panel = 0; b.panel < vectors_.parts; b.panel += panels) {
        b.panels = at_most(panels, vectors_.parts - b.panel);
        for (b.tile = 0; b.tile < tiles_.parts; b.tile += tiles) {
          b.tiles = at_most(tiles, tiles_.parts - b.tile);
          for (b.k = 0; b.k < p_.k; b.k += depth_) {
            b.depth = at_most(depth_, p_.k - b.k);
            pack(b, some_v);
            multiply(b);
          }
        }
      }
    }
  }

 private:
  static constexpr std::int64_t kPanel = kTileVectors * kLanes<T>;
  static constexpr std::int64_t kDepth = 2048 / sizeof(T);         // of a block of k
  static constexpr std::int64_t kScratch = (2 << 20) / sizeof(T);  // numbers packed at a time
  static constexpr std::int64_t kPackDepth = 64;                   // of a packing task
  static constexpr std::int64_t kFewTiles = 2;

  // A block of the iteration space: the first and the number of batch items, panels of V, tiles of
  // S and steps of k.
  struct Block {
    std::int64_t item, items, panel, panels, tile, tiles, k, depth;
  };

  // Rows a multiple of 4 KiB apart share one set of the first-level cache: V is packed then.
  static bool in_one_set(std::int64_t stride) {
    return stride * static_cast<std::int64_t>(sizeof(T)) % 4096 == 0;
  }
  static std::int64_t padded(std::int64_t k) { return (k + kLanes<T> - 1) / kLanes<T> * kLanes<T>; }
  static std::int64_t that_fit(std::int64_t size, std::int64_t count) {
    return size == 0 ? count : at_least(at_most(kScratch / size, count), 1);
  }

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

  T* v_packed(const Block& b, std::int64_t item, std::int64_t q) const {
    return v_packed_ + (item * b.panels + q - b.panel) * parts_ * kPanel * depth_;
  }
  T* s_packed(const Block& b, std::int64_t item, std::int64_t t) const {
    return s_packed_ + (item * b.tiles + t - b.tile) * kTileRows * padded(depth_);
  }

  void pack(const Block& b, bool some_v) const {
    const std::int64_t pieces = (b.depth + kPackDepth - 1) / kPackDepth;
    const std::int64_t v_items = p_.v_batch ? b.items : 1, s_items = p_.s_batch ? b.items : 1;
    const std::int64_t v_tasks = some_v ? v_items * b.panels * pieces : 0;
    const std::int64_t s_tasks = pack_s_ ? s_items * b.tiles : 0;
    for_each_task(v_tasks + s_tasks, serial_, [&](std::int64_t i) {
      if (i < v_tasks) {
        const std::int64_t item = i / (b.panels * pieces), q = b.panel + i / pieces % b.panels;
        const std::int64_t first = i % pieces * kPackDepth;
        pack_panel(b, item, q, first, at_most(kPackDepth, b.depth - first), v_packed(b, item, q));
      } else {
        pack_tile(b, (i - v_tasks) / b.tiles, b.tile + (i - v_tasks) % b.tiles);
      }
    });
  }

  // Rows first .. first+depth-1 of panel q, and the squares after it when both are wanted.
  void pack_panel(const Block& b, std::int64_t item, std::int64_t q, std::int64_t first,
                  std::int64_t depth, T* panel) const {
    const std::int64_t column = first_column(q), k = b.k + first;
    const T* v = p_.v + (b.item + item) * p_.v_batch;
    v += p_.v_along_k ? column * p_.v_stride + k : k * p_.v_stride + column;
    const int vectors = vectors_.length(q);
    for (int part = 0; part < parts_; ++part) {
      if (!packed(q, part)) continue;
      const bool squares = p_.square_v || part == 1;
      const auto function = p_.v_along_k
                                ? squares ? &pack_transposed<true, T> : &pack_transposed<false, T>
                            : squares ? &pack_columns<true, T>
                                      : &pack_columns<false, T>;
      function(v, p_.v_stride, depth, columns_of(q), vectors,
               panel + part * kPanel * depth_ + first * vectors * kLanes<T>);
    }
  }

  void pack_tile(const Block& b, std::int64_t item, std::int64_t t) const {
    const T* s = p_.s + (b.item + item) * p_.s_batch;
    T* out = s_packed(b, item, t);
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

  // A task is some tiles of one panel.
  void multiply(const Block& b) const {
    const std::int64_t tile_work = kTileRows * kTileVectors * b.depth * parts_ * p_.reps;
    const bool whole = serial_ || pack_in_task_;
    const Cut chunks(b.tiles, whole ? b.tiles : at_least(kTaskWork / tile_work, 1));
    for_each_task(b.items * b.panels * chunks.parts, serial_, [&](std::int64_t i) {
      const std::int64_t chunk = i % chunks.parts, q = b.panel + i / chunks.parts % b.panels;
      const std::int64_t item = i / chunks.parts / b.panels;
      const std::int64_t first = b.tile + chunks.begin(chunk);
      T* panel = nullptr;
      if (!pack_in_task_) {
        panel = v_packed(b, p_.v_batch ? item : 0, q);
      } else if (parts_ == 2 || packed(q, 0)) {
        panel = static_cast<T*>(scratch(2, parts_ * kPanel * depth_ * sizeof(T)));
        pack_panel(b, item, q, 0, b.depth, panel);
      }
      for (int part = 0; part < parts_; ++part) {
        multiply(b, item, q, panel, first, first + chunks.length(chunk), part);
      }
    });
  }

  void multiply(const Block& b, std::int64_t item, std::int64_t q, const T* panel,
                std::int64_t first, std::int64_t last, int part) const {
    const std::int64_t batch = b.item + item, column = first_column(q);
    const int vectors = vectors_.length(q);
    Tile<T> tile{};
    const bool copy = packed(q, part);
    tile.v = copy ? panel + part * kPanel * depth_
                  : p_.v + batch * p_.v_batch + b.k * p_.v_stride + column;
    tile.v_stride = copy ? vectors * kLanes<T> : p_.v_stride;
    tile.k = b.depth;
    tile.columns = static_cast<int>(columns_of(q));
    tile.add = (part ? p_.add2 : p_.add) || b.k > 0;
    tile.transposed = p_.transposed;
    tile.c_stride = p_.c_stride;
    tile.scale = p_.scale;
    tile.positions = p_.positions;
    tile.reps = p_.reps;
    tile.s_rep = p_.s_rep;
    tile.s_stride = pack_s_ ? kTileRows : p_.s_stride;
    const T* s = (part ? p_.s2 : p_.s) + batch * p_.s_batch;
    T* c = (part ? p_.c2 : p_.c) + batch * p_.c_batch;
    const T* bias = p_.bias && b.k == 0 ? p_.bias + batch * p_.bias_batch : nullptr;
    for (std::int64_t t = first; t < last; ++t) {
      const std::int64_t row = tiles_.begin(t);
      tile.s = pack_s_                             ? s_packed(b, p_.s_batch ? item : 0, t)
               : p_.s_layout == Layout::along_rows ? s + b.k * p_.s_stride + row
                                                   : s + row * p_.s_stride + b.k;
      tile.c = c + (p_.transposed ? column * p_.c_stride + row : row * p_.c_stride + column);
      if (bias) tile.bias = bias + (p_.transposed ? row : column);
      kernel(tiles_.length(t), vectors)(tile);
    }
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
  const bool serial_, pack_s_, pack_v_, pack_in_task_;
  std::int64_t depth_ = 0;
  T *v_packed_ = nullptr, *s_packed_ = nullptr;
};

}  // namespace hesscore::cpu::HC_ISA
