// The micro-kernels of convolutions: like those of products, but every row of S starts where its
// patch of the image does, and k runs through the contiguous pieces of a patch.
#pragma once

#include <utility>

#include "cpu/isa/tile.hpp"

namespace hesscore::cpu::HC_ISA {

// Steps of k that lie side by side in an image, counted from the first number of a patch; the steps
// before them, and the (first) tap that they belong to.
struct Run {
  std::int64_t offset, length, step = 0, tap = 0;
};

// Where the patch of an output pixel starts, and where that pixel is; the pixel of the image that a
// tap (0, 0) reads.
struct Pixel {
  std::int64_t from, to;
  std::int32_t row, column;
};

template <class T>
struct PatchTile {
  const T* s;
  const Pixel* pixels;
  const Run* runs;
  std::int64_t run_count;
  const T* v;  // packed, Vectors vectors for each step
  T* c;
  const T* bias;
  int columns;
  bool add;
};

template <class T>
using PatchKernel = void (*)(const PatchTile<T>&);

template <int Rows, int Vectors, class T>
HC_INLINE void store_pixels(const PatchTile<T>& t, const Vec<T> (&acc)[Rows][Vectors]) {
  const bool add = t.add;
  HC_UNROLL for (int j = 0; j < Vectors; ++j) {
    const int n = t.columns - j * kLanes<T>;
    T* c = t.c + j * kLanes<T>;
    if (n >= kLanes<T>) {
      const Vec<T> bias = t.bias ? load(t.bias + j * kLanes<T>) : Vec<T>{};
      HC_UNROLL for (int i = 0; i < Rows; ++i) {
        const Vec<T> x = acc[i][j] + bias;
        T* to = c + t.pixels[i].to;
        store(to, add ? load(to) + x : x);
      }
    } else {
      const Vec<T> bias = t.bias ? load_partial(t.bias + j * kLanes<T>, n) : Vec<T>{};
      HC_UNROLL for (int i = 0; i < Rows; ++i) {
        const Vec<T> x = acc[i][j] + bias;
        T* to = c + t.pixels[i].to;
        store_partial(to, add ? load_partial(to, n) + x : x, n);
      }
    }
  }
}

// C (+)= S V + bias: numbers of the patches are broadcast.
template <int Rows, int Vectors, class T>
void patch_tile(const PatchTile<T>& t) {
  constexpr int kAhead = 8;
  Vec<T> acc[Rows][Vectors] = {};
  for (std::int64_t r = 0; r < t.run_count; ++r) {
    const T* v = t.v + t.runs[r].step * Vectors * kLanes<T>;
    const T* s[Rows];
    HC_UNROLL for (int i = 0; i < Rows; ++i) s[i] = t.s + (t.pixels[i].from + t.runs[r].offset);
    const std::int64_t length = t.runs[r].length;
    for (std::int64_t p = 0; p < length; ++p, v += Vectors * kLanes<T>) {
      Vec<T> x[Vectors];
      HC_UNROLL for (int j = 0; j < Vectors; ++j) {
        x[j] = load(v + j * kLanes<T>);
        __builtin_prefetch(v + (kAhead * Vectors + j) * kLanes<T>);
      }
      HC_UNROLL for (int i = 0; i < Rows; ++i) {
        HC_UNROLL for (int j = 0; j < Vectors; ++j) {
          acc[i][j] = fma(splat(s[i][p]), x[j], acc[i][j]);
        }
      }
    }
  }
  store_pixels(t, acc);
}

// The same where every channel is a group: channels of the patches are vectors, too.
template <int Rows, int Vectors, class T>
void channel_tile(const PatchTile<T>& t) {
  Vec<T> acc[Rows][Vectors] = {};
  const T* v = t.v;
  const int last = t.columns - (Vectors - 1) * kLanes<T>;
  for (std::int64_t r = 0; r < t.run_count; ++r, v += Vectors * kLanes<T>) {
    const T* s = t.s + t.runs[r].offset;
    HC_UNROLL for (int j = 0; j < Vectors; ++j) {
      const Vec<T> x = load(v + j * kLanes<T>);
      if (j < Vectors - 1 || last >= kLanes<T>) {
        HC_UNROLL for (int i = 0; i < Rows; ++i) {
          acc[i][j] = fma(load(s + t.pixels[i].from + j * kLanes<T>), x, acc[i][j]);
        }
      } else {
        HC_UNROLL for (int i = 0; i < Rows; ++i) {
          acc[i][j] = fma(load_partial(s + t.pixels[i].from + j * kLanes<T>, last), x, acc[i][j]);
        }
      }
    }
  }
  store_pixels(t, acc);
}

// Output pixels side by side in a row, as the lanes of a vector.
struct PixelVector {
  std::int64_t from, to;
  int count;
};

template <class T>
struct NarrowTile {
  const T* s;  // planes of channels, zeros around them
  std::int64_t plane;
  const PixelVector* pixels;
  const Run* runs;
  std::int64_t run_count;
  const T* w;  // packed, one vector of output channels for each step
  T* c;
  std::int64_t c_stride;  // from pixel to pixel
  const T* bias;
  bool add;
};

template <class T>
using NarrowKernel = void (*)(const NarrowTile<T>&);

// Few output channels: weights are broadcast, and pixels are vectors.
template <int Rows, int Vectors, class T>
void narrow_tile(const NarrowTile<T>& t) {
  constexpr int kRows = Rows < kLanes<T> ? Rows : kLanes<T>;  // never more
  Vec<T> acc[Rows][Vectors] = {};
  const T* w = t.w;
  for (std::int64_t r = 0; r < t.run_count; ++r) {
    const T* s[Vectors];
    HC_UNROLL for (int j = 0; j < Vectors; ++j) s[j] = t.s + (t.pixels[j].from + t.runs[r].offset);
    const std::int64_t length = t.runs[r].length, plane = t.plane;
    for (std::int64_t p = 0; p < length; ++p, w += kLanes<T>) {
      Vec<T> x[Vectors];
      HC_UNROLL for (int j = 0; j < Vectors; ++j) {
        x[j] = load(s[j]);
        s[j] += plane;
      }
      HC_UNROLL for (int i = 0; i < Rows; ++i) {
        HC_UNROLL for (int j = 0; j < Vectors; ++j) acc[i][j] = fma(splat(w[i]), x[j], acc[i][j]);
      }
    }
  }
  alignas(kVectorBytes) T turned[kLanes<T>][kTileRows];
  const Vec<T> bias = t.bias ? load_partial(t.bias, kRows) : Vec<T>{};
  HC_UNROLL for (int j = 0; j < Vectors; ++j) {
    Vec<T> x[kTileRows] = {};
    HC_UNROLL for (int i = 0; i < Rows; ++i) x[i] = acc[i][j];
    transpose(x);
    HC_UNROLL for (int i = 0; i < kTileRows; ++i) store(turned[0] + i * kLanes<T>, x[i]);
    T* c = t.c + t.pixels[j].to;
    for (int p = 0; p < t.pixels[j].count; ++p, c += t.c_stride) {
      const Vec<T> y = load_partial(turned[p], kRows) + bias;
      store_partial(c, t.add ? load_partial(c, kRows) + y : y, kRows);
    }
  }
}

template <class T, int... RV>
constexpr auto patch_tiles(std::integer_sequence<int, RV...>) {
  struct Table {
    PatchKernel<T> at[sizeof...(RV)];
  };
  return Table{{&patch_tile<RV / kTileVectors + 1, RV % kTileVectors + 1, T>...}};
}

template <class T, int... RV>
constexpr auto channel_tiles(std::integer_sequence<int, RV...>) {
  struct Table {
    PatchKernel<T> at[sizeof...(RV)];
  };
  return Table{{&channel_tile<RV / kTileVectors + 1, RV % kTileVectors + 1, T>...}};
}

template <class T, int... RV>
constexpr auto narrow_tiles(std::integer_sequence<int, RV...>) {
  struct Table {
    NarrowKernel<T> at[sizeof...(RV)];
  };
  return Table{{&narrow_tile<RV / kTileVectors + 1, RV % kTileVectors + 1, T>...}};
}

}  // namespace hesscore::cpu::HC_ISA
