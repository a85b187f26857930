// MINRES (Paige & Saunders 1975), its scalars on the device (math/minres_state.hpp).
#include <cmath>
#include <utility>

#include "backend/algebra.hpp"
#include "solve/checks.hpp"
#include "solve/drive.hpp"
#include "solve/steihaug.hpp"

namespace hesscore {

using math::KrylovPhase;
using math::MinresState;

namespace {

class Minres {
 public:
  Minres(const LinearOperator& A, const View& x, const KrylovOptions& o)
      : A_(A),
        M_(o.preconditioner),
        o_(o),
        n_(A.size()),
        rows_(x.shape.size() == 2 ? x.shape[0] : 1),
        x_(x.data),
        algebra_(A.device(), A.dtype()),
        states_(A.device(), A.dtype(), n_, rows_) {
    for (Vector* v : {&v_, &q_, &r1_, &r2_, &w1_, &w2_}) *v = vectors();
    if (M_ != nullptr) y_ = vectors();
  }

  Krylov<MinresState>& states() { return states_; }
  void start(const void* b);
  void iterate();

 private:
  Vector vectors() const { return Vector(A_.device(), A_.dtype(), element_count({rows_, n_})); }
  // y = M r, which is r itself without M.
  void* precondition(const Vector& r) {
    if (M_ == nullptr) return r.data();
    M_->apply(r.data(), y_.data(), rows_);
    return y_.data();
  }
  // What the tolerance is relative to: the norm of b in the metric of M.
  void measure(const void* b);

  const LinearOperator& A_;
  const LinearOperator* M_;
  const KrylovOptions& o_;
  std::int64_t n_, rows_;
  void* x_;
  Algebra algebra_;
  Krylov<MinresState> states_;
  Vector v_, q_, r1_, r2_, w1_, w2_, y_;
};

void Minres::measure(const void* b) {
  algebra_.copy(b, r2_.data(), rows_ * n_);
  states_.upload();
  states_.dot(r2_.data(), precondition(r2_), &MinresState::ry);
  states_.download();
  for (std::int64_t k = 0; k < rows_; ++k) {
    MinresState& s = states_.states[static_cast<std::size_t>(k)];
    if (s.ry == 0) algebra_.fill(0, advanced(x_, k * n_, A_.dtype()), n_);
    s.target = std::max(o_.rtol * std::sqrt(std::max(s.ry, 0.0)), o_.atol);
    s.least_squares = o_.rtol;
    s.maxiter = o_.maxiter > 0 ? o_.maxiter : 5 * n_;
  }
  states_.upload();
}

void Minres::start(const void* b) {
  measure(b);
  if (algebra_.norm(x_, rows_ * n_) != 0) {
    A_.apply(x_, q_.data(), rows_);
    algebra_.axpby(-1, q_.data(), 1, r2_.data(), rows_ * n_);
  }
  states_.dot(r2_.data(), precondition(r2_), &MinresState::ry);
  states_.step(KrylovPhase::minres_start);
}

void Minres::iterate() {
  const Vector& y = M_ != nullptr ? y_ : r2_;
  states_.scale(&MinresState::inverse, y.data(), v_.data());
  A_.apply(v_.data(), q_.data(), rows_);
  states_.add(&MinresState::old_part, r1_.data(), q_.data(), -1);
  states_.dot(v_.data(), q_.data(), &MinresState::vq);
  states_.step(KrylovPhase::minres_alpha);
  states_.add(&MinresState::new_part, r2_.data(), q_.data(), -1);
  std::swap(r1_, q_);
  std::swap(r1_, r2_);
  states_.dot(r2_.data(), precondition(r2_), &MinresState::ry);
  states_.step(KrylovPhase::minres_advance);
  states_.combine(&MinresState::along_old, w1_.data(), &MinresState::along, w2_.data());
  states_.add(&MinresState::fresh, v_.data(), w1_.data());
  std::swap(w1_, w2_);
  states_.add(&MinresState::step, w2_.data(), x_);
  states_.step(KrylovPhase::minres_next);
}

}  // namespace

std::vector<SolveReport> minres(const LinearOperator& A, View b, View x,
                                const KrylovOptions& options) {
  check_vector("b", b, A, /*rows=*/true);
  if (x.shape != b.shape) throw ShapeError("x", to_string(b.shape), to_string(x.shape));
  check_krylov(A, options);
  Minres m(A, x, options);
  m.start(b.data);
  std::function<bool(std::int64_t)> look;
  if (options.callback) look = [&](std::int64_t i) { return options.callback(i, x); };
  Driver driver(m.states(), A.device().is_host(), options.poll, look);
  driver.run([&] { m.iterate(); });
  return driver.reports();
}

}  // namespace hesscore
