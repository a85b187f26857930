// Products of arrays that are broadcast against each other, and their sums over axes.
#include "cpu/isa/reduce.hpp"

namespace hesscore::cpu::HC_ISA {
namespace {

using math::BroadcastAxes;

// y[i] (+)= p[i or 0] * q[i or 0]^(1 or 2) for i < n
template <class T>
void products(const T* p, bool many_p, const T* q, bool many_q, bool square_q, T* y, std::int64_t n,
              bool accumulate) {
  if (!many_p || !many_q) {
    const T* many = many_p ? p : q;
    const T one = many_p ? (square_q ? *q * *q : *q) : *p;
    if (many_p || !square_q) {
      return store(y, n, accumulate, [&](std::int64_t i) { return many[i] * one; });
    }
    return store(y, n, accumulate, [&](std::int64_t i) { return many[i] * many[i] * one; });
  }
  if (square_q) return store(y, n, accumulate, [&](std::int64_t i) { return p[i] * q[i] * q[i]; });
  store(y, n, accumulate, [&](std::int64_t i) { return p[i] * q[i]; });
}

// sum over i < n of p[i step_p] q[i step_q]^(1 or 2), in a fixed order
template <class T>
T product_sum(const T* p, std::int64_t step_p, const T* q, std::int64_t step_q, bool square_q,
              std::int64_t n) {
  if (step_p == 1 && step_q == 1 && !square_q) return dot<T>(p, q, n);
  constexpr int kSums = 32;
  T lanes[kSums] = {}, sum = 0;
  const auto add = [&](T& to, std::int64_t i) {
    const T v = q[i * step_q];
    to += p[i * step_p] * (square_q ? v * v : v);
  };
  std::int64_t i = 0;
  for (; i + kSums <= n; i += kSums) {
    for (int k = 0; k < kSums; ++k) add(lanes[k], i + k);
  }
  for (; i < n; ++i) add(sum, i);
  for (int k = 0; k < kSums; ++k) sum += lanes[k];
  return sum;
}

// The last kept axis is contiguous: lines of it.
template <class T>
void by_lines(const kernels::BroadcastProduct::Args& a, std::int64_t line) {
  const BroadcastAxes& axes = a.axes;
  const int inner = axes.kept - 1;
  const std::int64_t sums = axes.count(axes.kept, axes.axes());
  const bool many_p = axes.p[inner] != 0, many_q = axes.q[inner] != 0;
  const std::int64_t pieces = (line + kBlock - 1) / kBlock;
  const std::int64_t work = (line < kBlock ? line : kBlock) * sums;
  parallel_chunks(
      axes.count(0, inner) * pieces, 1 + kGrain / work, [&](std::int64_t k, std::int64_t end) {
        for (; k < end; ++k) {
          const std::int64_t row = k / pieces, first = k % pieces * kBlock;
          const std::int64_t n = line - first < kBlock ? line - first : kBlock;
          const BroadcastAxes::At at = axes.at(row, 0, inner);
          const T* p = a.p.as<T>() + at.p + (many_p ? first : 0);
          const T* q = a.q.as<T>() + at.q + (many_q ? first : 0);
          T* y = a.y.as<T>() + row * line + first;
          for (std::int64_t s = 0; s < sums; ++s) {
            const BroadcastAxes::At to = axes.at(s, axes.kept, axes.axes());
            products(p + to.p, many_p, q + to.q, many_q, a.square_q, y, n, a.y.accumulate || s > 0);
          }
        }
      });
}

// Every result a sum along the last axis.
template <class T>
void by_sums(const kernels::BroadcastProduct::Args& a) {
  const BroadcastAxes& axes = a.axes;
  const int last = axes.axes() - 1;
  const bool sums = axes.summed > 0;
  const std::int64_t n = sums ? axes.size[last] : 1;
  const std::int64_t outer = sums ? axes.count(axes.kept, last) : 1;
  parallel_chunks(
      axes.count(0, axes.kept), 1 + kGrain / (n * outer), [&](std::int64_t e, std::int64_t end) {
        for (; e < end; ++e) {
          const BroadcastAxes::At at = axes.at(e, 0, axes.kept);
          T sum = 0;
          for (std::int64_t s = 0; s < outer; ++s) {
            const BroadcastAxes::At to = sums ? axes.at(s, axes.kept, last) : BroadcastAxes::At{};
            sum += product_sum(a.p.as<T>() + at.p + to.p, sums ? axes.p[last] : 0,
                               a.q.as<T>() + at.q + to.q, sums ? axes.q[last] : 0, a.square_q, n);
          }
          T* y = a.y.as<T>() + e;
          *y = a.y.accumulate ? *y + sum : sum;
        }
      });
}

template <class T>
void broadcast_product(void*, const kernels::BroadcastProduct::Args& a) {
  const BroadcastAxes& axes = a.axes;
  if (axes.count(0, axes.axes()) == 0) return;
  const int inner = axes.kept - 1;
  if (axes.kept > 0 && axes.p[inner] <= 1 && axes.q[inner] <= 1) {
    return by_lines<T>(a, axes.size[inner]);
  }
  by_sums<T>(a);
}

}  // namespace

void register_broadcasts(KernelTable& table) { HC_ADD(table, BroadcastProduct, broadcast_product); }

}  // namespace hesscore::cpu::HC_ISA
