// Conjugate gradients with their scalars in a state: the three kernels of an iteration.
#include "cpu/isa/reduce.hpp"
#include "math/cg_state.hpp"

namespace hesscore::cpu::HC_ISA {
namespace {

using math::CgState;
using math::CgSums;

template <class T>
void cg_curvature(void*, const kernels::CgCurvature::Args& a) {
  CgState& s = *a.state.as<CgState>();
  const T *u = a.u.as<T>(), *v = a.v.as<T>();
  math::cg_curvature(s, sum_chunks(a.n, kGrain, [&](std::int64_t begin, std::int64_t end) {
                       return dot<double>(u + begin, v + begin, end - begin);
                     }));
  if (!a.seed) return;
  const T factor = static_cast<T>(-s.alpha * s.scale);
  for_blocks(a.n, 1, [&](std::int64_t i, std::int64_t n) {
    store(a.seed.as<T>() + i, n, false,
          [&](std::int64_t k) { return s.alpha == 0 ? T(0) : factor * v[i + k]; });
  });
}

// r -= alpha (scale q + shift p) for n elements from i on
template <class T>
void step_residual(const kernels::CgAdvance::Args& a, const CgState& s, std::int64_t i,
                   std::int64_t n) {
  const T along_q = static_cast<T>(s.alpha * s.scale), along_p = static_cast<T>(s.alpha * s.shift);
  T* r = a.r.as<T>() + i;
  const T *p = a.p.as<T>() + i, *q = advance(a.q.as<T>(), i);
  if (q == nullptr) {
    store(r, n, false, [&](std::int64_t k) { return r[k] - along_p * p[k]; });
  } else {
    store(r, n, false, [&](std::int64_t k) { return r[k] - along_q * q[k] - along_p * p[k]; });
  }
}

// of at most kBlock elements from i on
template <class T>
CgSums block_sums(const kernels::CgAdvance::Args& a, std::int64_t i, std::int64_t n) {
  const T *r = a.r.as<T>() + i, *d = advance(a.d.as<T>(), i);
  const T* p = a.start ? nullptr : a.p.as<T>() + i;
  const double rr = dot<double>(r, r, n);
  if (d == nullptr) return {rr, rr, rr, p == nullptr ? 0 : dot<double>(r, p, n)};
  T y[kBlock];
  store(y, n, false, [&](std::int64_t k) { return d[k] * r[k]; });
  return {rr, dot<double>(r, y, n), dot<double>(y, y, n), p == nullptr ? 0 : dot<double>(y, p, n)};
}

void add(CgSums& to, const CgSums& s) {
  to = {to.rr + s.rr, to.ry + s.ry, to.yy + s.yy, to.yp + s.yp};
}

template <class T>
void cg_advance(void*, const kernels::CgAdvance::Args& a) {
  CgState& s = *a.state.as<CgState>();
  if (!a.start && s.alpha == 0) return;
  const std::int64_t chunks = (a.n + kGrain - 1) / kGrain;
  auto* parts = static_cast<CgSums*>(scratch(8, chunks * std::int64_t{sizeof(CgSums)}));
  parallel_chunks(a.n, kGrain, [&](std::int64_t begin, std::int64_t end) {
    CgSums sums{};
    for (std::int64_t i = begin; i < end; i += kBlock) {
      const std::int64_t n = end - i < kBlock ? end - i : kBlock;
      if (!a.start) step_residual<T>(a, s, i, n);
      add(sums, block_sums<T>(a, i, n));
    }
    parts[begin / kGrain] = sums;
  });
  CgSums sums{};
  for (std::int64_t i = 0; i < chunks; ++i) add(sums, parts[i]);
  a.start ? math::cg_start(s, sums) : math::cg_advance(s, sums);
}

template <class T>
void cg_direction(void*, const kernels::CgDirection::Args& a) {
  const CgState& s = *a.state.as<CgState>();
  if (!a.start && s.alpha == 0) return;
  const T alpha = static_cast<T>(s.alpha), beta = static_cast<T>(s.beta);
  T* const kept = math::place_to_keep<T>(s, a.n);
  for_blocks(a.n, 1, [&](std::int64_t i, std::int64_t n) {
    T *p = a.p.as<T>() + i, *x = advance(a.x.as<T>(), i);
    const T *r = a.r.as<T>() + i, *d = advance(a.d.as<T>(), i);
    const auto y = [&](std::int64_t k) { return d == nullptr ? r[k] : d[k] * r[k]; };
    if (a.start) return store(p, n, false, y);
    store(x, n, true, [&](std::int64_t k) { return alpha * p[k]; });
    if (kept != nullptr) store(kept + i, n, false, [&](std::int64_t k) { return x[k]; });
    store(p, n, false, [&](std::int64_t k) { return y(k) + beta * p[k]; });
  });
}

}  // namespace

void register_cg(KernelTable& table) {
  HC_ADD(table, CgCurvature, cg_curvature);
  HC_ADD(table, CgAdvance, cg_advance);
  HC_ADD(table, CgDirection, cg_direction);
}

}  // namespace hesscore::cpu::HC_ISA
