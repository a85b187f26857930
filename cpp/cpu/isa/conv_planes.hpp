// Gradients of weights where images have few channels: pixels are vectors, and no patches are
// packed. Output adjoints get zeros behind each row, so that a row is as long as an image's with
// its padding, and taps are shifts of whole planes.
#pragma once

#include "cpu/isa/blocks.hpp"
#include "cpu/isa/conv_pack.hpp"
#include "cpu/isa/conv_plane_tile.hpp"

namespace hesscore::cpu::HC_ISA {

// Whether that takes less time than packing patches, for a sample and in cycles, as measured: a
// multiplication takes one; packing a vector of a patch takes ten, bringing one of a channel of y
// into a plane five.
inline bool is_planar(const Window& w, int lanes) {
  constexpr std::int64_t kMostChannels = 3, kMostWidth = 8, kFixed = 1000;
  if (w.step_h != 1 || w.step_w != 1 || w.depth > kMostChannels || w.width > kMostWidth) {
    return false;
  }
  const std::int64_t columns = w.depth * w.tap_count;
  const std::int64_t pixels = (w.rows * Reach(w).columns(w.columns, 1) + lanes - 1) / lanes;
  const std::int64_t vectors = w.rows * w.columns * ((columns + lanes - 1) / lanes);
  return pixels * w.width * (columns + 5) + kFixed < vectors * (w.width + 10);
}

// The sums of some samples, in the order of tiles.
template <class T>
class PlaneWeights {
 public:
  PlaneWeights(const Window& window, bool square_y, bool square_x, bool square, T scale)
      : win_(window),
        reach_(window),
        step_(reach_.columns(window.columns, 1)),
        columns_(window.depth * window.tap_count),
        square_y_(square_y),
        square_x_(square_x),
        square_(square),
        scale_(scale),
        sides_(window.width, kLanes<T>),
        rows_(window.rows, rows_of_block()),
        group_numbers_(each_tile([](const Place&) {})) {}

  // Multiplications of vectors for a sample.
  std::int64_t work() const {
    return (win_.rows * step_ / kLanes<T> + 1) * win_.groups * win_.width * columns_;
  }
  std::int64_t numbers() const { return win_.groups * group_numbers_; }

  void note(Workspace& needed) const { needed.add(needed.each[2], divide(nullptr).bytes); }

  void add(const T* y, const T* x, T* sums) const {
    const Memory m = memory();
    T* const own = square_ ? m.sample : sums;
    if (square_) clear(own, numbers());
    for (std::int64_t r = 0; r < rows_.parts; ++r) {
      for (std::int64_t group = 0; group < win_.groups; ++group) {
        copy_image(x + group * win_.depth, r, m.x);
        add_group(y + group * win_.width, r, m, own + group * group_numbers_);
      }
    }
    if (!square_) return;
    for (std::int64_t i = 0; i < numbers(); i += kLanes<T>) {
      const Vec<T> s = load(own + i);
      store(sums + i, load(sums + i) + s * s * scale_);
    }
  }

  // w (group, channel, columns) (+)= the sums of all slices
  void finish(T* sums, std::int64_t slices, const Out& w) const {
    for (std::int64_t s = 1; s < slices; ++s) {
      for (std::int64_t i = 0; i < numbers(); i += kLanes<T>) {
        store(sums + i, load(sums + i) + load(sums + s * numbers() + i));
      }
    }
    for (std::int64_t group = 0; group < win_.groups; ++group) {
      T* to = w.as<T>() + group * win_.width * columns_;
      each_tile([&](const Place& t) {
        for (std::int64_t i = 0; i < t.rows * t.taps; ++i) {
          T& out = to[(t.row + i / t.taps) * columns_ + t.column + i % t.taps];
          out = w.accumulate ? out + sums[t.sums + i] : sums[t.sums + i];
        }
      });
      sums += group_numbers_;
    }
  }

 private:
  // Rows `row ..` of y, of some channels from `channel` on, times taps `column ..`.
  struct Place {
    std::int64_t side, row, column, sums;
    int rows, taps;
  };

  template <class F>
  std::int64_t each_tile_of(std::int64_t side, std::int64_t sums, const F& body) const {
    const Cut rows(sides_.length(side), kPlaneRows);
    for (std::int64_t i = 0; i < rows.parts; ++i) {
      const Cut taps(columns_, plane_taps(rows.length(i)));
      for (std::int64_t j = 0; j < taps.parts; ++j) {
        const Place t{side,           sides_.begin(side) + rows.begin(i),
                      taps.begin(j),  sums,
                      rows.length(i), taps.length(j)};
        body(t);
        sums += padded(t.rows * t.taps);
      }
    }
    return sums;
  }
  template <class F>
  std::int64_t each_tile(const F& body) const {
    std::int64_t sums = 0;
    for (std::int64_t s = 0; s < sides_.parts; ++s) sums = each_tile_of(s, sums, body);
    return sums;
  }

  static std::int64_t padded(std::int64_t n) { return (n + kLanes<T> - 1) / kLanes<T> * kLanes<T>; }

  static void clear(T* x, std::int64_t n) {
    std::memset(x, 0, static_cast<std::size_t>(n) * sizeof(T));
  }

  // A tile's planes stay in the first cache.
  std::int64_t rows_of_block() const {
    constexpr std::int64_t kNumbers = (24 << 10) / sizeof(T);
    const std::int64_t planes = at_most(win_.width, kPlaneRows) + win_.depth;
    return at_most(at_least(kNumbers / (planes * step_), 1), win_.rows);
  }

  std::int64_t y_length() const { return padded(rows_.length(0) * step_); }
  std::int64_t y_plane() const { return y_length() + kLanes<T>; }
  std::int64_t x_plane() const {
    return padded(reach_.rows(rows_.length(0), 1) * step_ + kLanes<T> + reach_.right - reach_.left);
  }

  // The thread's: planes of y and of x, a row of y, sums of a sample, and offsets.
  struct Memory {
    T *y, *x, *row, *sample;
    std::int64_t* offsets;
    std::int64_t bytes;
  };
  Memory divide(char* base) const {
    Memory m{};
    m.bytes = 64;  // left alone, see scratch()
    const auto take = [&](std::int64_t numbers) {
      T* const at = base ? reinterpret_cast<T*>(base + m.bytes) : nullptr;
      m.bytes += (numbers * std::int64_t{sizeof(T)} + 63) / 64 * 64;
      return at;
    };
    m.y = take(sides_.length(0) * y_plane());
    m.x = take(win_.depth * x_plane());
    m.row = take(padded(win_.columns) * kLanes<T>);
    m.sample = take(square_ ? numbers() : 0);
    m.offsets = base ? reinterpret_cast<std::int64_t*>(base + m.bytes) : nullptr;
    m.bytes += columns_ * std::int64_t{sizeof(std::int64_t)};
    return m;
  }
  Memory memory() const {
    const Memory m = divide(static_cast<char*>(scratch(2, divide(nullptr).bytes)));
    std::int64_t* offset = m.offsets;
    for (std::int64_t q = 0; q < win_.depth; ++q) {
      for (std::int64_t t = 0; t < win_.tap_count; ++t) {
        const Tap& tap = win_.taps[t];
        *offset++ = q * x_plane() + (tap.row - reach_.top) * step_ + tap.column - reach_.left;
      }
    }
    return m;
  }

  void copy_image(const T* x, std::int64_t block, T* out) const {
    const std::int64_t row = rows_.begin(block) + reach_.top, plane = x_plane();
    const std::int64_t rows = reach_.rows(rows_.length(block), 1), all = win_.depth * plane;
    if (win_.c == 1) {
      copy_padded(x, win_, row, reach_.left, rows, step_, 1, out);
      clear(out + rows * step_, plane - rows * step_);
    } else {
      copy_planes(x, win_, row, reach_.left, rows, step_, win_.depth, plane, out);
    }
    if (!square_x_) return;
    for (std::int64_t i = 0; i < all; i += kLanes<T>) store(out + i, load(out + i) * load(out + i));
  }

  void copy_sides(const T* y, std::int64_t block, std::int64_t side, const Memory& m) const {
    const int present = sides_.length(side);
    const TurnRow<T> turn = turn_row_of<T>(present);
    const std::int64_t rows = rows_.length(block), stride = win_.to_c;
    y += rows_.begin(block) * win_.columns * stride + sides_.begin(side);
    for (std::int64_t u = 0; u < rows; ++u, y += win_.columns * stride) {
      turn(y, stride, present, win_.columns, step_, square_y_, m.row, m.y + u * step_, y_plane());
    }
    for (int i = 0; i < present; ++i) store(m.y + i * y_plane() + rows * step_, Vec<T>{});
  }

  void add_group(const T* y, std::int64_t block, const Memory& m, T* sums) const {
    std::int64_t done = 0;
    for (std::int64_t side = 0; side < sides_.parts; ++side) {
      copy_sides(y, block, side, m);
      done = each_tile_of(side, done, [&](const Place& t) {
        const std::int64_t plane = t.row - sides_.begin(side);
        const PlaneTile<T> tile{m.y + plane * y_plane(),
                                y_plane(),
                                m.x,
                                m.offsets + t.column,
                                padded(rows_.length(block) * step_),
                                sums + t.sums};
        kernel(t.rows, t.taps)(tile);
      });
    }
  }

  static PlaneKernel<T> kernel(int rows, int taps) {
    static constexpr auto table =
        plane_tiles<T>(std::make_integer_sequence<int, kPlaneRows * kPlaneTaps>{});
    return table.at[(rows - 1) * kPlaneTaps + taps - 1];
  }

  const Window& win_;
  const Reach reach_;
  const std::int64_t step_, columns_;
  const bool square_y_, square_x_, square_;
  const T scale_;
  const Cut sides_, rows_;
  const std::int64_t group_numbers_;
};

}  // namespace hesscore::cpu::HC_ISA
