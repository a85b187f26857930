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
        pack_s_(problem.square_s || (problem.reps > 1 && problem.positions == 0)),
        pack_v_(problem.square_v || problem.v_along_k || parts_ == 2 ||
                tiles_.parts > kDirectTiles),
        v_items_(problem.v_batch ? problem.batch : 1),
        s_items_(problem.s_batch ? problem.batch : 1) {
    choose_depth();
    const std::int64_t work = p_.batch * parts_ * p_.rows * vectors_.n * p_.k * p_.reps;
    serial_ = work < kSerialWork;
  }

  void run() {
    const std::int64_t panel = parts_ * kPanel * depth_, tile = kTileRows * padded(depth_);
    const std::int64_t panels = at_least(at_most(kScratch / panel, vectors_.parts), 1);
    const std::int64_t tiles =
        pack_s_ ? at_least(at_most(kScratch / tile, tiles_.parts), 1) : tiles_.parts;
    const std::int64_t one = at_least(panels * panel, pack_s_ ? tiles * tile : 0);
    const std::int64_t items = at_least(at_most(kScratch / one, p_.batch), 1);
    v_packed_ = static_cast<T*>(scratch(0, items * panels * panel * sizeof(T)));
    if (pack_s_) s_packed_ = static_cast<T*>(scratch(1, items * tiles * tile * sizeof(T)));
    Block b;
    for (b.item = 0; b.item < p_.batch; b.item += items) {
      b.items = at_most(items, p_.batch - b.item);
      for (b.panel = 0; b.panel < vectors_.parts; b.panel += panels) {
        b.panels = at_most(panels, vectors_.parts - b.panel);
        for (b.tile = 0; b.tile < tiles_.parts; b.tile += tiles) {
          b.tiles = at_most(tiles, tiles_.parts - b.tile);
          for (b.k = 0; b.k < p_.k; b.k += depth_) {
            b.depth = at_most(depth_, p_.k - b.k);
            pack(b);
            multiply(b);
          }
        }
      }
    }
  }

 private:
  static constexpr std::int64_t kPanel = kTileVectors * kLanes<T>;
  static constexpr std::int64_t kDepth = 2048 / sizeof(T);         // of a block of k
  static constexpr std::int64_t kScratch = (4 << 20) / sizeof(T);  // numbers packed at a time
  static constexpr std::int64_t kDirectTiles = 2;  // V read by more tiles than this is packed
  static constexpr std::int64_t kPackDepth = 128;  // of a packing task

  struct Block {
    std::int64_t item, items, panel, panels, tile, tiles, k, depth;
  };

  static std::int64_t padded(std::int64_t k) { return (k + kLanes<T> - 1) / kLanes<T> * kLanes<T>; }

  void choose_depth() {
    if (p_.positions) {
      depth_ = at_least(kDepth / p_.positions, 1) * p_.positions;
    } else {
      const std::int64_t blocks = (p_.k + kDepth - 1) / kDepth;
      depth_ = padded((p_.k + blocks - 1) / blocks);
    }
  }

  std::int64_t columns_of(std::int64_t q) const {
    const std::int64_t begin = vectors_.begin(q) * kLanes<T>;
    return at_most(vectors_.length(q) * kLanes<T>, p_.columns - begin);
  }
  bool packed(std::int64_t q) const {
    return pack_v_ || columns_of(q) < vectors_.length(q) * kLanes<T>;
  }

  T* v_packed(const Block& b, std::int64_t item, std::int64_t q) const {
    return v_packed_ + (item * b.panels + q - b.panel) * parts_ * kPanel * depth_;
  }
  T* s_packed(const Block& b, std::int64_t item, std::int64_t t) const {
    return s_packed_ + (item * b.tiles + t - b.tile) * kTileRows * padded(depth_);
  }

  void pack(const Block& b) const {
    const std::int64_t pieces = (b.depth + kPackDepth - 1) / kPackDepth;
    const bool some_v = pack_v_ || packed(b.panel + b.panels - 1);
    const std::int64_t v_tasks = some_v ? at_most(v_items_, b.items) * b.panels * pieces : 0;
    const std::int64_t s_tasks = pack_s_ ? at_most(s_items_, b.items) * b.tiles : 0;
    for_each_task(v_tasks + s_tasks, serial_, [&](std::int64_t i) {
      if (i < v_tasks) {
        const std::int64_t item = i / (b.panels * pieces), q = b.panel + i / pieces % b.panels;
        if (packed(q)) pack_panel(b, item, q, i % pieces * kPackDepth);
      } else {
        pack_tile(b, (i - v_tasks) / b.tiles, b.tile + (i - v_tasks) % b.tiles);
      }
    });
  }

  void pack_panel(const Block& b, std::int64_t item, std::int64_t q, std::int64_t first) const {
    const std::int64_t begin = vectors_.begin(q) * kLanes<T>, k = b.k + first;
    const std::int64_t depth = at_most(kPackDepth, b.depth - first), columns = columns_of(q);
    const T* v = p_.v + (b.item + item) * p_.v_batch;
    v += p_.v_along_k ? begin * p_.v_stride + k : k * p_.v_stride + begin;
    const int vectors = vectors_.length(q);
    T* out = v_packed(b, item, q) + first * vectors * kLanes<T>;
    const std::int64_t apart = kPanel * depth_;
    const auto with = [&](auto plain, auto squares, auto both) {
      (parts_ == 2   ? both
       : p_.square_v ? squares
                     : plain)(v, p_.v_stride, depth, columns, vectors, out, apart);
    };
    if (p_.v_along_k) {
      with(&pack_transposed<Take::plain, T>, &pack_transposed<Take::squares, T>,
           &pack_transposed<Take::both, T>);
    } else {
      with(&pack_columns<Take::plain, T>, &pack_columns<Take::squares, T>,
           &pack_columns<Take::both, T>);
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

  void multiply(const Block& b) const {
    const std::int64_t tile_work = kTileRows * kTileVectors * b.depth * parts_ * p_.reps;
    const Cut chunks(b.tiles, at_least(kTaskWork / tile_work, 1));
    for_each_task(b.items * b.panels * chunks.parts, serial_, [&](std::int64_t i) {
      const std::int64_t chunk = i % chunks.parts, q = b.panel + i / chunks.parts % b.panels;
      const std::int64_t first = b.tile + chunks.begin(chunk);
      for (int part = 0; part < parts_; ++part) {
        multiply(b, i / chunks.parts / b.panels, q, first, first + chunks.length(chunk), part);
      }
    });
  }

  void multiply(const Block& b, std::int64_t item, std::int64_t q, std::int64_t first,
                std::int64_t last, int part) const {
    const std::int64_t batch = b.item + item, column = vectors_.begin(q) * kLanes<T>;
    const int vectors = vectors_.length(q);
    Tile<T> tile{};
    if (packed(q)) {
      tile.v = v_packed(b, p_.v_batch ? item : 0, q) + part * kPanel * depth_;
      tile.v_stride = vectors * kLanes<T>;
    } else {
      tile.v = p_.v + batch * p_.v_batch + b.k * p_.v_stride + column;
      tile.v_stride = p_.v_stride;
    }
    tile.k = b.depth;
    tile.columns = static_cast<int>(columns_of(q));
    tile.add = (part ? p_.add2 : p_.add) || b.k > 0;
    tile.transposed = p_.transposed;
    tile.c_stride = p_.c_stride;
    tile.scale = p_.scale;
    tile.positions = p_.positions;
    tile.reps = p_.reps;
    tile.s_rep = p_.s_rep;
    const T* bias = p_.bias && b.k == 0 ? p_.bias + batch * p_.bias_batch : nullptr;
    const T* s = (part ? p_.s2 : p_.s) + batch * p_.s_batch;
    T* c = (part ? p_.c2 : p_.c) + batch * p_.c_batch;
    for (std::int64_t t = first; t < last; ++t) {
      const std::int64_t row = tiles_.begin(t);
      point_at_s(b, item, t, s, tile);
      tile.c = c + (p_.transposed ? column * p_.c_stride + row : row * p_.c_stride + column);
      if (bias) tile.bias = bias + (p_.transposed ? row : column);
      kernel(tiles_.length(t), vectors)(tile);
    }
  }

  void point_at_s(const Block& b, std::int64_t item, std::int64_t t, const T* s,
                  Tile<T>& tile) const {
    if (pack_s_) {
      tile.s = s_packed(b, p_.s_batch ? item : 0, t);
      tile.s_stride = kTileRows;
    } else {
      const std::int64_t row = tiles_.begin(t);
      tile.s =
          s + (p_.s_layout == Layout::along_k ? row * p_.s_stride + b.k : b.k * p_.s_stride + row);
      tile.s_stride = p_.s_stride;
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
  const bool pack_s_, pack_v_;
  const std::int64_t v_items_, s_items_;
  std::int64_t depth_ = 0;
  bool serial_ = false;
  T *v_packed_ = nullptr, *s_packed_ = nullptr;
};

}  // namespace hesscore::cpu::HC_ISA
