// Cuts a convolution into blocks of output pixels, packs its weights once, copies the images of a
// block where zeros surround them, and spreads blocks and panels of channels over the pool.
#pragma once

#include "cpu/isa/blocks.hpp"
#include "cpu/isa/conv_pack.hpp"
#include "cpu/isa/conv_tile.hpp"

namespace hesscore::cpu::HC_ISA {

template <class T>
struct WindowOperands {
  const T *x, *x2, *w, *bias;  // x2: a second sum, with the squares of the same weights
  T *y, *y2;
  bool add, add2, square_w;
  Finish<T> finish;
};

template <class T>
class WindowProduct {
 public:
  WindowProduct(const Window& window, const WindowOperands<T>& operands)
      : win_(window),
        o_(operands),
        by_channel_(window.by_channel()),
        parts_(operands.x2 ? 2 : 1),
        groups_(by_channel_ ? 1 : window.groups),
        depth_(by_channel_ ? window.c : window.depth),
        width_(by_channel_ ? window.to_c : window.width),
        k_(window.tap_count * (by_channel_ ? 1 : window.depth)),
        reach_(window),
        narrow_(is_narrow(window)),
        skips_(skips_taps(window)),
        copies_(narrow_ || !reach_.inside(window) || (groups_ > 1 && window.tap_count > 1)),
        vectors_((width_ + kLanes<T> - 1) / kLanes<T>, kTileVectors),
        rows_(window.rows, rows_of_block()),
        images_(window.n, images_of_block()) {}

  void run() {
    if (Workspace* needed = rehearsal()) return note(*needed);
    list_runs();
    pack();
    job_ = new_job();
    const std::int64_t panels = groups_ * vectors_.parts;
    for_each_task(images_.parts * rows_.parts * panels, serial(), [&](std::int64_t i) {
      multiply(i / panels, i % panels / vectors_.parts, i % vectors_.parts);
    });
  }

  // Are there many taps on zeros, so that pixels of several images that have the same ones should
  // share a tile?
  static bool skips_taps(const Window& w) {
    constexpr std::int64_t kMostPixels = 256, kLeastDepth = 32;
    if (w.by_channel() || is_narrow(w) || w.rows * w.columns > kMostPixels ||
        w.depth < kLeastDepth || w.tap_count > kMostTaps) {
      return false;
    }
    return 10 * taps_inside(w) < 9 * w.rows * w.columns * w.tap_count;
  }
  // Do pixels fill vectors better than output channels?
  static bool is_narrow(const Window& w) {
    if (w.by_channel() || w.step_w != 1 || w.width > at_most(kTileRows, kLanes<T>)) {
      return false;
    }
    const std::int64_t vectors = (w.columns + kLanes<T> - 1) / kLanes<T>;
    return 6 * vectors * w.width < 5 * w.columns;
  }

 private:
  static constexpr std::int64_t kDepth = 2048 / sizeof(T);  // of a block of k
  static constexpr std::int64_t kBlockPixels = 256, kMostTaps = 64;
  enum Buffer { copy_buffer = 2, pixel_buffer, weight_buffer, run_buffer = 7 };

  std::int64_t pixels() const { return win_.rows * win_.columns; }
  std::int64_t block_pixels() const {
    const std::int64_t least = kTaskWork / at_least(k_ * vectors_.length(0), 1);
    return at_least(kBlockPixels, least);
  }
  std::int64_t rows_of_block() const {
    if (skips_) return at_least(win_.rows, 1);
    return at_least(at_most(block_pixels() / win_.columns, win_.rows), 1);
  }
  std::int64_t images_of_block() const {
    if (skips_ && win_.n > kTileRows) {
      return at_least(block_pixels() / pixels() / kTileRows, 1) * kTileRows;
    }
    return rows_.parts > 1 ? 1 : at_least(block_pixels() / pixels(), 1);
  }
  bool serial() const {
    const std::int64_t vectors = groups_ * vectors_.n;
    return win_.n * pixels() * vectors * (k_ + 2) * parts_ < kSerialWork;
  }

  // ---- the contiguous pieces of a patch, in blocks of at most about kDepth steps ----

  // In a copied block, or in the image itself.
  std::int64_t row_step() const {
    return copies_ ? reach_.columns(win_.columns, win_.step_w) * pixel_step() : win_.w * win_.c;
  }
  std::int64_t pixel_step() const { return narrow_ ? 1 : copies_ ? depth_ : win_.c; }
  std::int64_t offset_of(const Tap& t) const {
    return copies_ ? (t.row - reach_.top) * row_step() + (t.column - reach_.left) * pixel_step()
                   : t.row * row_step() + t.column * pixel_step();
  }

  void list_runs() {
    const std::int64_t pieces = by_channel_ ? 1 : (depth_ + kDepth - 1) / kDepth + 1;
    const std::int64_t most = win_.tap_count * pieces + 1;
    constexpr std::int64_t kSize = sizeof(Run) + sizeof(std::int64_t);
    runs_ = static_cast<Run*>(scratch(run_buffer, most * kSize));
    blocks_ = reinterpret_cast<std::int64_t*>(runs_ + most);
    run_count_ = block_count_ = 0;
    const std::int64_t piece = by_channel_ ? 1 : depth_;
    for (std::int64_t t = 0; t < win_.tap_count; ++t) {
      const std::int64_t offset = offset_of(win_.taps[t]);
      Run* last = run_count_ > 0 ? runs_ + run_count_ - 1 : nullptr;
      if (last && !by_channel_ && !narrow_ && !skips_ && last->offset + last->length == offset &&
          last->length + piece <= kDepth) {
        last->length += piece;
        continue;
      }
      for (std::int64_t done = 0; done < piece;) {
        const std::int64_t length = narrow_ ? piece : at_most(piece - done, kDepth);
        runs_[run_count_++] = {offset + done, length, t * piece + done, t};
        done += length;
      }
    }
    for (std::int64_t r = 0, begin = 0; r < run_count_; ++r) {
      const std::int64_t end = runs_[r].step + runs_[r].length;
      if (r > 0 && (narrow_ || end - begin <= kDepth)) continue;
      begin = runs_[r].step;
      blocks_[block_count_++] = r;
    }
    if (run_count_ == 0) blocks_[block_count_++] = 0;
  }

  // ---- packing ----

  std::int64_t panel_offset(std::int64_t group, std::int64_t q, int part) const {
    return ((part * groups_ + group) * vectors_.n + vectors_.begin(q)) * kLanes<T> * k_;
  }

  std::int64_t packed_bytes() const {
    constexpr std::int64_t kAhead = 8 * kTileVectors * kLanes<T>;
    return (panel_offset(0, 0, parts_) + kAhead) * std::int64_t{sizeof(T)};
  }
  std::int64_t copied_numbers() const {
    return parts_ * images_.length(0) * copied_image(rows_.length(0)) + kLanes<T>;
  }

  void note(Workspace& needed) const {
    needed.add(needed.own[weight_buffer], packed_bytes());
    auto& buffers = serial() ? needed.own : needed.each;
    if (copies_) needed.add(buffers[copy_buffer], own_copy_bytes(copied_numbers(), sizeof(T)));
    const std::int64_t rows = images_.length(0) * rows_.length(0);
    needed.add(buffers[pixel_buffer],
               narrow_ ? own_copy_bytes(rows * vectors_of_row(), sizeof(PixelVector))
                       : own_copy_bytes(rows * win_.columns, sizeof(Pixel)));
  }

  void pack() {
    const std::int64_t all = groups_ * vectors_.parts;
    packed_ = static_cast<T*>(scratch(weight_buffer, packed_bytes()));
    for_each_task(all * parts_, all * k_ * kTileVectors < kSerialWork / 4, [&](std::int64_t i) {
      const std::int64_t group = i % all / vectors_.parts, q = i % vectors_.parts;
      const int part = static_cast<int>(i / all);
      T* panel = packed_ + panel_offset(group, q, part);
      (o_.square_w || part == 1) ? pack<true>(group, q, panel) : pack<false>(group, q, panel);
    });
  }

  template <bool squares>
  void pack(std::int64_t group, std::int64_t q, T* panel) const {
    const int vectors = vectors_.length(q);
    const std::int64_t taps = win_.kernel_taps;
    for (int j = 0; j < vectors; ++j) {
      const std::int64_t column = (vectors_.begin(q) + j) * kLanes<T>;
      const int present = static_cast<int>(at_most(width_ - column, kLanes<T>));
      T* out = panel + j * kLanes<T>;
      if (by_channel_ || win_.transposed) {
        const T* w = o_.w + group * win_.depth * win_.width * taps + column * taps;
        pack_filters_transposed<squares>(win_, w, present, out, vectors * kLanes<T>);
      } else {
        const T* w = o_.w + (group * win_.width + column) * win_.depth * taps;
        pack_filters<squares>(win_, w, present, out, vectors * kLanes<T>);
      }
    }
  }

  // ---- blocks ----

  struct Block {
    std::int64_t image, images, row, rows;
  };

  // Of a channel, where channels are planes.
  std::int64_t plane() const { return reach_.rows(rows_.length(0), win_.step_h) * row_step(); }
  std::int64_t copied_image(std::int64_t rows) const {
    return narrow_ ? depth_ * plane() : reach_.rows(rows, win_.step_h) * row_step();
  }

  // An output pixel of a block, from its first one on.
  std::int64_t pixel(std::int64_t image, std::int64_t row, std::int64_t column) const {
    return image * win_.to_image() +
           (row * win_.to_step_h * win_.to_w + column * win_.to_step_w) * win_.to_c;
  }

  // The patches of a block of whole rows; a smaller one of an image is the beginning of a larger
  // one. Where taps are skipped, images follow each other faster than pixels do.
  const Pixel* own_pixels(const Block& b) const {
    const std::int64_t rows = rows_.length(0), row = rows * win_.columns;
    return own_copy<Pixel>(pixel_buffer, b.images * row, job_, b.images, [&](Pixel* p) {
      const std::int64_t image = copies_ ? copied_image(rows) : win_.image();
      for (std::int64_t i = 0; i < b.images * row; ++i) {
        const std::int64_t m = skips_ ? i % b.images : i / row;
        const std::int64_t at = skips_ ? i / b.images : i % row;
        const std::int64_t u = at / win_.columns, v = at % win_.columns;
        p[i].from = m * image + u * win_.step_h * row_step() + v * win_.step_w * pixel_step();
        p[i].to = pixel(m, u, v);
        p[i].row = static_cast<std::int32_t>(u * win_.step_h);
        p[i].column = static_cast<std::int32_t>(v * win_.step_w);
      }
    });
  }

  // The runs of a block of k that some pixel of a tile finds inside its image.
  std::int64_t inside_runs(const Pixel* pixels, int count, std::int64_t first, std::int64_t last,
                           Run* runs) const {
    std::int64_t n = 0;
    for (std::int64_t r = first; r < last; ++r) {
      const Tap& tap = win_.taps[runs_[r].tap];
      bool inside = false;
      for (int i = 0; i < count; ++i) {
        inside |= win_.inside_rows(pixels[i].row + tap.row) &
                  win_.inside_columns(pixels[i].column + tap.column);
      }
      if (inside) runs[n++] = runs_[r];
    }
    return n;
  }

  // The images of a block and, after them, those of the second sum; null if they are read in place.
  const T* own_images(const Block& b, std::int64_t index, std::int64_t group) const {
    if (!copies_) return nullptr;
    const std::int64_t size = copied_image(b.rows),
                       part = images_.length(0) * copied_image(rows_.length(0));
    return own_copy<T>(copy_buffer, copied_numbers(), job_, index * groups_ + group, [&](T* out) {
      for (int p = 0; p < parts_; ++p) {
        for (std::int64_t m = 0; m < b.images; ++m) {
          const T* image = (p ? o_.x2 : o_.x) + (b.image + m) * win_.image() + group * depth_;
          const std::int64_t row = b.row * win_.step_h + reach_.top;
          const std::int64_t rows = reach_.rows(b.rows, win_.step_h);
          const std::int64_t columns = reach_.columns(win_.columns, win_.step_w);
          T* to = out + p * part + m * size;
          if (narrow_ && win_.c > 1) {
            copy_planes(image, win_, row, reach_.left, rows, columns, depth_, plane(), to);
          } else {
            copy_padded(image, win_, row, reach_.left, rows, columns, depth_, to);
          }
        }
      }
    });
  }

  void multiply(std::int64_t index, std::int64_t group, std::int64_t q) const {
    const std::int64_t i = index / rows_.parts, r = index % rows_.parts;
    const Block b{images_.begin(i), images_.length(i), rows_.begin(r), rows_.length(r)};
    const T* copied = own_images(b, index, group);
    const std::int64_t column = vectors_.begin(q) * kLanes<T>;
    const std::int64_t to =
        ((b.image * win_.to_h + win_.first_row + b.row * win_.to_step_h) * win_.to_w +
         win_.first_column) *
            win_.to_c +
        group * width_ + column;
    if (narrow_) {
      multiply_narrow(b, group, copied, to);
    } else {
      multiply(b, group, q, copied, to);
    }
    if (o_.finish.kind != kernels::Epilogue::none) finish(b, q, to);
  }

  void multiply(const Block& b, std::int64_t group, std::int64_t q, const T* copied,
                std::int64_t to) const {
    const Pixel* pixels = own_pixels(b);
    const std::int64_t column = vectors_.begin(q) * kLanes<T>;
    for (int part = 0; part < parts_; ++part) {
      PatchTile<T> tile{};
      tile.s = copied ? copied + part * images_.length(0) * copied_image(rows_.length(0))
                      : (part ? o_.x2 : o_.x) + b.image * win_.image() +
                            b.row * win_.step_h * row_step() + group * depth_;
      if (by_channel_) tile.s += column;
      tile.c = (part ? o_.y2 : o_.y) + to;
      tile.columns = static_cast<int>(at_most(width_ - column, vectors_.length(q) * kLanes<T>));
      if (part == 0 && o_.bias) tile.bias = o_.bias + group * width_ + column;
      multiply(tile, b, part, packed_ + panel_offset(group, q, part), vectors_.length(q), pixels);
    }
  }

  // All pixels of the block, one block of k after the other.
  void multiply(PatchTile<T> tile, const Block& b, int part, const T* v, int vectors,
                const Pixel* pixels) const {
    const Cut tiles(b.images * b.rows * win_.columns, kTileRows);
    Run inside[kMostTaps];  // a block has fewer
    tile.v = v;
    for (std::int64_t k = 0; k < block_count_; ++k) {
      const std::int64_t end = k + 1 < block_count_ ? blocks_[k + 1] : run_count_;
      tile.runs = runs_ + blocks_[k];
      tile.run_count = end - blocks_[k];
      tile.add = k > 0 || (part ? o_.add2 : o_.add);
      if (k > 0) tile.bias = nullptr;
      for (std::int64_t t = 0; t < tiles.parts; ++t) {
        const int rows = tiles.length(t);
        tile.pixels = pixels + tiles.begin(t);
        if (skips_) {
          tile.runs = inside;
          tile.run_count = inside_runs(tile.pixels, rows, blocks_[k], end, inside);
        }
        if (k == 0 || tile.run_count > 0) kernel(rows, vectors)(tile);
      }
    }
  }

  // Rows of pixels as vectors; a smaller block is the beginning of a larger one.
  const PixelVector* own_vectors() const {
    const std::int64_t images = images_.length(0), rows = rows_.length(0);
    return own_copy<PixelVector>(
        pixel_buffer, images * rows * vectors_of_row(), job_, 0, [&](PixelVector* p) {
          for (std::int64_t i = 0; i < images * rows; ++i) {
            const std::int64_t m = i / rows, u = i % rows;
            for (std::int64_t v = 0; v < win_.columns; v += kLanes<T>) {
              *p++ = {m * copied_image(rows) + u * win_.step_h * row_step() + v, pixel(m, u, v),
                      static_cast<int>(at_most(win_.columns - v, kLanes<T>))};
            }
          }
        });
  }
  std::int64_t vectors_of_row() const { return (win_.columns + kLanes<T> - 1) / kLanes<T>; }

  void multiply_narrow(const Block& b, std::int64_t group, const T* copied, std::int64_t to) const {
    static constexpr auto kernels =
        narrow_tiles<T>(std::make_integer_sequence<int, kTileRows * kTileVectors>{});
    const PixelVector* pixels = own_vectors();
    const Cut tiles(b.images * b.rows * vectors_of_row(), kTileVectors);
    for (int part = 0; part < parts_; ++part) {
      NarrowTile<T> tile{};
      tile.s = copied + part * images_.length(0) * copied_image(rows_.length(0));
      tile.plane = plane();
      tile.runs = runs_;
      tile.run_count = run_count_;
      tile.w = packed_ + panel_offset(group, 0, part);
      tile.c = (part ? o_.y2 : o_.y) + to;
      tile.c_stride = win_.to_step_w * win_.to_c;
      tile.bias = part == 0 && o_.bias ? o_.bias + group * width_ : nullptr;
      tile.add = part ? o_.add2 : o_.add;
      for (std::int64_t t = 0; t < tiles.parts; ++t) {
        tile.pixels = pixels + tiles.begin(t);
        kernels.at[(width_ - 1) * kTileVectors + tiles.length(t) - 1](tile);
      }
    }
  }

  // A whole image's pixels lie together where there is one phase, and only then it is wanted.
  void finish(const Block& b, std::int64_t q, std::int64_t to) const {
    const std::int64_t column = to % win_.to_c;
    if (groups_ * vectors_.parts == 1) {
      return o_.finish(to, b.images * b.rows * win_.columns * win_.to_c);
    }
    const std::int64_t columns = at_most(width_ - column % width_, vectors_.length(q) * kLanes<T>);
    for (std::int64_t i = 0; i < b.images * b.rows * win_.columns; ++i) {
      const std::int64_t row = i / win_.columns;
      o_.finish(to + pixel(row / b.rows, row % b.rows, i % win_.columns), columns);
    }
  }

  PatchKernel<T> kernel(int rows, int vectors) const {
    using All = std::make_integer_sequence<int, kTileRows * kTileVectors>;
    static constexpr auto patch = patch_tiles<T>(All{});
    static constexpr auto channel = channel_tiles<T>(All{});
    const int i = (rows - 1) * kTileVectors + vectors - 1;
    return by_channel_ ? channel.at[i] : patch.at[i];
  }

  const Window& win_;
  const WindowOperands<T>& o_;
  const bool by_channel_;
  const int parts_;
  const std::int64_t groups_, depth_, width_, k_;
  const Reach reach_;
  const bool narrow_, skips_, copies_;
  const Cut vectors_, rows_, images_;
  Run* runs_ = nullptr;
  std::int64_t* blocks_ = nullptr;  // their first runs
  std::int64_t run_count_ = 0, block_count_ = 0, job_ = 0;
  T* packed_ = nullptr;
};

}  // namespace hesscore::cpu::HC_ISA
