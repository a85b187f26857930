// Kernels of the losses that join several logits: positions are handled kLanes at a time, logits
// transposed so that each lane holds one position, whatever the number of classes.
#pragma once

#include "cpu/isa/loss_data.hpp"

namespace hesscore::cpu::HC_ISA {

constexpr int kLanes = 16;

// body(lane) for every lane
template <class F>
inline __attribute__((always_inline)) void lanes(F body) {
#pragma GCC ivdep
  for (int i = 0; i < kLanes; ++i) body(i);
}

// kLanes consecutive positions of an (N, C, D) array; lanes beyond the last position repeat it.
template <class T>
struct Tile {
  const LossData<T>& data;
  std::int64_t first, classes, offsets[kLanes];
  int count;
  bool adjacent;  // all lanes belong to one sample: each logit of theirs is a run in memory
  alignas(64) T k[kLanes];  // weights

  Tile(const LossData<T>& all, std::int64_t q, std::int64_t end)
      : data(all),
        first(q),
        classes(all.spec.classes),
        count(end - q < kLanes ? static_cast<int>(end - q) : kLanes) {
    const std::int64_t depth = data.spec.positions;
    for (int i = 0; i < kLanes; ++i) {
      const std::int64_t at = q + (i < count ? i : count - 1);
      offsets[i] = at / depth * classes * depth + at % depth;
    }
    adjacent = depth >= kLanes && count == kLanes && offsets[kLanes - 1] == offsets[0] + kLanes - 1;
    lanes([&](int i) { k[i] = 0; });
    data.weights(q, count, k);
  }

  void load(const T* from, T* tile) const {
    const std::int64_t depth = data.spec.positions;
    if (adjacent) {
      for (std::int64_t c = 0; c < classes; ++c) {
        const T* row = from + offsets[0] + c * depth;
        lanes([&](int i) { tile[c * kLanes + i] = row[i]; });
      }
      return;
    }
    transpose(kLanes,
              [&](std::int64_t c, int i) { tile[c * kLanes + i] = from[offsets[i] + c * depth]; });
  }

  void save(const Out& out, std::int64_t copy, const T* tile) const {
    const std::int64_t depth = data.spec.positions;
    T* to = out.as<T>() + copy * data.positions() * classes;
    if (adjacent) {
      for (std::int64_t c = 0; c < classes; ++c) {
        const T* values = tile + c * kLanes;
        store(to + offsets[0] + c * depth, kLanes, out.accumulate,
              [&](auto i) { return values[i]; });
      }
      return;
    }
    if (out.accumulate) {
      transpose(count,
                [&](std::int64_t c, int i) { to[offsets[i] + c * depth] += tile[c * kLanes + i]; });
    } else {
      transpose(count,
                [&](std::int64_t c, int i) { to[offsets[i] + c * depth] = tile[c * kLanes + i]; });
    }
  }

  // out[copy] (+)= value(c, lane), by way of `buffer`
  template <class F>
  void emit(const Out& out, std::int64_t copy, T* buffer, F value) const {
    for (std::int64_t c = 0; c < classes; ++c) {
      lanes([&](int i) { buffer[c * kLanes + i] = value(c, i); });
    }
    save(out, copy, buffer);
  }

 private:
  // move(c, lane) for all, in patches that fit the L1 cache on both sides
  template <class F>
  void transpose(int used, F move) const {
    for (std::int64_t patch = 0; patch < classes; patch += kLanes) {
      const std::int64_t end = patch + kLanes < classes ? patch + kLanes : classes;
      for (int i = 0; i < used; ++i) {
        for (std::int64_t c = patch; c < end; ++c) move(c, i);
      }
    }
  }
};

// sum of body(tile) over all tiles, on the pool; `cost` is the work of one position
template <class T, class F>
double for_tiles(const LossData<T>& data, std::int64_t cost, F body) {
  const std::int64_t tiles = kGrain / (kLanes * cost);
  const std::int64_t grain = (tiles < 1 ? 1 : tiles) * kLanes;
  return sum_chunks(data.positions(), grain, [&](std::int64_t begin, std::int64_t end) {
    double sum = 0;
    for (std::int64_t q = begin; q < end; q += kLanes) sum += body(Tile<T>(data, q, end));
    return sum;
  });
}

}  // namespace hesscore::cpu::HC_ISA
