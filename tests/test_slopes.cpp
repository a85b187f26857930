// Slopes of activations that forward leaves behind are, to the bit, those of the other passes.
#include <cstring>

#include "kernel_tables.hpp"
#include "math/activations.hpp"

using namespace hesscore;
using check::Guarded;

namespace {

template <class T>
bool same_bits(const Guarded<T>& a, const Guarded<T>& b) {
  for (std::int64_t i = 0; i < a.size(); ++i) {
    const T left = a[i], right = b[i];
    if (std::memcmp(&left, &right, sizeof(T)) != 0) return false;
  }
  return true;
}

}  // namespace

TEST("slopes that forward leaves have the bits of those of the tangent") {
  check::for_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    if (!table.has(kernels::MapLinearize::name, check::kDType<T>)) return;
    for (std::int32_t id = 0; id < math::kActivationCount; ++id) {
      const kernels::Activation act{id, math::kActivations[id].alpha};
      const std::int64_t n = 20003;
      Guarded<T> x(n, 1), y(n, 2), f(n, 3), d(n, 4), ones(n, 5);
      for (std::int64_t i = 0; i < n; ++i) {
        ones[i] = 1;
        if (i % 3 == 0) x[i] *= 10;
      }
      check::run<kernels::MapForward, T>(table, {x.in(), f.out(), n, act});
      check::run<kernels::MapTangent, T>(table, {x.in(), ones.in(), d.out(), n, 1, act});
      check::run<kernels::MapLinearize, T>(table, {x.out(), y.out(), n, act});
      if (!same_bits(y, f)) check::fail(math::kActivations[id].name, id, "values differ");
      if (!same_bits(x, d)) check::fail(math::kActivations[id].name, id, "slopes differ");
    }
  });
}
