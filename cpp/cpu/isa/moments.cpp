// Moments of samples from their sums, and square roots.
#include <cmath>

#include "cpu/isa/elementwise.hpp"
#include "math/moments.hpp"

namespace hesscore::cpu::HC_ISA {
namespace {

template <class T>
void moments(void*, const kernels::Moments::Args& a) {
  const T scale = static_cast<T>(a.scale);
  for_blocks(a.n, 1, [&](std::int64_t i, std::int64_t n) {
    const T *sum = a.sum.as<T>() + i, *square = advance(a.square.as<T>(), i);
    if (T* variance = advance(a.variance.as<T>(), i)) {
      store(variance, n, a.variance.accumulate,
            [&](std::int64_t k) { return math::variance(square[k], scale * sum[k]); });
    }
    store(a.mean.as<T>() + i, n, a.mean.accumulate, [&](std::int64_t k) { return scale * sum[k]; });
  });
}

template <class T>
void square_root(void*, const kernels::SquareRoot::Args& a) {
  for_blocks(a.n, 8, [&](std::int64_t i, std::int64_t n) {
    const T* x = a.x.as<T>() + i;
    store(a.y.as<T>() + i, n, a.y.accumulate, [&](std::int64_t k) { return std::sqrt(x[k]); });
  });
}

}  // namespace

void register_moments(KernelTable& table) {
  HC_ADD(table, Moments, moments);
  HC_ADD(table, SquareRoot, square_root);
}

}  // namespace hesscore::cpu::HC_ISA
