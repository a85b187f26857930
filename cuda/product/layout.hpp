// Where the numbers of a tile lie in shared memory, and which of them a lane holds: index maps that
// the host can check.
#pragma once

#include "math/hd.hpp"

namespace hesscore::cuda {

// kExtent rows (of op(a)) or columns (of op(b)) by kDepth steps of k, padded so that the 8 x 4
// lanes of a fragment hit different banks. kAlongK: k is the contiguous index, as it is in memory.
template <class T, int kExtent, int kDepth, bool kAlongK>
struct SharedTile {
  static constexpr bool kIsAlongK = kAlongK;
  static constexpr int kInner = kAlongK ? kDepth : kExtent;
  static constexpr int kOuter = kAlongK ? kExtent : kDepth;
  static constexpr int kPad = sizeof(T) == 8 ? 2 : kAlongK ? 4 : 8;
  static constexpr int kStride = kInner + kPad;
  static constexpr int kSize = kOuter * kStride;
  static constexpr int kVector = 16 / sizeof(T);  // of the wide copies

  static HC_HD constexpr int at(int i, int k) {
    return kAlongK ? i * kStride + k : k * kStride + i;
  }
};

// Which element (i, k) of its 16 rows or 8 columns is the e-th that a lane multiplies.
struct Place {
  int i, k;
};
struct MmaLanes {  // of mma.m16n8k8
  static constexpr int kSlice = 8, kLeft = 4, kRight = 2;
  static HC_HD constexpr Place left_at(int lane, int e) {
    return {lane / 4 + 8 * (e % 2), lane % 4 + 4 * (e / 2)};
  }
  static HC_HD constexpr Place right_at(int lane, int e) { return {lane / 4, lane % 4 + 4 * e}; }
};
struct SimtLanes {
  static constexpr int kSlice = 1, kLeft = 2, kRight = 2;
  static HC_HD constexpr Place left_at(int lane, int e) { return {lane / 4 + 8 * e, 0}; }
  static HC_HD constexpr Place right_at(int lane, int e) { return {2 * (lane % 4) + e, 0}; }
};
// The accumulators of all: {(g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1)}, g = lane / 4,
// t = lane % 4.
HC_HD constexpr Place accumulated(int lane, int e) {
  return {lane / 4 + 8 * (e / 2), 2 * (lane % 4) + e % 2};
}

}  // namespace hesscore::cuda
