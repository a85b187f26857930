// The patches of images as panels of a product: rows are output pixels, columns (tap, channel).
#pragma once

#include "cpu/isa/blocks.hpp"
#include "cpu/isa/conv_pack.hpp"
#include "cpu/isa/conv_tile.hpp"

namespace hesscore::cpu::HC_ISA {

template <class T>
class Patches {
 public:
  // Item i of a batch starts `stride` numbers after the one before it.
  Patches(const Window& window, const T* x, std::int64_t stride)
      : win_(window), reach_(window), x_(x), stride_(stride), job_(new_job()) {}

  Panels<T> panels() const {
    return {this,
            [](const void* self, std::int64_t item, std::int64_t k, std::int64_t depth,
               std::int64_t column, std::int64_t columns, int vectors, bool squares, T* out) {
              const auto& p = *static_cast<const Patches*>(self);
              squares ? p.template pack<true>(item, k, depth, column, columns, vectors, out)
                      : p.template pack<false>(item, k, depth, column, columns, vectors, out);
            },
            [](const void* self, std::int64_t depth, Workspace& needed) {
              const std::int64_t size = static_cast<const Patches*>(self)->most_numbers(depth);
              needed.add(needed.each[kBuffer], own_copy_bytes(size, sizeof(T)));
            }};
  }

 private:
  static constexpr int kBuffer = 2;
  static constexpr int kMostRuns = kTileVectors * kLanes<T>;

  std::int64_t row_step() const { return reach_.columns(win_.columns, win_.step_w) * win_.depth; }

  // The part of a row of patches that is wanted: pieces that lie side by side in the copied images.
  int list_runs(std::int64_t column, std::int64_t columns, Run* runs) const {
    int count = 0;
    for (std::int64_t c = column; c < column + columns;) {
      const Tap& tap = win_.taps[c / win_.depth];
      const std::int64_t channel = c % win_.depth;
      const std::int64_t length = at_most(win_.depth - channel, column + columns - c);
      const std::int64_t offset =
          (tap.row - reach_.top) * row_step() + (tap.column - reach_.left) * win_.depth + channel;
      if (count > 0 && runs[count - 1].offset + runs[count - 1].length == offset) {
        runs[count - 1].length += length;
      } else {
        runs[count++] = {offset, length};
      }
      c += length;
    }
    return count;
  }

  std::int64_t numbers(std::int64_t rows, std::int64_t images) const {
    return (rows * win_.step_h + images * reach_.rows(1, win_.step_h)) * row_step() + kLanes<T>;
  }
  // Of so many output pixels, wherever they begin.
  std::int64_t most_numbers(std::int64_t depth) const {
    const std::int64_t rows = (depth + win_.columns - 2) / win_.columns + 1;
    return numbers(rows, (rows + win_.rows - 2) / win_.rows + 1);
  }

  // The padded images of some rows of output pixels: image by image, the rows that are read.
  const T* own_images(std::int64_t item, std::int64_t first, std::int64_t last) const {
    const std::int64_t images = last / win_.rows - first / win_.rows + 1;
    const std::int64_t size = numbers(last - first + 1, images);
    const std::int64_t which = (item * win_.n * win_.rows + first) * (win_.n * win_.rows) + last;
    return own_copy<T>(kBuffer, size, job_, which, [&](T* out) {
      for (std::int64_t row = first; row <= last;) {
        const std::int64_t u = row % win_.rows, rows = at_most(win_.rows - u, last - row + 1);
        const std::int64_t copied = reach_.rows(rows, win_.step_h);
        copy_padded(x_ + item * stride_ + row / win_.rows * win_.image(), win_,
                    u * win_.step_h + reach_.top, reach_.left, copied,
                    reach_.columns(win_.columns, win_.step_w), win_.depth, out);
        out += copied * row_step();
        row += rows;
      }
    });
  }

  // Whole vectors to copy for a patch. What is written behind a piece is overwritten by the next
  // one, or by the next patch.
  struct Copies {
    std::int64_t from[2 * kMostRuns], to[2 * kMostRuns];
    int count = 0;

    Copies(const Run* runs, int n) {
      std::int64_t at = 0;
      for (int r = 0; r < n; at += runs[r++].length) {
        for (std::int64_t j = 0; j < runs[r].length; j += kLanes<T>, ++count) {
          from[count] = runs[r].offset + j;
          to[count] = at + j;
        }
      }
    }
  };

  template <bool squares>
  void pack(std::int64_t item, std::int64_t k, std::int64_t depth, std::int64_t column,
            std::int64_t columns, int vectors, T* out) const {
    Run runs[kMostRuns];
    const int count = list_runs(column, columns, runs);
    const Copies copies(runs, count);
    const std::int64_t first = k / win_.columns, last = (k + depth - 1) / win_.columns;
    const T* image = own_images(item, first, last);
    std::int64_t v = k % win_.columns, left = depth - 1;
    for (std::int64_t row = first; row <= last;) {
      const std::int64_t u = row % win_.rows, rows = at_most(win_.rows - u, last - row + 1);
      for (std::int64_t i = 0; i < rows; ++i, v = 0) {
        const T* from = image + (i * win_.step_h * row_step() + v * win_.step_w * win_.depth);
        const std::int64_t n = at_most(win_.columns - v, left);
        pack_row<squares>(copies, from, n, vectors * kLanes<T>, out);
        out += n * vectors * kLanes<T>;
        left -= n;
        if (n < win_.columns - v) {
          return pack_last<squares>(runs, count, from + n * win_.step_w * win_.depth, out);
        }
      }
      image += reach_.rows(rows, win_.step_h) * row_step();
      row += rows;
    }
  }

  template <bool squares>
  void pack_row(const Copies& copies, const T* from, std::int64_t n, std::int64_t stride,
                T* out) const {
    const std::int64_t step = win_.step_w * win_.depth;
    switch (copies.count) {
      case 1:
        return pack_row<squares, 1>(copies, from, step, n, stride, out);
      case 2:
        return pack_row<squares, 2>(copies, from, step, n, stride, out);
      case 3:
        return pack_row<squares, 3>(copies, from, step, n, stride, out);
      case 4:
        return pack_row<squares, 4>(copies, from, step, n, stride, out);
      case 5:
        return pack_row<squares, 5>(copies, from, step, n, stride, out);
    }
    for (; n > 0; --n, from += step, out += stride) {
      for (int i = 0; i < copies.count; ++i) {
        put<squares>(out + copies.to[i], load(from + copies.from[i]));
      }
    }
  }

  template <bool squares, int count>
  static void pack_row(const Copies& copies, const T* from, std::int64_t step, std::int64_t n,
                       std::int64_t stride, T* out) {
    const T* x[count];
    T* y[count];
    HC_UNROLL for (int i = 0; i < count; ++i) {
      x[i] = from + copies.from[i];
      y[i] = out + copies.to[i];
    }
    for (std::int64_t p = 0; p < n; ++p) {
      HC_UNROLL for (int i = 0; i < count; ++i) {
        put<squares>(y[i] + p * stride, load(x[i] + p * step));
      }
    }
  }

  // Nothing follows the last patch.
  template <bool squares>
  static void pack_last(const Run* runs, int count, const T* from, T* out) {
    for (int r = 0; r < count; ++r) {
      const T* x = from + runs[r].offset;
      for (std::int64_t j = 0; j < runs[r].length; ++j) *out++ = squares ? x[j] * x[j] : x[j];
    }
  }

  const Window& win_;
  const Reach reach_;
  const T* x_;
  const std::int64_t stride_, job_;
};

}  // namespace hesscore::cpu::HC_ISA
