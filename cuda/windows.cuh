// What the kernels of pooling share: a thread has a position and a pack of channels.
#pragma once

#include "math/windows.hpp"
#include "packs.cuh"

namespace hesscore::cuda {

template <int kWidth>
struct Place {
  std::int64_t image, i, j, c;
};

// Pack e of images of `rows` x `columns` positions with `channels` channels.
template <int kWidth>
__device__ __forceinline__ Place<kWidth> place_of(std::int64_t e, std::int64_t rows,
                                                  std::int64_t columns, std::int64_t channels) {
  const std::int64_t packs = channels / kWidth, at = e / packs;
  const std::int64_t line = at / columns, image = line / rows;
  return {image, line - image * rows, at - line * columns, (e - at * packs) * kWidth};
}

template <int kWidth>
constexpr Extent kWhole{kWidth, (kWidth > 1)};

// body(e) for every pack of `elements` numbers: Body<T, kPack<T>> where channels and arrays allow
// it, else Body<T, 1>.
template <template <class, int> class Body, class T, class... A>
void for_packs(const Context& ctx, std::int64_t elements, std::int64_t channels, bool wide,
               const A&... args) {
  if (wide && channels % kPack<T> == 0) {
    return for_each(ctx, elements / kPack<T>, Body<T, kPack<T>>{args...});
  }
  for_each(ctx, elements, Body<T, 1>{args...});
}

}  // namespace hesscore::cuda
