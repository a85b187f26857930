// The Lanczos process, step by step: what lanczos, eigsh and the trust region are made of.
#pragma once

#include "backend/algebra.hpp"
#include "hesscore/solve.hpp"
#include "solve/krylov.hpp"

namespace hesscore {

// K independent runs that share the passes of the operator. The basis of run k is kept as the rows
// (k, 0), (k, 1), ... of an array (K, capacity + 1, n), if `keep`; full reorthogonalisation needs
// it.
class LanczosProcess {
 public:
  LanczosProcess(const LinearOperator& A, std::int64_t runs, std::int64_t capacity, bool keep,
                 bool reorthogonalise);

  // Begins with the rows of v (K, n), normalised.
  void start(const void* v);
  // Of one run: goes on behind `length` vectors that have replaced those of the basis; with the one
  // that follows, or with v, made orthogonal to them and normalised.
  void restart(std::int64_t length, const void* v = nullptr);
  // One more step of all runs. Devices do it without the host.
  void extend();
  // Fetches states and tridiagonals.
  void look();

  std::int64_t length() const { return length_; }
  std::int64_t runs() const { return runs_; }
  const math::LanczosState& state(std::int64_t run = 0) const {
    return states_.states[static_cast<std::size_t>(run)];
  }
  const double* alpha(std::int64_t run = 0) const { return numbers_.data() + 2 * run * capacity_; }
  const double* beta(std::int64_t run = 0) const { return alpha(run) + capacity_; }
  void* basis(std::int64_t step, std::int64_t run = 0) const;
  Vector take_basis() { return std::move(basis_); }

 private:
  void* current(std::int64_t step) const;
  void keep(std::int64_t step);
  void orthogonalise(void* w);
  bool once_is_enough(std::int64_t run) const;
  void project(void* w, std::int64_t terms) const;
  void project(void* w, std::int64_t first, std::int64_t count, std::int64_t terms) const;
  void measure(const void* w) const { states_.dot(w, w, &math::LanczosState::squared); }

  const LinearOperator& A_;
  std::int64_t n_, runs_, capacity_, length_ = 0;
  bool reorthogonalise_;
  Algebra algebra_;
  Krylov<math::LanczosState> states_;
  Vector basis_, ring_;  // of one run the basis serves as the ring
  Buffer there_, coefficients_;
  std::vector<double> numbers_;
  bool restarted_ = false;
};

}  // namespace hesscore
