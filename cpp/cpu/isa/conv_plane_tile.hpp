// Micro-kernels for weight gradients with pixels as lanes: channels of output adjoints and of
// images are planes whose pixels lie in the same order, so that a weight's gradient is the product
// of two planes, one of them shifted by a tap. Also brings channels into planes.
#pragma once

#include <cstring>
#include <utility>

#include "cpu/isa/simd.hpp"

namespace hesscore::cpu::HC_ISA {

// Products of `Rows` planes of y with x at `Taps` offsets.
template <class T>
struct PlaneTile {
  const T* y;
  std::int64_t y_plane;
  const T* x;
  const std::int64_t* offsets;
  std::int64_t length;  // of a plane, whole vectors
  T* sums;              // (Rows, Taps), rounded up to whole vectors
};

template <class T>
using PlaneKernel = void (*)(const PlaneTile<T>&);

inline constexpr int kPlaneRows = kVectorRegisters == 32 ? 6 : 3;

// Taps for which accumulators, vectors of y and one of x fill the registers.
constexpr int plane_taps(int rows) {
  constexpr int kMost = 9;  // pointers
  const int taps = (kVectorRegisters - 1 - rows) / rows;
  return taps < kMost ? taps : kMost;
}
inline constexpr int kPlaneTaps = plane_taps(1);

// sums += lane by lane what the accumulators hold
template <int Count, class T>
HC_INLINE void add_lanes(const Vec<T>* acc, T* sums) {
  constexpr int lanes = kLanes<T>;
  HC_UNROLL for (int first = 0; first < Count; first += lanes) {
    Vec<T> r[lanes] = {};
    HC_UNROLL for (int i = 0; i < lanes; ++i) {
      if (first + i < Count) r[i] = acc[first + i];
    }
    store(sums + first, load(sums + first) + lane_sums(r));
  }
}

template <int Rows, int Taps, class T>
void plane_tile(const PlaneTile<T>& t) {
  Vec<T> acc[Rows * Taps] = {};
  const T *y[Rows], *x[Taps];
  HC_UNROLL for (int i = 0; i < Rows; ++i) y[i] = t.y + i * t.y_plane;
  HC_UNROLL for (int j = 0; j < Taps; ++j) x[j] = t.x + t.offsets[j];
  const std::int64_t length = t.length;
  for (std::int64_t p = 0; p < length; p += kLanes<T>) {
    Vec<T> r[Rows];
    HC_UNROLL for (int i = 0; i < Rows; ++i) r[i] = load(y[i] + p);
    HC_UNROLL for (int j = 0; j < Taps; ++j) {
      const Vec<T> s = load(x[j] + p);
      HC_UNROLL for (int i = 0; i < Rows; ++i) {
        acc[i * Taps + j] = fma(r[i], s, acc[i * Taps + j]);
      }
    }
  }
  add_lanes<Rows * Taps>(acc, t.sums);
}

template <class T, int... RT>
constexpr auto plane_tiles(std::integer_sequence<int, RT...>) {
  constexpr auto most = [](int taps, int rows) {
    return taps < plane_taps(rows) ? taps : plane_taps(rows);
  };
  struct Table {
    PlaneKernel<T> at[sizeof...(RT)];
  };
  return Table{
      {&plane_tile<RT / kPlaneTaps + 1, most(RT % kPlaneTaps + 1, RT / kPlaneTaps + 1), T>...}};
}

// ---- channels into planes ----

// The first `present` of Side channels of pixels that follow each other, or their squares, as
// planes, with zeros up to a whole vector of pixels.
template <int Side, class T>
HC_INLINE void turn_pixels(const T* y, int present, std::int64_t pixels, bool square, T* planes,
                           std::int64_t plane) {
  constexpr int lanes = kLanes<T>;
  for (; pixels > 0; pixels -= lanes, y += Side * lanes, planes += lanes) {
    Vec<T> r[Side];
    if (pixels >= lanes) {
      HC_UNROLL for (int i = 0; i < Side; ++i) r[i] = load(y + i * lanes);
    } else {
      HC_UNROLL for (int i = 0; i < Side; ++i) {
        const std::int64_t n = pixels * Side - i * lanes;
        r[i] =
            n > 0 ? load_partial(y + i * lanes, static_cast<int>(n < lanes ? n : lanes)) : Vec<T>{};
      }
    }
    transpose_back(r);
    HC_UNROLL for (int i = 0; i < Side; ++i) {
      if (i < present) store(planes + i * plane, square ? r[i] * r[i] : r[i]);
    }
  }
}

// A row of pixels, `stride` apart, with `step` numbers of a plane for it: zeros stand behind the
// pixels, and behind the row up to a vector of them. `row`: memory for Side channels of the pixels.
template <int Side, class T>
void turn_row(const T* y, std::int64_t stride, int present, std::int64_t pixels, std::int64_t step,
              bool square, T* row, T* planes, std::int64_t plane) {
  constexpr int lanes = kLanes<T>;
  if (stride == Side) {
    turn_pixels<Side>(y, Side, pixels, square, planes, plane);
  } else {
    const std::int64_t last = pixels - 1;
    for (std::int64_t v = 0; v < last; ++v) {
      std::memcpy(row + v * Side, y + v * stride, Side * sizeof(T));  // and some of the next pixel
    }
    for (int i = 0; i < present; ++i) row[last * Side + i] = y[last * stride + i];
    turn_pixels<Side>(row, present, pixels, square, planes, plane);
  }
  for (std::int64_t v = (pixels + lanes - 1) / lanes * lanes; v < step; v += lanes) {
    for (int i = 0; i < present; ++i) store(planes + i * plane + v, Vec<T>{});
  }
}

template <class T>
using TurnRow = decltype(&turn_row<1, T>);

// For up to `present` channels.
template <class T>
TurnRow<T> turn_row_of(int present) {
  constexpr int lanes = kLanes<T>;
  if (present == 1) return &turn_row<1, T>;
  if (present == 2) return &turn_row<2, T>;
  if constexpr (lanes >= 4) {
    if (present == 3) return &turn_row<3, T>;
    if (present == 4) return &turn_row<4, T>;
  }
  if constexpr (lanes >= 8) {
    if (present <= 6) return &turn_row<6, T>;
    if (present <= 8) return &turn_row<8, T>;
  }
  return &turn_row<lanes, T>;
}

}  // namespace hesscore::cpu::HC_ISA
