// Conjugate gradients on many rows at once, for several multiples of the identity at once, and in a
// trust region: their scalars stay on the device (math/cg_row_state.hpp).
#include <cmath>

#include "backend/algebra.hpp"
#include "solve/checks.hpp"
#include "solve/drive.hpp"
#include "solve/steihaug.hpp"

namespace hesscore {

using math::CgRowState;
using math::CgShiftState;
using math::KrylovPhase;

namespace {

class CgRows {
 public:
  CgRows(const LinearOperator& A, const KrylovOptions& o, std::int64_t rows)
      : A_(A),
        M_(o.preconditioner),
        o_(o),
        n_(A.size()),
        rows_(rows),
        algebra_(A.device(), A.dtype()),
        states_(A.device(), A.dtype(), n_, rows) {
    for (Vector* v : {&r_, &p_, &q_}) *v = vectors();
    if (M_ != nullptr) y_ = vectors();
  }

  Krylov<CgRowState>& states() { return states_; }
  const Vector& residual() const { return r_; }

  void start(const View& b, const View& x, double radius);
  // One iteration, between whose halves others may take a step of the same length. Without x, the
  // solutions are left to them.
  void first_half(void* x);
  void second_half();

 private:
  Vector vectors() const { return Vector(A_.device(), A_.dtype(), element_count({rows_, n_})); }
  void precondition();

  const LinearOperator& A_;
  const LinearOperator* M_;
  const KrylovOptions& o_;
  std::int64_t n_, rows_;
  Algebra algebra_;
  Krylov<CgRowState> states_;
  Vector r_, p_, q_, y_;
};

void CgRows::start(const View& b, const View& x, double radius) {
  const std::int64_t all = rows_ * n_;
  const auto row = [&](const View& v, std::int64_t k) { return advanced(v.data, k * n_, v.dtype); };
  for (std::int64_t k = 0; k < rows_; ++k) {
    CgRowState& s = states_.states[static_cast<std::size_t>(k)];
    const double norm = algebra_.norm(row(b, k), n_);
    if (norm == 0) algebra_.fill(0, row(x, k), n_);
    s.target = std::max(o_.rtol * norm, o_.atol);
    s.maxiter = o_.maxiter > 0 ? o_.maxiter : 10 * n_;
    s.radius = radius;
    s.preconditioned = M_ != nullptr;
  }
  states_.upload();
  algebra_.copy(b.data, r_.data(), all);
  if (algebra_.norm(x.data, all) != 0) {
    A_.apply(x.data, q_.data(), rows_);
    algebra_.axpby(-1, q_.data(), 1, r_.data(), all);
  }
  states_.dot(r_.data(), r_.data(), &CgRowState::rr);
  precondition();
  states_.step(KrylovPhase::cg_row_start);
}

void CgRows::precondition() {
  if (M_ == nullptr) return;
  M_->apply(r_.data(), y_.data(), rows_);
  states_.dot(r_.data(), y_.data(), &CgRowState::ry);
}

void CgRows::first_half(void* x) {
  const Vector& y = M_ != nullptr ? y_ : r_;
  states_.combine(&CgRowState::beta, p_.data(), &CgRowState::fresh, y.data());
  A_.apply(p_.data(), q_.data(), rows_);
  states_.dot(p_.data(), q_.data(), &CgRowState::pq);
  states_.step(KrylovPhase::cg_row_curvature);
  if (x != nullptr) states_.add(&CgRowState::alpha, p_.data(), x);
}

void CgRows::second_half() {
  states_.add(&CgRowState::alpha, q_.data(), r_.data(), -1);
  states_.dot(r_.data(), r_.data(), &CgRowState::rr);
  precondition();
  states_.step(KrylovPhase::cg_row_advance);
}

std::function<bool(std::int64_t)> looker(const KrylovOptions& o, const View& x) {
  if (!o.callback) return {};
  return [&o, x](std::int64_t iteration) { return o.callback(iteration, x); };
}

void check_systems(const LinearOperator& A, const View& b, const View& x, const KrylovOptions& o) {
  check_vector("b", b, A, /*rows=*/true);
  if (!x || x.dtype != b.dtype || x.shape != b.shape) {
    throw ShapeError("x", to_string(b.shape) + " like b", to_string(x.shape));
  }
  if (b.data == x.data) throw OutputError("x", "memory of its own", "the memory of b");
  check_krylov(A, o);
}

}  // namespace

void check_krylov(const LinearOperator& A, const KrylovOptions& o) {
  check_tolerance("rtol", o.rtol);
  check_tolerance("atol", o.atol);
  if (o.maxiter < 0) throw OptionError("maxiter", "an integer >= 0", std::to_string(o.maxiter));
  if (o.preconditioner != nullptr) check_like("preconditioner", *o.preconditioner, A);
}

std::vector<SolveReport> cg_rows(const LinearOperator& A, View b, View x,
                                 const KrylovOptions& options) {
  check_systems(A, b, x, options);
  CgRows rows(A, options, b.shape.size() == 2 ? b.shape[0] : 1);
  rows.start(b, x, 0);
  Driver driver(rows.states(), A.device().is_host(), options.poll, looker(options, x));
  driver.run([&] {
    rows.first_half(x.data);
    rows.second_half();
  });
  return driver.reports();
}

SteihaugResult steihaug(const LinearOperator& A, View b, View x, double radius,
                        const KrylovOptions& options) {
  CgRows rows(A, options, 1);
  rows.start(b, x, radius);
  Driver driver(rows.states(), A.device().is_host(), options.poll, looker(options, x));
  driver.run([&] {
    rows.first_half(x.data);
    rows.second_half();
  });
  return {driver.reports().front(), rows.states().states.front().model};
}

// The base is the system with the smallest shift, which converges last: the polynomials of the
// others are smaller everywhere on its spectrum.
std::vector<SolveReport> cg_shifted(const LinearOperator& A, View b, View x,
                                    const std::vector<double>& shifts,
                                    const KrylovOptions& options) {
  check_vector("b", b, A);
  check_krylov(A, options);
  const auto count = static_cast<std::int64_t>(shifts.size());
  const std::int64_t n = A.size();
  if (shifts.empty()) throw OptionError("shifts", "at least one", "none");
  for (const double s : shifts) {
    if (!std::isfinite(s)) throw OptionError("shifts", "finite numbers", std::to_string(s));
  }
  if (x.shape != Shape{count, n}) throw ShapeError("x", to_string({count, n}), to_string(x.shape));
  const double least = *std::min_element(shifts.begin(), shifts.end());
  const ShiftedOperator base(A, least);
  CgRows row(base, options, 1);
  const Vector zero(A.device(), A.dtype(), n), p(A.device(), A.dtype(), element_count(x.shape));
  row.start(b, zero, 0);
  Algebra(A.device(), A.dtype()).fill(0, x.data, count * n);

  Krylov<CgShiftState> systems(A.device(), A.dtype(), n, count);
  for (std::size_t k = 0; k < shifts.size(); ++k) {
    systems.states[k].base = static_cast<const CgRowState*>(row.states().there());
    systems.states[k].shift = shifts[k] - least;
  }
  systems.upload();
  Driver driver(row.states(), A.device().is_host(), options.poll, looker(options, x));
  driver.run([&] {
    systems.combine_shared(&CgShiftState::beta, p.data(), &CgShiftState::fresh,
                           row.residual().data());
    row.first_half(nullptr);
    systems.step(KrylovPhase::cg_shift_step);
    systems.add(&CgShiftState::alpha, p.data(), x.data);
    row.second_half();
    systems.step(KrylovPhase::cg_shift_direction);
  });
  systems.download();
  std::vector<SolveReport> reports(shifts.size(), driver.reports().front());
  for (std::size_t k = 0; k < shifts.size(); ++k) {
    reports[k].residual *= std::fabs(systems.states[k].zeta);
  }
  return reports;
}

}  // namespace hesscore
