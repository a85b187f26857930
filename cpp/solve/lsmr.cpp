// LSMR (Fong & Saunders 2011), its scalars on the device (math/lsmr_state.hpp).
#include <cmath>
#include <utility>

#include "backend/algebra.hpp"
#include "solve/checks.hpp"
#include "solve/drive.hpp"

namespace hesscore {

using math::KrylovPhase;
using math::LsmrState;

namespace {

class Lsmr {
 public:
  Lsmr(const LinearMap& A, const View& x, const LsmrOptions& o)
      : A_(A),
        o_(o),
        m_(A.rows()),
        n_(A.cols()),
        x_(x.data),
        algebra_(A.device(), A.dtype()),
        states_(A.device(), A.dtype(), n_) {
    for (Vector* v : {&u_, &image_}) *v = Vector(A.device(), A.dtype(), m_);
    for (Vector* v : {&v_, &back_, &h_, &hbar_}) *v = Vector(A.device(), A.dtype(), n_);
  }

  Krylov<LsmrState>& states() { return states_; }
  void start(const void* b);
  void iterate();

 private:
  const LinearMap& A_;
  const LsmrOptions& o_;
  std::int64_t m_, n_;
  void* x_;
  Algebra algebra_;
  Krylov<LsmrState> states_;
  Vector u_, image_, v_, back_, h_, hbar_;
};

void Lsmr::start(const void* b) {
  LsmrState& s = states_.states.front();
  s.damp = o_.damp;
  s.target = std::max(o_.rtol * algebra_.norm(b, m_), o_.atol);
  s.least_squares = o_.rtol;
  s.maxiter = o_.maxiter > 0 ? o_.maxiter : 5 * std::max(m_, n_);
  states_.upload();
  algebra_.copy(b, u_.data(), m_);
  algebra_.fill(0, x_, n_);
  states_.of_size(m_).dot(u_.data(), u_.data(), &LsmrState::uu);
  states_.step(KrylovPhase::lsmr_start);
  states_.scale(&LsmrState::by_beta, u_.data(), u_.data());
  A_.apply_adjoint(u_.data(), v_.data());
  states_.of_size(n_).dot(v_.data(), v_.data(), &LsmrState::vv);
  states_.step(KrylovPhase::lsmr_begin);
  states_.scale(&LsmrState::by_alpha, v_.data(), v_.data());
  algebra_.copy(v_.data(), h_.data(), n_);
}

void Lsmr::iterate() {
  A_.apply(v_.data(), image_.data());
  states_.of_size(m_).add(&LsmrState::alpha, u_.data(), image_.data(), -1);
  std::swap(u_, image_);
  states_.dot(u_.data(), u_.data(), &LsmrState::uu);
  states_.step(KrylovPhase::lsmr_beta);
  states_.scale(&LsmrState::by_beta, u_.data(), u_.data());
  A_.apply_adjoint(u_.data(), back_.data());
  states_.of_size(n_).add(&LsmrState::beta, v_.data(), back_.data(), -1);
  std::swap(v_, back_);
  states_.dot(v_.data(), v_.data(), &LsmrState::vv);
  states_.step(KrylovPhase::lsmr_advance);
  states_.scale(&LsmrState::by_alpha, v_.data(), v_.data());
  states_.combine(&LsmrState::along_hbar, hbar_.data(), &LsmrState::one, h_.data());
  states_.add(&LsmrState::step, hbar_.data(), x_);
  states_.combine(&LsmrState::along_h, h_.data(), &LsmrState::one, v_.data());
}

void check(const char* name, const View& v, std::int64_t size, DType dtype) {
  if (!v || v.shape != Shape{size}) {
    throw ShapeError(name, "shape " + to_string({size}), to_string(v.shape));
  }
  if (v.dtype != dtype) {
    throw DTypeError(name, std::string(name_of(dtype)), std::string(name_of(v.dtype)));
  }
}

}  // namespace

SolveReport lsmr(const LinearMap& A, View b, View x, const LsmrOptions& options) {
  check("b", b, A.rows(), A.dtype());
  check("x", x, A.cols(), A.dtype());
  check_tolerance("rtol", options.rtol);
  check_tolerance("atol", options.atol);
  check_tolerance("damp", options.damp);
  if (options.maxiter < 0) {
    throw OptionError("maxiter", "an integer >= 0", std::to_string(options.maxiter));
  }
  Lsmr solver(A, x, options);
  solver.start(b.data);
  Driver driver(solver.states(), A.device().is_host(), options.poll);
  driver.run([&] { solver.iterate(); });
  return driver.reports().front();
}

}  // namespace hesscore
