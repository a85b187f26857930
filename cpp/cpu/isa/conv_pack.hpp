// Packing for convolutions: weights in the order in which the micro-kernels read them, and blocks
// of images with zeros around them.
#pragma once

#include <cstring>

#include "cpu/isa/conv_window.hpp"
#include "cpu/isa/pack.hpp"

namespace hesscore::cpu::HC_ISA {

// One vector of output channels, from `present` of them, of a convolution's weights: row
// (tap, channel read) of the panel, rows `stride` apart.
template <bool squares, class T>
void pack_filters(const Window& win, const T* w, int present, T* out, std::int64_t stride) {
  const std::int64_t k = win.depth * win.kernel_taps;
  std::int64_t channel = 0, tap = 0;
  for (std::int64_t p = 0; p < k; p += kLanes<T>) {
    Vec<T> r[kLanes<T>];
    load_transposed(w + p, k, present, k - p, r);
    const std::int64_t count = k - p;
    HC_UNROLL for (int i = 0; i < kLanes<T>; ++i) {
      if (i < count) {
        put<squares>(out + (tap * win.depth + channel) * stride, r[i]);
        if (++tap == win.kernel_taps) tap = 0, ++channel;
      }
    }
  }
}

// The same for the transpose, where output channels are the weights' second index.
template <bool squares, class T>
void pack_filters_transposed(const Window& win, const T* w, int present, T* out,
                             std::int64_t stride) {
  const std::int64_t taps = win.kernel_taps, *order = win.order;
  for (std::int64_t channel = 0; channel < win.depth; ++channel, w += win.width * taps) {
    for (std::int64_t p = 0; p < taps; p += kLanes<T>) {
      Vec<T> r[kLanes<T>];
      load_transposed(w + p, taps, present, taps - p, r);
      const std::int64_t count = taps - p;
      HC_UNROLL for (int i = 0; i < kLanes<T>; ++i) {
        if (i < count && order[p + i] >= 0) {
          put<squares>(out + (order[p + i] * win.depth + channel) * stride, r[i]);
        }
      }
    }
  }
}

// A rectangle of an image: rows and columns from (row, column) on, zero outside the image, of
// `channels` channels.
template <class T>
void copy_padded(const T* image, const Window& win, std::int64_t row, std::int64_t column,
                 std::int64_t rows, std::int64_t columns, std::int64_t channels, T* out) {
  const auto zero = [&](std::int64_t pixels) {
    std::memset(out, 0, static_cast<std::size_t>(pixels * channels) * sizeof(T));
    out += pixels * channels;
  };
  std::int64_t left = column < 0 ? -column : 0, right = column + columns - win.w;
  if (left > columns) left = columns;
  if (right < 0) right = 0;
  if (right > columns) right = columns;
  const std::int64_t middle = columns - left - right;
  for (std::int64_t i = row; i < row + rows; ++i) {
    if (i < 0 || i >= win.h || middle <= 0) {
      zero(columns);
      continue;
    }
    zero(left);
    const T* from = image + (i * win.w + column + left) * win.c;
    if (channels == win.c) {
      std::memcpy(out, from, static_cast<std::size_t>(middle * channels) * sizeof(T));
      out += middle * channels;
    } else {
      for (std::int64_t j = 0; j < middle; ++j, from += win.c, out += channels) {
        for (std::int64_t q = 0; q < channels; ++q) out[q] = from[q];
      }
    }
    zero(right);
  }
}

// The same, channel by channel: planes `plane` numbers apart.
template <class T>
void copy_planes(const T* image, const Window& win, std::int64_t row, std::int64_t column,
                 std::int64_t rows, std::int64_t columns, std::int64_t channels, std::int64_t plane,
                 T* out) {
  std::memset(out, 0, static_cast<std::size_t>(channels * plane) * sizeof(T));
  const std::int64_t first = column < 0 ? 0 : column;
  const std::int64_t last = column + columns < win.w ? column + columns : win.w;
  for (std::int64_t i = row < 0 ? 0 : row; i < row + rows && i < win.h; ++i) {
    T* line = out + (i - row) * columns;
    for (std::int64_t c = 0; c < channels; c += kLanes<T>) {
      for (std::int64_t j = first; j < last; j += kLanes<T>) {
        const int present = static_cast<int>(last - j < kLanes<T> ? last - j : kLanes<T>);
        Vec<T> r[kLanes<T>];
        load_transposed(image + (i * win.w + j) * win.c + c, win.c, present, channels - c, r);
        const std::int64_t count = channels - c;
        T* to = line + c * plane + j - column;
        HC_UNROLL for (int q = 0; q < kLanes<T>; ++q) {
          if (q < count) store_partial(to + q * plane, r[q], present);
        }
      }
    }
  }
}

}  // namespace hesscore::cpu::HC_ISA
