// The Lanczos process (Lanczos 1950), reorthogonalised by classical Gram-Schmidt, at most twice
// (Daniel, Gragg, Kaufman & Stewart 1976).
#include "solve/lanczos_process.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace hesscore {

using math::KrylovPhase;
using math::LanczosState;

namespace {

constexpr std::int64_t kTogether = 4;  // vectors of the basis

double rounding(DType dtype) {
  return dtype == DType::f32 ? std::numeric_limits<float>::epsilon()
                             : std::numeric_limits<double>::epsilon();
}

}  // namespace

LanczosProcess::LanczosProcess(const LinearOperator& A, std::int64_t runs, std::int64_t capacity,
                               bool keep, bool reorthogonalise)
    : A_(A),
      n_(A.size()),
      runs_(runs),
      capacity_(capacity),
      reorthogonalise_(reorthogonalise),
      algebra_(A.device(), A.dtype()),
      states_(A.device(), A.dtype(), n_, runs),
      there_(A.device(), static_cast<std::size_t>(2 * runs * capacity) * sizeof(double)),
      coefficients_(A.device(), static_cast<std::size_t>(runs * (capacity + 1)) * sizeof(double)),
      numbers_(static_cast<std::size_t>(2 * runs * capacity)) {
  if (keep || reorthogonalise) {
    basis_ = Vector(A.device(), A.dtype(), element_count({runs, capacity + 1, n_}));
  }
  if (basis_.size() == 0 || runs > 1) {
    ring_ = Vector(A.device(), A.dtype(), element_count({3, runs, n_}));
  }
}

void* LanczosProcess::basis(std::int64_t step, std::int64_t run) const {
  return advanced(basis_.data(), (run * (capacity_ + 1) + step) * n_, A_.dtype());
}

// The vectors (K, n) of this step.
void* LanczosProcess::current(std::int64_t step) const {
  if (ring_.size() == 0) return basis(step);
  return advanced(ring_.data(), step % 3 * runs_ * n_, A_.dtype());
}

void LanczosProcess::keep(std::int64_t step) {
  if (ring_.size() == 0 || basis_.size() == 0) return;
  for (std::int64_t k = 0; k < runs_; ++k) {
    algebra_.copy(advanced(current(step), k * n_, A_.dtype()), basis(step, k), n_);
  }
}

void LanczosProcess::start(const void* v) {
  for (std::int64_t k = 0; k < runs_; ++k) {
    LanczosState& s = states_.states[static_cast<std::size_t>(k)];
    s = {.tolerance = 16 * rounding(A_.dtype())};
    s.alphas = static_cast<double*>(there_.data()) + 2 * k * capacity_;
    s.betas = s.alphas + capacity_;
  }
  states_.upload();
  length_ = 0;
  restarted_ = false;
  measure(v);
  states_.step(KrylovPhase::lanczos_start);
  states_.scale(&LanczosState::inverse, v, current(0));
  keep(0);
}

void LanczosProcess::restart(std::int64_t length, const void* v) {
  states_.download();
  LanczosState& s = states_.states.front();
  s.step = length;
  s.beta = 0;
  s.done = 0;
  states_.upload();
  length_ = length;
  restarted_ = true;
  if (v == nullptr) return;
  void* const w = current(length);
  algebra_.copy(v, w, n_);
  for (int twice = 0; twice < 2; ++twice) {
    project(w, length);
    measure(w);
    states_.step(KrylovPhase::lanczos_start);
    states_.scale(&LanczosState::inverse, w, w);
  }
}

void LanczosProcess::extend() {
  void *const v = current(length_), *const w = current(length_ + 1);
  A_.apply(v, w, runs_);
  states_.dot(v, w, &LanczosState::alpha);
  states_.step(KrylovPhase::lanczos_alpha);
  states_.add(&LanczosState::alpha, v, w, -1);
  if (length_ > 0) states_.add(&LanczosState::beta, current(length_ - 1), w, -1);
  if (reorthogonalise_) orthogonalise(w);
  measure(w);
  states_.step(KrylovPhase::lanczos_beta);
  states_.scale(&LanczosState::inverse, w, w);
  keep(++length_);
}

// w -= V V'w for all vectors of the basis so far. The three-term recurrence has left next to
// nothing of them in w; where that is not so, rounding leaves something, and a second time is
// enough.
void LanczosProcess::orthogonalise(void* w) {
  const bool look = A_.device().is_host() && !restarted_;
  if (look) measure(w);
  project(w, length_ + 1);
  bool enough = look;
  for (std::int64_t k = 0; enough && k < runs_; ++k) enough = once_is_enough(k);
  if (!enough) project(w, length_ + 1);
  restarted_ = false;
}

// On the host some vectors at a time: what the products have read is still in the cache when they
// are subtracted; and by turns from either end: what one step has read last the next reads first. A
// device would rather have few calls.
void LanczosProcess::project(void* w, std::int64_t terms) const {
  const std::int64_t together = A_.device().is_host() ? kTogether : terms;
  const std::int64_t blocks = (terms + together - 1) / together;
  for (std::int64_t b = 0; b < blocks; ++b) {
    const std::int64_t t = (length_ % 2 == 0 ? b : blocks - 1 - b) * together;
    project(w, t, std::min(together, terms - t), terms);
  }
}

void LanczosProcess::project(void* w, std::int64_t first, std::int64_t count,
                             std::int64_t terms) const {
  double* const c = static_cast<double*>(coefficients_.data()) + first;
  states_.kernels().dots({.x = In(basis(first)),
                          .y = In(w),
                          .result = Out(c),
                          .n = n_,
                          .rows = runs_,
                          .terms = count,
                          .row_x = (capacity_ + 1) * n_,
                          .term_x = n_,
                          .row_y = n_,
                          .row_result = terms});
  states_.kernels().combine({.x = In(basis(first)),
                             .c = In(c),
                             .y = Out(w, /*acc=*/true),
                             .n = n_,
                             .rows = runs_,
                             .terms = count,
                             .row_x = (capacity_ + 1) * n_,
                             .term_x = n_,
                             .row_y = n_,
                             .row_c = terms,
                             .sign = -1});
}

// On the host: has the projection left the larger part of w?
bool LanczosProcess::once_is_enough(std::int64_t run) const {
  const std::int64_t terms = length_ + 1;
  const double* const c = static_cast<const double*>(coefficients_.data()) + run * terms;
  double removed = 0;
  for (std::int64_t t = 0; t < terms; ++t) removed += c[t] * c[t];
  const auto* const squared = static_cast<const double*>(states_.at(&LanczosState::squared).ptr);
  return removed <= 0.5 * squared[run * Krylov<LanczosState>::kStep];
}

void LanczosProcess::look() {
  states_.download();
  A_.device().to_host(numbers_.data(), there_.data(), there_.bytes());
}

}  // namespace hesscore
