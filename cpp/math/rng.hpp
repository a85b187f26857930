// Random numbers from counters: Philox4x32-10 (Salmon et al. 2011). The same counter gives the same
// bits on every processor, whatever the number of threads.
#pragma once

#include <cstdint>

#include "math/approx.hpp"
#include "math/hd.hpp"

namespace hesscore::math {

// 128 random bits
struct Random {
  std::uint32_t a, b, c, d;
};

HC_HD Random philox(std::uint64_t key, std::uint64_t low, std::uint64_t high) {
  auto k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
  Random x{static_cast<std::uint32_t>(low), static_cast<std::uint32_t>(low >> 32),
           static_cast<std::uint32_t>(high), static_cast<std::uint32_t>(high >> 32)};
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p = std::uint64_t{0xD2511F53} * x.a, q = std::uint64_t{0xCD9E8D57} * x.c;
    x = {static_cast<std::uint32_t>(q >> 32) ^ x.b ^ k0, static_cast<std::uint32_t>(q),
         static_cast<std::uint32_t>(p >> 32) ^ x.d ^ k1, static_cast<std::uint32_t>(p)};
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return x;
}

// Uses of one seed that must not share numbers.
enum class Purpose : std::uint64_t {
  dropout = 0x6a09e667f3bcc908,
  probe = 0xbb67ae8584caa73b,
  label = 0x3c6ef372fe94f82b,
  shuffle = 0xa54ff53a5f1d36f1,
  initial = 0x510e527fade682d1
};

HC_HD Random draw(Purpose purpose, std::uint64_t seed, std::uint64_t low, std::uint64_t high) {
  return philox(seed ^ static_cast<std::uint64_t>(purpose), low, high);
}

// Uniform in [0, 1): 24 bits of one word for float, 53 bits of two for double.
template <class T>
HC_HD T uniform(std::uint32_t a, std::uint32_t b);
template <>
HC_HD float uniform<float>(std::uint32_t a, std::uint32_t) {
  return static_cast<float>(static_cast<std::int32_t>(a >> 8)) * 0x1p-24f;
}
template <>
HC_HD double uniform<double>(std::uint32_t a, std::uint32_t b) {
  const std::uint64_t wide = (std::uint64_t{a} << 32 | b) >> 11;
  return static_cast<double>(static_cast<std::int64_t>(wide)) * 0x1p-53;
}

// Standard normal, by Box and Muller.
template <class T>
HC_HD T standard_normal(const Random& r) {
  const T u = 1 - uniform<T>(r.a, r.b), v = uniform<T>(r.c, r.d);
  return std::sqrt(-2 * log(u)) * sin_cos(T(6.2831853071795864769) * v).cos;
}

// Bit k of a word as +1 or -1.
template <class T>
HC_HD T random_sign(std::uint32_t word, int k) {
  return (word >> k & 1) != 0 ? T(-1) : T(1);
}

// Dropout's factor: 1 / (1 - p) with probability 1 - p, else 0.
template <class T>
struct DropoutRule {
  std::uint64_t threshold;
  T kept;
  HC_HD explicit DropoutRule(double p, bool square)
      : threshold(static_cast<std::uint64_t>(p * 4294967296.0)),
        kept(static_cast<T>(square ? 1 / ((1 - p) * (1 - p)) : 1 / (1 - p))) {}
  HC_HD T operator()(std::uint32_t word) const { return word >= threshold ? kept : T(0); }
};

// The four words that decide elements 4 quad .. 4 quad + 3 of a node in a step.
HC_HD Random dropout_words(std::uint64_t seed, std::uint64_t step, std::int64_t node,
                           std::int64_t quad) {
  const auto low = static_cast<std::uint32_t>(quad), high = static_cast<std::uint32_t>(node);
  return draw(Purpose::dropout, seed, std::uint64_t{high} << 32 | low, step);
}

}  // namespace hesscore::math
