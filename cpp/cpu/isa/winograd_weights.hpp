// Gradients of a convolution's weights by the adjoint of Winograd's minimal filtering: 16 products
// of transformed output adjoints and images, summed over all tiles, give 3x3 weights.
#pragma once

#include "cpu/isa/blocks.hpp"
#include "cpu/isa/winograd.hpp"

namespace hesscore::cpu::HC_ISA {

template <class T>
class WinogradWeights {
 public:
  WinogradWeights(const Window& window, bool square_y, bool square_x)
      : win_(window),
        square_y_(square_y),
        square_x_(square_x),
        tiles_(window),
        row_(window.width + kLanes<T>),
        vectors_(window.depth / kLanes<T>, kTileVectors),
        blocks_(tiles_.count, kBlock) {}

  static std::int64_t tasks(const Window& w) {
    return Cut(w.depth / kLanes<T>, kTileVectors).parts;
  }

  // Item i of a batch reads y + i y_batch and x + i x_batch, and has sums (channel of y, tap,
  // channel of x).
  void run(std::int64_t items, const T* y, std::int64_t y_batch, const T* x, std::int64_t x_batch,
           T* sums) const {
    if (Workspace* needed = rehearsal()) return note(*needed);
    parallel_for(items * vectors_.parts, [&](std::int64_t i) {
      const std::int64_t item = i / vectors_.parts;
      sum_tiles(i % vectors_.parts, y + item * y_batch, x + item * x_batch,
                sums + item * win_.width * 9 * win_.depth);
    });
  }

 private:
  static constexpr std::int64_t kBlock = 64, kPoints = winograd::kPoints;  // kBlock tiles
  enum Buffer { data_buffer = 2, adjoint_buffer, sum_buffer };

  // ---- a thread's memory ----

  // From point to point; powers of two would share the first cache's sets.
  std::int64_t data_point(std::int64_t q) const {
    return (kBlock * vectors_.length(q) + 1) * kLanes<T>;
  }
  std::int64_t adjoint_point() const { return kBlock * row_ + kLanes<T>; }
  std::int64_t data_numbers() const { return kPoints * data_point(0); }
  std::int64_t adjoint_numbers() const { return kPoints * adjoint_point(); }
  std::int64_t sum_numbers() const { return kPoints * win_.width * kTileVectors * kLanes<T>; }
  std::int64_t zeros() const { return at_least(win_.depth, win_.width); }

  void note(Workspace& needed) const {
    constexpr std::int64_t kSize = sizeof(T), kOwn = 64;
    needed.add(needed.each[data_buffer], kOwn + data_numbers() * kSize);
    needed.add(needed.each[adjoint_buffer], kOwn + (adjoint_numbers() + zeros()) * kSize);
    needed.add(needed.each[sum_buffer], kOwn + sum_numbers() * kSize);
  }

  // ---- the channels of x in panel q ----

  void sum_tiles(std::int64_t q, const T* y, const T* x, T* to) const {
    T* data = winograd::own<T>(data_buffer, data_numbers());
    T* adjoints = winograd::own<T>(adjoint_buffer, adjoint_numbers() + zeros());
    T* sums = winograd::own<T>(sum_buffer, sum_numbers());
    T* nothing = adjoints + adjoint_numbers();
    std::memset(nothing, 0, static_cast<std::size_t>(zeros()) * sizeof(T));
    for (std::int64_t b = 0; b < blocks_.parts; ++b) {
      square_x_ ? turn_data<true>(b, q, x, nothing, data)
                : turn_data<false>(b, q, x, nothing, data);
      square_y_ ? turn_adjoints<true>(b, y, nothing, adjoints)
                : turn_adjoints<false>(b, y, nothing, adjoints);
      multiply(blocks_.length(b), q, adjoints, data, b > 0, sums);
    }
    store_weights(q, sums, to);
  }

  // (point, tile, channel of the panel)
  template <bool squares>
  void turn_data(std::int64_t b, std::int64_t q, const T* x, const T* zeros, T* out) const {
    const std::int64_t columns = vectors_.length(q) * kLanes<T>, tiles = blocks_.length(b);
    for (std::int64_t i = 0; i < tiles; ++i) {
      const auto at = tiles_.place(blocks_.begin(b) + i);
      const T* pixels[16];
      winograd::list_pixels<4>(x + at.image * win_.image(), win_.h, win_.w, win_.c,
                               at.row + win_.taps[0].row, at.column + win_.taps[0].column, zeros,
                               pixels);
      winograd::transform_pixels<winograd::Data, squares>(
          pixels, vectors_.begin(q) * kLanes<T>, columns, out + i * columns, data_point(q));
    }
  }

  // (point, tile, channel of y)
  template <bool squares>
  void turn_adjoints(std::int64_t b, const T* y, const T* zeros, T* out) const {
    const std::int64_t tiles = blocks_.length(b);
    for (std::int64_t i = 0; i < tiles; ++i) {
      const auto at = tiles_.place(blocks_.begin(b) + i);
      const T* pixels[4];
      winograd::list_pixels<2>(y + at.image * win_.to_image(), win_.rows, win_.columns, win_.to_c,
                               at.row, at.column, zeros, pixels);
      winograd::transform_pixels<winograd::SumsAdjoint, squares>(pixels, 0, win_.width,
                                                                 out + i * row_, adjoint_point());
    }
  }

  // sums (point, channel of y, channel of the panel) (+)= adjoints' data
  void multiply(std::int64_t tiles, std::int64_t q, const T* adjoints, const T* data, bool add,
                T* sums) const {
    const int vectors = vectors_.length(q);
    const Cut rows(win_.width, kTileRows);
    Tile<T> tile{};
    tile.s_stride = row_;
    tile.v_stride = tile.c_stride = tile.columns = vectors * kLanes<T>;
    tile.k = tiles;
    tile.add = add;
    for (std::int64_t p = 0; p < kPoints; ++p) {
      tile.v = data + p * data_point(q);
      for (std::int64_t r = 0; r < rows.parts; ++r) {
        tile.s = adjoints + p * adjoint_point() + rows.begin(r);
        tile.c = sums + (p * win_.width + rows.begin(r)) * tile.c_stride;
        kernel(rows.length(r), vectors)(tile);
      }
    }
  }

  void store_weights(std::int64_t q, const T* sums, T* to) const {
    const std::int64_t columns = vectors_.length(q) * kLanes<T>, point = win_.width * columns;
    to += vectors_.begin(q) * kLanes<T>;
    for (std::int64_t o = 0; o < win_.width; ++o, sums += columns, to += 9 * win_.depth) {
      for (std::int64_t c = 0; c < columns; c += kLanes<T>) {
        Vec<T> u[kPoints], g[9];
        HC_UNROLL for (int p = 0; p < kPoints; ++p) u[p] = load(sums + p * point + c);
        winograd::transform<winograd::FilterAdjoint>(u, g);
        HC_UNROLL for (int t = 0; t < 9; ++t) store(to + t * win_.depth + c, g[t]);
      }
    }
  }

  static TileKernel<T> kernel(int rows, int vectors) {
    static constexpr auto table = product_tiles<T, Layout::along_rows>(
        std::make_integer_sequence<int, kTileRows * kTileVectors>{});
    return table.at[(rows - 1) * kTileVectors + vectors - 1];
  }

  const Window& win_;
  const bool square_y_, square_x_;
  const winograd::Tiles tiles_;
  const std::int64_t row_;  // of a tile's channels of y; not a power of two
  const Cut vectors_, blocks_;
};

}  // namespace hesscore::cpu::HC_ISA
