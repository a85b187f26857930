// A convolution by Winograd's minimal filtering: a task brings some tiles into 16 matrices (tile,
// channel), multiplies each with the weights of its point, and brings the products back to sums.
#pragma once

#include "cpu/isa/blocks.hpp"
#include "cpu/isa/conv_blocks.hpp"
#include "cpu/isa/winograd.hpp"

namespace hesscore::cpu::HC_ISA {

template <class T>
class WinogradProduct {
 public:
  WinogradProduct(const Window& window, const WindowOperands<T>& operands)
      : win_(window),
        o_(operands),
        parts_(operands.x2 ? 2 : 1),
        tiles_(window),
        row_(window.depth + kLanes<T>),
        vectors_(window.width / kLanes<T>, kTileVectors),
        blocks_(tiles_.count, tiles_of_block()),
        groups_(vectors_.parts, at_least(vectors_.parts * blocks_.parts / kTasks, 1)) {}

  void run() {
    if (Workspace* needed = rehearsal()) return note(*needed);
    pack();
    job_ = new_job();
    parallel_for(blocks_.parts * groups_.parts,
                 [&](std::int64_t i) { multiply(i / groups_.parts, i % groups_.parts); });
  }

 private:
  static constexpr std::int64_t kTasks = 8, kPoints = winograd::kPoints;
  enum Buffer { data_buffer = 2, product_buffer, weight_buffer, filter_buffer = 7 };

  // Their data stay in the second cache; where channels are many they are so many nevertheless that
  // the weights are not read again for a few tiles.
  std::int64_t tiles_of_block() const {
    constexpr std::int64_t kNumbers = (256 << 10) / sizeof(T), kFew = 32;
    return at_least(kNumbers / (kPoints * win_.depth) / kTileRows * kTileRows, kFew);
  }

  // ---- sizes ----

  // From point to point; powers of two would share the first cache's sets.
  std::int64_t point() const { return blocks_.length(0) * row_ + kLanes<T>; }
  std::int64_t product_point(std::int64_t q) const {
    return (blocks_.length(0) * vectors_.length(q) + 1) * kLanes<T>;
  }
  std::int64_t data_numbers() const { return kPoints * point() + win_.depth; }
  std::int64_t panel(std::int64_t q, int part) const {
    return kPoints * win_.depth * kLanes<T> * (part * vectors_.n + vectors_.begin(q));
  }
  std::int64_t product_numbers() const { return kPoints * product_point(0); }
  std::int64_t filter_numbers() const { return 9 * win_.depth * kLanes<T>; }

  void note(Workspace& needed) const {
    constexpr std::int64_t kSize = sizeof(T), kOwn = 64;
    needed.add(needed.own[weight_buffer], panel(0, parts_) * kSize);
    needed.add(needed.each[filter_buffer], kOwn + filter_numbers() * kSize);
    needed.add(needed.each[product_buffer], kOwn + product_numbers() * kSize);
    needed.add(needed.each[data_buffer], own_copy_bytes(data_numbers(), kSize));
  }

  // ---- weights: (panel, point, channel read, channel) ----

  void pack() {
    packed_ = static_cast<T*>(scratch(weight_buffer, panel(0, parts_) * std::int64_t{sizeof(T)}));
    parallel_for(parts_ * vectors_.n, [&](std::int64_t i) {
      const int part = static_cast<int>(i / vectors_.n);
      (o_.square_w || part == 1) ? pack<true>(part, i % vectors_.n)
                                 : pack<false>(part, i % vectors_.n);
    });
  }

  template <bool squares>
  void pack(int part, std::int64_t vector) {
    T* filters = winograd::own<T>(filter_buffer, filter_numbers());
    const std::int64_t column = vector * kLanes<T>;
    if (win_.transposed) {
      pack_filters_transposed<squares>(win_, o_.w + column * 9, kLanes<T>, filters, kLanes<T>);
    } else {
      pack_filters<squares>(win_, o_.w + column * win_.depth * 9, kLanes<T>, filters, kLanes<T>);
    }
    std::int64_t q = 0;
    while (q + 1 < vectors_.parts && vectors_.begin(q + 1) <= vector) ++q;
    const std::int64_t step = vectors_.length(q) * kLanes<T>;
    T* out = packed_ + panel(q, part) + (vector - vectors_.begin(q)) * kLanes<T>;
    for (std::int64_t c = 0; c < win_.depth; ++c, out += step) {
      Vec<T> g[9], u[kPoints];
      HC_UNROLL for (int t = 0; t < 9; ++t) {
        g[t] = load(filters + (t * win_.depth + c) * kLanes<T>);
      }
      winograd::transform<winograd::Filter>(g, u);
      HC_UNROLL for (int p = 0; p < kPoints; ++p) store(out + p * win_.depth * step, u[p]);
    }
  }

  // ---- blocks of tiles ----

  struct Block {
    std::int64_t first;
    int count;
  };

  // (point, tile, channel)
  const T* own_data(const Block& b, std::int64_t index, int part) const {
    return own_copy<T>(data_buffer, data_numbers(), job_, index * parts_ + part, [&](T* data) {
      T* zeros = data + kPoints * point();
      std::memset(zeros, 0, static_cast<std::size_t>(win_.depth) * sizeof(T));
      for (int i = 0; i < b.count; ++i) {
        const auto at = tiles_.place(b.first + i);
        const T* pixels[16];
        winograd::list_pixels<4>((part ? o_.x2 : o_.x) + at.image * win_.image(), win_.h, win_.w,
                                 win_.c, at.row + win_.taps[0].row, at.column + win_.taps[0].column,
                                 zeros, pixels);
        winograd::transform_pixels<winograd::Data, false>(pixels, 0, win_.depth, data + i * row_,
                                                          point());
      }
    });
  }

  void multiply(std::int64_t index, std::int64_t group) const {
    const Block b{blocks_.begin(index), blocks_.length(index)};
    const std::int64_t first = groups_.begin(group), last = first + groups_.length(group);
    for (int part = 0; part < parts_; ++part) {
      const T* data = own_data(b, index, part);
      for (std::int64_t q = first; q < last; ++q) {
        T* products = winograd::own<T>(product_buffer, product_numbers());
        multiply(b, data, q, part, products);
        sum(b, products, q, part);
      }
    }
    if (o_.finish.kind == kernels::Epilogue::none) return;
    const std::int64_t column = vectors_.begin(first) * kLanes<T>;
    const std::int64_t columns = vectors_.begin(last) * kLanes<T> - column;
    for (int i = 0; i < b.count; ++i) {
      for_each_pixel(tiles_.place(b.first + i),
                     [&](int, std::int64_t to) { o_.finish(to + column, columns); });
    }
  }

  void multiply(const Block& b, const T* data, std::int64_t q, int part, T* products) const {
    const int vectors = vectors_.length(q);
    const Cut rows(b.count, kTileRows);
    Tile<T> tile{};
    tile.s_stride = row_;
    tile.v_stride = tile.c_stride = tile.columns = vectors * kLanes<T>;
    tile.k = win_.depth;
    for (std::int64_t p = 0; p < kPoints; ++p) {
      tile.v = packed_ + panel(q, part) + p * win_.depth * tile.v_stride;
      for (std::int64_t r = 0; r < rows.parts; ++r) {
        tile.s = data + p * point() + rows.begin(r) * row_;
        tile.c = products + p * product_point(q) + rows.begin(r) * tile.c_stride;
        kernel(rows.length(r), vectors)(tile);
      }
    }
  }

  template <class F>
  void for_each_pixel(const winograd::Tiles::Place& at, const F& body) const {
    HC_UNROLL for (int i = 0; i < 4; ++i) {
      const std::int64_t row = at.row + i / 2, column = at.column + i % 2;
      if (row >= win_.rows || column >= win_.columns) continue;
      body(i, at.image * win_.to_image() + (row * win_.to_w + column) * win_.to_c);
    }
  }

  void sum(const Block& b, const T* products, std::int64_t q, int part) const {
    const std::int64_t step = vectors_.length(q) * kLanes<T>, first = vectors_.begin(q) * kLanes<T>;
    T* y = (part ? o_.y2 : o_.y) + first;
    const bool add = part ? o_.add2 : o_.add;
    const T* bias = part == 0 && o_.bias ? o_.bias + first : nullptr;
    for (int i = 0; i < b.count; ++i, products += step) {
      const auto at = tiles_.place(b.first + i);
      for (std::int64_t c = 0; c < step; c += kLanes<T>) {
        Vec<T> m[kPoints], sums[4];
        HC_UNROLL for (int p = 0; p < kPoints; ++p) m[p] =
            load(products + p * product_point(q) + c);
        winograd::transform<winograd::Sums>(m, sums);
        const Vec<T> more = bias ? load(bias + c) : Vec<T>{};
        for_each_pixel(at, [&](int k, std::int64_t to) {
          T* out = y + to + c;
          store(out, add ? load(out) + (sums[k] + more) : sums[k] + more);
        });
      }
    }
  }

  static TileKernel<T> kernel(int rows, int vectors) {
    static constexpr auto table = product_tiles<T, Layout::along_k>(
        std::make_integer_sequence<int, kTileRows * kTileVectors>{});
    return table.at[(rows - 1) * kTileVectors + vectors - 1];
  }

  const Window& win_;
  const WindowOperands<T>& o_;
  const int parts_;
  const winograd::Tiles tiles_;
  const std::int64_t row_;  // of a tile's channels; not a power of two
  const Cut vectors_, blocks_, groups_;
  std::int64_t job_ = 0;
  T* packed_ = nullptr;
};

}  // namespace hesscore::cpu::HC_ISA
