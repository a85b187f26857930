// Winograd's minimal filtering F(2x2, 3x3): four neighbouring sums of a 3x3 window for 16
// multiplications in place of 36 (Winograd 1980; Lavin & Gray 2016, section 4.1).
//
//   Y = A' [ (G g G') o (B' d B) ] A,   d 4x4 numbers, g 3x3 weights, Y 2x2 sums
//   B' = [1 0 -1 0; 0 1 1 0; 0 -1 1 0; 0 1 0 -1],   A' = [1 1 1 0; 0 1 -1 -1]
//   G  = [1 0 0; 1/2 1/2 1/2; 1/2 -1/2 1/2; 0 0 1]
//
// Y is linear in g, and the adjoint of that map gives the weights' gradient of an adjoint y of Y
// for 16 multiplications, too: G' [ (A y A') o (B' d B) ] G. Constants are 1 and 1/2 alone, so that
// an error is a few eps of the largest of the four sums' terms.
#pragma once

#include "cpu/isa/conv_pack.hpp"

namespace hesscore::cpu::HC_ISA::winograd {

inline constexpr int kPoints = 16;  // products of a tile, as a 4x4 matrix

struct Data {  // B'
  static constexpr int from = 4, to = 4;
  template <class V>
  HC_INLINE void apply(const V* x, int s, V* y, int t) {
    y[0] = x[0] - x[2 * s];
    y[t] = x[s] + x[2 * s];
    y[2 * t] = x[2 * s] - x[s];
    y[3 * t] = x[s] - x[3 * s];
  }
};
struct Filter {  // G
  static constexpr int from = 3, to = 4;
  template <class V>
  HC_INLINE void apply(const V* x, int s, V* y, int t) {
    using T = std::remove_cvref_t<decltype(x[0][0])>;
    const V outer = x[0] + x[2 * s];
    y[0] = x[0];
    y[t] = T(0.5) * (outer + x[s]);
    y[2 * t] = T(0.5) * (outer - x[s]);
    y[3 * t] = x[2 * s];
  }
};
struct FilterAdjoint {  // G'
  static constexpr int from = 4, to = 3;
  template <class V>
  HC_INLINE void apply(const V* x, int s, V* y, int t) {
    using T = std::remove_cvref_t<decltype(x[0][0])>;
    const V inner = T(0.5) * (x[s] + x[2 * s]);
    y[0] = x[0] + inner;
    y[t] = T(0.5) * (x[s] - x[2 * s]);
    y[2 * t] = inner + x[3 * s];
  }
};
struct Sums {  // A'
  static constexpr int from = 4, to = 2;
  template <class V>
  HC_INLINE void apply(const V* x, int s, V* y, int t) {
    y[0] = x[0] + x[s] + x[2 * s];
    y[t] = x[s] - x[2 * s] - x[3 * s];
  }
};
struct SumsAdjoint {  // A
  static constexpr int from = 2, to = 4;
  template <class V>
  HC_INLINE void apply(const V* x, int s, V* y, int t) {
    y[0] = x[0];
    y[t] = x[0] + x[s];
    y[2 * t] = x[0] - x[s];
    y[3 * t] = -x[s];
  }
};

// y = M x M', matrices of vectors by rows.
template <class M, class V>
HC_INLINE void transform(const V (&x)[M::from * M::from], V (&y)[M::to * M::to]) {
  V half[M::to * M::from];
  HC_UNROLL for (int j = 0; j < M::from; ++j) M::apply(x + j, M::from, half + j, M::from);
  HC_UNROLL for (int i = 0; i < M::to; ++i) M::apply(half + i * M::from, 1, y + i * M::to, 1);
}

// A thread's buffer, without the bytes that are left alone, see scratch().
template <class T>
T* own(int buffer, std::int64_t numbers) {
  char* memory = static_cast<char*>(scratch(buffer, 64 + numbers * std::int64_t{sizeof(T)}));
  return reinterpret_cast<T*>(memory + 64);
}

// A convolution's output pixels in squares of 2x2, numbered image by image, row by row.
struct Tiles {
  std::int64_t rows, columns, count;  // of an image; of all

  explicit Tiles(const Window& w)
      : rows((w.rows + 1) / 2), columns((w.columns + 1) / 2), count(w.n * rows * columns) {}

  struct Place {
    std::int64_t image, row, column;  // row and column of the first output pixel
  };
  Place place(std::int64_t t) const {
    const std::int64_t of_image = rows * columns, i = t % of_image;
    return {t / of_image, 2 * (i / columns), 2 * (i % columns)};
  }
};

// The Side x Side pixels of an image (h, w, c) from (row, column) on; `zeros` outside it.
template <int Side, class T>
HC_INLINE void list_pixels(const T* image, std::int64_t h, std::int64_t w, std::int64_t c,
                           std::int64_t row, std::int64_t column, const T* zeros,
                           const T* (&pixels)[Side * Side]) {
  HC_UNROLL for (int i = 0; i < Side; ++i) {
    HC_UNROLL for (int j = 0; j < Side; ++j) {
      const std::int64_t r = row + i, q = column + j;
      const bool inside = r >= 0 && r < h && q >= 0 && q < w;
      pixels[i * Side + j] = inside ? image + (r * w + q) * c : zeros;
    }
  }
}

// out[point * step + c] for `channels` channels, a whole number of vectors, from `first` on.
template <class M, bool squares, class T>
HC_INLINE void transform_pixels(const T* const (&pixels)[M::from * M::from], std::int64_t first,
                                std::int64_t channels, T* out, std::int64_t step) {
  for (std::int64_t c = 0; c < channels; c += kLanes<T>) {
    Vec<T> x[M::from * M::from], y[kPoints];
    HC_UNROLL for (int i = 0; i < M::from * M::from; ++i) {
      x[i] = load(pixels[i] + first + c);
      if constexpr (squares) x[i] *= x[i];
    }
    transform<M>(x, y);
    HC_UNROLL for (int p = 0; p < kPoints; ++p) store(out + p * step + c, y[p]);
  }
}

// Is it a 3x3 window that moves pixel by pixel, over channels and pixels enough that this way takes
// less time? Only in float32: float64 is what others are checked with, and sums as written.
template <class T>
bool suits(const Window& w) {
  constexpr std::int64_t kLeastChannels = 32, kLeastTiles = 64;
  if (sizeof(T) != sizeof(float)) return false;
  if (w.groups > 1 || w.tap_count != 9 || w.step_h != 1 || w.step_w != 1) return false;
  if (w.to_step_h != 1 || w.to_step_w != 1) return false;
  if (w.depth < kLeastChannels || w.width < kLeastChannels) return false;
  if (w.depth % kLanes<T> != 0 || w.width % kLanes<T> != 0) return false;
  for (int t = 0; t < 9; ++t) {
    const Tap& tap = w.taps[t];
    if (tap.row != w.taps[0].row + t / 3 || tap.column != w.taps[0].column + t % 3) return false;
  }
  return Tiles(w).count >= kLeastTiles;
}

}  // namespace hesscore::cpu::HC_ISA::winograd
