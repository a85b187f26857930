// What the positions of a convolution's result read, axis by axis, in both directions.
#pragma once

#include "math/hd.hpp"

namespace hesscore::math {

// One axis of a convolution: the sizes of x and y, and how they hang together.
struct ConvAxis {
  int x = 1, y = 1, kernel = 1, stride = 1, pad = 0, dilation = 1;
};

// What the positions of a result read along an axis: its position number u < count, which is
// place(u), reads at its tap number t < taps, which is tap(t), the source at
// start(u) + t * reach - if the source reaches that far.
struct ConvReads {
  int count = 0, first_place = 0, step_place = 1;
  int taps = 0, first_tap = 0, step_tap = 1;
  int origin = 0, step = 1, reach = 1;

  HC_HD int place(int u) const { return first_place + u * step_place; }
  HC_HD int tap(int t) const { return first_tap + t * step_tap; }
  HC_HD int start(int u) const { return origin + u * step; }
};

HC_HD ConvReads reads_of_y(const ConvAxis& a) {
  return {a.y, 0, 1, a.kernel, 0, 1, -a.pad, a.stride, a.dilation};
}

// The positions of x that are `phase` modulo the stride: they meet every `period`-th tap, if any,
// and then nothing is left over in the division by the stride.
HC_HD ConvReads reads_of_x(const ConvAxis& a, int phase) {
  ConvReads r;
  r.first_place = phase;
  r.step_place = a.stride;
  r.count = phase < a.x ? (a.x - 1 - phase) / a.stride + 1 : 0;
  int period = 1, first = 0;
  while (period * a.dilation % a.stride != 0) ++period;
  while (first < period && (phase + a.pad - first * a.dilation) % a.stride != 0) ++first;
  if (first == period || first >= a.kernel) return r;
  r.taps = (a.kernel - 1 - first) / period + 1;
  r.first_tap = first;
  r.step_tap = period;
  r.origin = (phase + a.pad - first * a.dilation) / a.stride;
  r.reach = -(period * a.dilation / a.stride);
  return r;
}

// The same for one position and one tap, negative where there is nothing to read.
HC_HD int read_of_y(const ConvAxis& a, int u, int tap) {
  const int from = u * a.stride - a.pad + tap * a.dilation;
  return from < a.x ? from : -1;
}
HC_HD int read_of_x(const ConvAxis& a, int u, int tap) {
  const int scaled = u + a.pad - tap * a.dilation;
  if (scaled < 0 || scaled % a.stride != 0) return -1;
  const int from = scaled / a.stride;
  return from < a.y ? from : -1;
}

}  // namespace hesscore::math
