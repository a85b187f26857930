// A convolution with images as lanes: brings rows of as many images into vectors, multiplies tile
// by tile, and brings rows of results back.
#pragma once

#include "cpu/isa/blocks.hpp"
#include "cpu/isa/conv_blocks.hpp"
#include "cpu/isa/conv_image_tile.hpp"
#include "cpu/isa/winograd_product.hpp"

namespace hesscore::cpu::HC_ISA {

template <class T>
class ImageProduct {
 public:
  ImageProduct(const Window& window, const WindowOperands<T>& operands)
      : win_(window),
        o_(operands),
        parts_(operands.x2 ? 2 : 1),
        reach_(window),
        margin_((kTileVectors - 1) * window.step_w),
        left_(at_least(reach_.left, -margin_)),
        row_columns_(at_most(reach_.left + reach_.columns(window.columns, window.step_w),
                             window.w + margin_) -
                     left_),
        tap_columns_(columns_of_taps(window)),
        images_((window.n + kLanes<T> - 1) / kLanes<T>),
        rows_(window.rows, rows_of_block()) {}

  // Whether this takes less time than the other ways.
  static bool suits(const Window& w) {
    constexpr std::int64_t kMostWidth = 8;
    if (w.groups > 1 || w.width > kMostWidth || w.to_step_w != 1 || w.n == 0) return false;
    const std::int64_t inside = taps_inside(w);
    if (inside == 0) return false;
    const WindowOperands<T> none{};
    return ImageProduct(w, none).cost(inside) < other_cost(w, inside);
  }

  void run() {
    if (Workspace* needed = rehearsal()) return note(*needed);
    pack();
    const std::int64_t steps = w_numbers() * win_.rows * win_.columns * parts_;
    for_each_task(images_ * rows_.parts, images_ * steps < kSerialWork,
                  [&](std::int64_t i) { multiply(i / rows_.parts, i % rows_.parts); });
  }

 private:
  enum Buffer { copy_buffer = 2, weight_buffer = 4 };
  struct Span {
    std::int64_t begin, end;
  };

  // In tenths of a multiplication of vectors, as measured. Tiles have a few taps on zeros in
  // common; a vector of numbers that is brought into lanes or back costs eight.
  std::int64_t cost(std::int64_t inside) const {
    const std::int64_t steps = inside * 10 / 9 * win_.depth * (10 * win_.width + 5);
    const std::int64_t turned = vectors_read() + win_.rows * win_.columns * win_.width;
    return images_ * (steps + 80 * turned);
  }

  // Each vector of pixels costs its loading, each pixel its storing; of wide tiles, those of one
  // vector leave half the registers of a small file empty.
  static std::int64_t other_cost(const Window& w, std::int64_t inside) {
    const std::int64_t vectors = (w.columns + kLanes<T> - 1) / kLanes<T>;
    const std::int64_t pixels = w.rows * w.columns, steps = w.tap_count * w.depth;
    if (WindowProduct<T>::is_narrow(w)) {
      return w.n * w.rows * (vectors * steps * (10 * w.width + 30) + 60 * w.columns);
    }
    const std::int64_t present = (w.width + kLanes<T> - 1) / kLanes<T>;
    const std::int64_t filled = present == 1 && kVectorRegisters == 16 ? 2 : present;
    const std::int64_t taps = WindowProduct<T>::skips_taps(w) ? inside : pixels * w.tap_count;
    return w.n * (taps * w.depth * 12 * filled + 100 * pixels);
  }

  static std::int64_t columns_of_taps(const Window& w) {
    std::int64_t n = 0;
    while (n < w.tap_count && w.taps[n].row == w.taps[0].row) ++n;
    return n;
  }

  // ---- sizes ----

  std::int64_t pixel() const { return win_.depth * kLanes<T>; }
  std::int64_t row_step() const { return row_columns_ * pixel(); }
  std::int64_t tap_rows() const { return win_.tap_count / tap_columns_; }
  std::int64_t w_numbers() const { return win_.tap_count * win_.depth * win_.width; }
  std::int64_t row_numbers() const { return win_.columns * win_.width; }  // of results

  // Enough blocks for threads, few enough for not reading the rows between them too often; they fit
  // the second cache.
  std::int64_t rows_of_block() const {
    constexpr std::int64_t kBlocks = 16, kNumbers = (512 << 10) / sizeof(T);
    const std::int64_t of_image = (kBlocks + images_ - 1) / at_least(images_, 1);
    const std::int64_t rows = at_least((win_.rows + of_image - 1) / of_image, tap_rows());
    const std::int64_t step = at_least(row_step() * win_.step_h, 1);
    return at_least(at_most(at_most(rows, win_.rows), kNumbers / step - tap_rows()), 1);
  }

  // The rows of an image that some output rows read.
  Span rows_read(std::int64_t first, std::int64_t rows) const {
    const std::int64_t begin = first * win_.step_h + reach_.top;
    const std::int64_t end = at_most(begin + reach_.rows(rows, win_.step_h), win_.h);
    return {at_least(begin, 0), at_least(end, at_least(begin, 0))};
  }
  // By all blocks.
  std::int64_t vectors_read() const {
    std::int64_t rows = 0;
    for (std::int64_t r = 0; r < rows_.parts; ++r) {
      const Span read = rows_read(rows_.begin(r), rows_.length(r));
      rows += read.end - read.begin;
    }
    return rows * win_.w * win_.depth;
  }
  std::int64_t most_rows() const {
    return at_most(reach_.rows(rows_.length(0), win_.step_h), win_.h);
  }

  static constexpr std::int64_t kOwn = 64 / sizeof(T);  // left alone, see scratch()
  std::int64_t copied_numbers() const {
    return kOwn + most_rows() * row_step() + (row_numbers() + kLanes<T>)*kLanes<T>;
  }
  std::int64_t packed_numbers() const {
    return kOwn + parts_ * w_numbers() + win_.tap_count * win_.depth * kLanes<T>;
  }

  void note(Workspace& needed) const {
    constexpr std::int64_t kSize = sizeof(T);
    needed.add(needed.own[weight_buffer], packed_numbers() * kSize);
    needed.add(needed.each[copy_buffer], copied_numbers() * kSize);
  }

  // ---- packing ----

  // (tap, channel, output channel), and the squares of that where they are wanted.
  void pack() {
    packed_ = static_cast<T*>(scratch(weight_buffer, packed_numbers() * std::int64_t{sizeof(T)}));
    packed_ += kOwn;
    for (int part = 0; part < parts_; ++part) {
      T* to = packed_ + part * w_numbers();
      (o_.square_w || part == 1) ? pack<true>(to) : pack<false>(to);
    }
  }

  template <bool squares>
  void pack(T* to) const {
    T* vectors = packed_ + parts_ * w_numbers();
    for (std::int64_t column = 0; column < win_.width; column += kLanes<T>) {
      const int present = static_cast<int>(at_most(win_.width - column, kLanes<T>));
      if (win_.transposed) {
        pack_filters_transposed<squares>(win_, o_.w + column * win_.kernel_taps, present, vectors,
                                         kLanes<T>);
      } else {
        pack_filters<squares>(win_, o_.w + column * win_.depth * win_.kernel_taps, present, vectors,
                              kLanes<T>);
      }
      for (std::int64_t s = 0; s < win_.tap_count * win_.depth; ++s) {
        for (int i = 0; i < present; ++i)
          to[s * win_.width + column + i] = vectors[s * kLanes<T> + i];
      }
    }
  }

  // Rows of some images -> (row, column, channel, image), zeros around them.
  void turn_images(const T* x, int present, const Span& rows, T* out) const {
    const std::int64_t first = at_least(left_, 0), last = at_most(left_ + row_columns_, win_.w);
    const std::int64_t numbers = (last - first) * win_.depth;
    for (std::int64_t row = rows.begin; row < rows.end; ++row, out += row_step()) {
      clear(out, (first - left_) * pixel());
      const T* from = x + (row * win_.w + first) * win_.c;
      T* to = out + (first - left_) * pixel();
      for (std::int64_t q = 0; q < numbers; q += kLanes<T>) {
        Vec<T> r[kLanes<T>];
        load_transposed(from + q, win_.image(), present, numbers - q, r);
        const std::int64_t count = numbers - q;
        HC_UNROLL for (int i = 0; i < kLanes<T>; ++i) {
          if (i < count) store(to + (q + i) * kLanes<T>, r[i]);
        }
      }
      clear(out + (last - left_) * pixel(), (left_ + row_columns_ - last) * pixel());
    }
  }
  static void clear(T* x, std::int64_t n) {
    std::memset(x, 0, static_cast<std::size_t>(n) * sizeof(T));
  }

  // A row of results (pixel, channel, image) -> images, which lie to_image() apart.
  void turn_back(const T* row, int present, bool add, T* to) const {
    const std::int64_t numbers = row_numbers();
    for (std::int64_t q = 0; q < numbers; q += kLanes<T>) {
      const int count = static_cast<int>(at_most(numbers - q, kLanes<T>));
      Vec<T> r[kLanes<T>];
      HC_UNROLL for (int i = 0; i < kLanes<T>; ++i) r[i] = load(row + (q + i) * kLanes<T>);
      transpose(r);
      T* out = to + q;
      HC_UNROLL for (int i = 0; i < kLanes<T>; ++i) {
        if (i >= present) break;
        store_partial(out, add ? load_partial(out, count) + r[i] : r[i], count);
        out += win_.to_image();
      }
    }
  }

  // ---- blocks ----

  void multiply(std::int64_t images, std::int64_t block) const {
    const std::int64_t image = images * kLanes<T>;
    const int present = static_cast<int>(at_most(win_.n - image, kLanes<T>));
    const std::int64_t first = rows_.begin(block), rows = rows_.length(block);
    const Span read = rows_read(first, rows);
    T* copied = static_cast<T*>(scratch(copy_buffer, copied_numbers() * std::int64_t{sizeof(T)}));
    copied += kOwn;
    T* results = copied + most_rows() * row_step();
    const std::int64_t to = image * win_.to_image() + to_row(first);
    for (int part = 0; part < parts_; ++part) {
      turn_images((part ? o_.x2 : o_.x) + image * win_.image(), present, read, copied);
      for (std::int64_t u = first; u < first + rows; ++u) {
        multiply_row(u, read.begin, copied, part, results);
        turn_back(results, present, part ? o_.add2 : o_.add,
                  (part ? o_.y2 : o_.y) + image * win_.to_image() + to_row(u));
      }
    }
    if (o_.finish.kind == kernels::Epilogue::none) return;
    for (int i = 0; i < present; ++i) o_.finish(to + i * win_.to_image(), rows * row_numbers());
  }

  std::int64_t to_row(std::int64_t u) const {
    return ((win_.first_row + u * win_.to_step_h) * win_.to_w + win_.first_column) * win_.to_c;
  }

  // The rows of taps that read rows of the image.
  Span rows_inside(std::int64_t u) const {
    Span s{0, tap_rows()};
    const auto inside = [&](std::int64_t r) {
      return win_.inside_rows(u * win_.step_h + win_.taps[r * tap_columns_].row);
    };
    while (s.begin < s.end && !inside(s.begin)) ++s.begin;
    while (s.begin < s.end && !inside(s.end - 1)) --s.end;
    return s;
  }
  // The columns of taps from the first to the last that reads a column of the image for one of
  // some pixels.
  Span columns_inside(std::int64_t v, int pixels) const {
    Span s{0, tap_columns_};
    const auto inside = [&](std::int64_t q) {
      bool some = false;
      for (std::int64_t j = v; j < v + pixels; ++j) {
        some |= win_.inside_columns(j * win_.step_w + win_.taps[q].column);
      }
      return some;
    };
    while (s.begin < s.end && !inside(s.begin)) ++s.begin;
    while (s.begin < s.end && !inside(s.end - 1)) --s.end;
    return s;
  }

  void multiply_row(std::int64_t u, std::int64_t first_row, const T* copied, int part,
                    T* results) const {
    const Span rows = rows_inside(u);
    const Tap* const taps = win_.taps;
    const std::int64_t step = win_.depth * win_.width;
    const std::int64_t apart = tap_columns_ > 1 ? taps[1].column - taps[0].column : 1;
    const std::int64_t below =
        tap_rows() > 1 ? taps[tap_columns_].row - taps[0].row : 1;  // the next row of taps
    ImageTile<T> t{};
    t.x_pixel = win_.step_w * pixel();
    t.w_step = win_.width;
    t.x_row = below * row_step();
    t.w_row = tap_columns_ * step;
    const Cut pixels(win_.columns, kTileVectors), channels(win_.width, kTileRows);
    for (std::int64_t i = 0; i < pixels.parts; ++i) {
      const std::int64_t v = pixels.begin(i);
      const Span columns = columns_inside(v, pixels.length(i));
      const std::int64_t taps_of_row = columns.end - columns.begin;
      t.rows = taps_of_row > 0 ? rows.end - rows.begin : 0;
      if (t.rows > 0) {
        t.x = copied +
              (u * win_.step_h + taps[rows.begin * tap_columns_].row - first_row) * row_step() +
              (v * win_.step_w + taps[columns.begin].column - left_) * pixel();
      }
      t.pieces = apart == 1 ? 1 : taps_of_row;
      t.x_piece = apart * pixel();
      t.length = (apart == 1 ? taps_of_row : 1) * win_.depth;
      const T* w =
          packed_ + part * w_numbers() + (rows.begin * tap_columns_ + columns.begin) * step;
      for (std::int64_t q = 0; q < channels.parts; ++q) {
        t.w = w + channels.begin(q);
        t.bias = part == 0 && o_.bias ? o_.bias + channels.begin(q) : nullptr;
        t.out = results + (v * win_.width + channels.begin(q)) * kLanes<T>;
        kernel(channels.length(q), pixels.length(i))(t);
      }
    }
  }

  static ImageKernel<T> kernel(int rows, int vectors) {
    static constexpr auto table =
        image_tiles<T>(std::make_integer_sequence<int, kTileRows * kTileVectors>{});
    return table.at[(rows - 1) * kTileVectors + vectors - 1];
  }

  const Window& win_;
  const WindowOperands<T>& o_;
  const int parts_;
  const Reach reach_;
  const std::int64_t margin_, left_, row_columns_, tap_columns_, images_;
  const Cut rows_;
  T* packed_ = nullptr;
};

// By the way that suits.
template <class T>
void run_window(const Window& window, const WindowOperands<T>& operands) {
  if (winograd::suits<T>(window)) {
    WinogradProduct<T>(window, operands).run();
  } else if (ImageProduct<T>::suits(window)) {
    ImageProduct<T>(window, operands).run();
  } else {
    WindowProduct<T>(window, operands).run();
  }
}

}  // namespace hesscore::cpu::HC_ISA
