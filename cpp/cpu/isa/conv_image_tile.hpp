// Micro-kernel for convolutions with few output channels: the lanes of a vector are as many images,
// and a tile is some output channels of pixels beside each other. Where a tap reads zeros depends
// on the pixel alone, so that such taps are left out.
#pragma once

#include <utility>

#include "cpu/isa/tile.hpp"

namespace hesscore::cpu::HC_ISA {

template <class T>
struct ImageTile {
  const T* x;                       // of the first tap and pixel: channels of lanes
  std::int64_t x_pixel;             // from one output pixel's to the next one's
  const T* w;                       // from channel to channel w_step numbers
  std::int64_t w_step;              // output channels
  std::int64_t rows, x_row, w_row;  // rows of taps ...
  std::int64_t pieces, x_piece;     // ... in pieces of `length` channels
  std::int64_t length;
  const T* bias;
  T* out;  // (Vectors, w_step) lanes
};

template <class T>
using ImageKernel = void (*)(const ImageTile<T>&);

template <int Rows, int Vectors, class T>
void image_tile(const ImageTile<T>& t) {
  Vec<T> acc[Rows][Vectors];
  HC_UNROLL for (int i = 0; i < Rows; ++i) {
    HC_UNROLL for (int j = 0; j < Vectors; ++j) acc[i][j] = t.bias ? splat(t.bias[i]) : Vec<T>{};
  }
  const std::int64_t w_step = t.w_step, x_pixel = t.x_pixel, length = t.length;
  for (std::int64_t r = 0; r < t.rows; ++r) {
    const T* w = t.w + r * t.w_row;
    for (std::int64_t piece = 0; piece < t.pieces; ++piece) {
      const T* s = t.x + r * t.x_row + piece * t.x_piece;
      for (std::int64_t p = 0; p < length; ++p, s += kLanes<T>, w += w_step) {
        Vec<T> x[Vectors];
        HC_UNROLL for (int j = 0; j < Vectors; ++j) x[j] = load(s + j * x_pixel);
        HC_UNROLL for (int i = 0; i < Rows; ++i) {
          HC_UNROLL for (int j = 0; j < Vectors; ++j) acc[i][j] = fma(splat(w[i]), x[j], acc[i][j]);
        }
      }
    }
  }
  HC_UNROLL for (int j = 0; j < Vectors; ++j) {
    HC_UNROLL for (int i = 0; i < Rows; ++i) {
      store(t.out + (j * w_step + i) * kLanes<T>, acc[i][j]);
    }
  }
}

template <class T, int... RV>
constexpr auto image_tiles(std::integer_sequence<int, RV...>) {
  struct Table {
    ImageKernel<T> at[sizeof...(RV)];
  };
  return Table{{&image_tile<RV / kTileVectors + 1, RV % kTileVectors + 1, T>...}};
}

}  // namespace hesscore::cpu::HC_ISA
