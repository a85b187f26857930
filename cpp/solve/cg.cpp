// Preconditioned conjugate gradients (Hestenes & Stiefel 1952; stopping rule: Martens 2010).
#include "solve/cg.hpp"

#include <algorithm>
#include <cmath>

#include "backend/algebra.hpp"
#include "solve/checks.hpp"
#include "solve/ending.hpp"
#include "solve/resident.hpp"

namespace hesscore {

using math::CgReason;

namespace {

void check_options(const LinearOperator& A, const CgOptions& o) {
  check_tolerance("rtol", o.rtol);
  check_tolerance("atol", o.atol);
  if (o.maxiter < 0) throw OptionError("maxiter", "an integer >= 0", std::to_string(o.maxiter));
  if (o.preconditioner != nullptr) check_like("preconditioner", *o.preconditioner, A);
}

class Cg {
 public:
  Cg(const LinearOperator& A, View b, View x, const CgOptions& options, CgWorkspace& ws,
     bool resident)
      : A_(A),
        M_(options.preconditioner),
        options_(options),
        n_(A.size()),
        maxiter_(options.maxiter > 0 ? options.maxiter : 10 * A.size()),
        algebra_(A.device(), A.dtype()),
        b_(b.data),
        x_(std::move(x)),
        ws_(ws),
        on_device_(resident) {
    const auto records = static_cast<std::size_t>(std::min<std::int64_t>(maxiter_, 4096)) + 1;
    report_.history.reserve(records);
    report_.model.reserve(records);
  }

  SolveReport run() {
    ws_.kept.iterations.clear();
    if (ws_.kept.rows > 0) reserve(ws_.kept.ring, ws_.kept.rows * n_);
    start();
    while (!done_) iterate();
    if (coordinates_) make_solution();
    return std::move(report_);
  }

 private:
  void reserve(Vector& v, std::int64_t size) const {
    if (v.size() != size || v.dtype() != A_.dtype() || v.data() == nullptr) {
      v = Vector(A_.device(), A_.dtype(), size);
    }
  }

  // The vectors of the iteration are those of R^n, or arrays of coordinates where A knows cheaper
  // ones; a preconditioner leads out of the Krylov space of A, so only without one.
  double dot(const Vector& u, const Vector& v) const {
    return coordinates_ ? coordinates_->dot(u.data(), v.data())
                        : algebra_.dot(u.data(), v.data(), length_);
  }
  void apply(const Vector& u, Vector& out) const {
    coordinates_ ? coordinates_->apply(u.data(), out.data()) : A_.apply(u.data(), out.data());
  }
  void* solution() const { return coordinates_ ? ws_.z.data() : x_.data; }
  bool fits_rows() const;
  SolveReport as_row() const;
  void choose_coordinates(const void* residual, bool from_zero);
  void make_solution();
  void restart_coordinates();

  void start();
  bool b_is_zero() const;
  const void* first_residual();
  void begin(const void* residual, bool from_zero);
  void iterate();
  void next_direction();
  bool advance(double alpha, double curvature);
  void take_negative_curvature(double curvature);
  void keep();
  void check_progress();
  bool stalled() const;

  void record() {
    report_.history.push_back(report_.residual);
    report_.model.push_back(phi_);
  }
  void finish(const Ending& ending) {
    done_ = true;
    conclude(report_, ending, target_);
  }

  const LinearOperator& A_;
  const LinearOperator* M_;
  const CgOptions& options_;
  std::int64_t n_, maxiter_;
  Algebra algebra_;
  const void* b_;
  View x_;
  CgWorkspace& ws_;
  bool on_device_;
  LinearOperator::Resident resident_;
  std::unique_ptr<KrylovCoordinates> coordinates_;
  std::int64_t length_ = 0;  // of the arrays
  bool from_zero_ = true, restart_ = true;

  SolveReport report_;
  double target_ = 0;
  double phi_ = 0, ry_ = 0;  // by recurrence: p'r = r'y
  bool done_ = false;
};

void Cg::start() {
  const double norm_b = algebra_.norm(b_, n_);
  if (norm_b == 0) {
    algebra_.fill(0, x_.data, n_);
    record();
    done_ = true;
    report_.message = b_is_zero() ? "The right-hand side is zero, and so is the solution."
                                  : "The square of the right-hand side's norm underflows, and it "
                                    "is taken for zero: scale it up.";
    return;
  }
  if (on_device_ && fits_resident(M_)) resident_ = A_.resident_cg(M_ != nullptr);
  if (resident_.cg == nullptr && fits_rows()) {
    report_ = as_row();
    done_ = true;
    return;
  }
  const void* residual = b_;
  const bool from_zero = algebra_.norm(x_.data, n_) == 0;
  if (!from_zero) {
    residual = first_residual();
    phi_ = -(algebra_.dot(x_.data, residual, n_) + algebra_.dot(x_.data, b_, n_)) / 2;
  }
  report_.residual = from_zero ? norm_b : algebra_.norm(residual, n_);
  target_ = std::max(options_.rtol * norm_b, options_.atol);
  record();
  if (!std::isfinite(norm_b) || !std::isfinite(report_.residual)) {
    return finish({Status::breakdown, CgReason::first_residual});
  }
  check_progress();
  if (!done_) begin(residual, from_zero);
}

// Or does b'b underflow? Only in float64; 2^1000 lifts the least number's square above the least.
bool Cg::b_is_zero() const {
  if (A_.dtype() == DType::f32) return true;
  Vector large(A_.device(), A_.dtype(), n_);
  algebra_.scale(0x1p1000, b_, large.data(), n_);
  return algebra_.norm(large.data(), n_) == 0;
}

// b - A x
const void* Cg::first_residual() {
  if (resident_.cg)
    algebra_.copy(x_.data, resident_.cg->x.data(), n_);
  else
    reserve(ws_.residual, n_);
  void* const r = resident_.cg ? resident_.cg->r.data() : ws_.residual.data();
  A_.apply(resident_.cg ? resident_.cg->x.data() : x_.data, r);
  algebra_.axpby(1, b_, -1, r, n_);
  return r;
}

void Cg::begin(const void* residual, bool from_zero) {
  if (resident_.cg == nullptr) return choose_coordinates(residual, from_zero);
  report_ = run_resident(resident_, x_, {residual, phi_, target_, maxiter_}, options_, ws_.kept);
  done_ = true;
}

// Can the solver of rows, which asks nothing of the device within an iteration, do it?
bool Cg::fits_rows() const {
  return on_device_ && !options_.callback && options_.stop == StopRule::residual &&
         ws_.kept.rows == 0;
}

SolveReport Cg::as_row() const {
  const View b(b_, x_.dtype, x_.shape);
  const KrylovOptions options{.rtol = options_.rtol,
                              .atol = options_.atol,
                              .maxiter = maxiter_,
                              .preconditioner = M_,
                              .poll = options_.poll};
  return cg_rows(A_, b, x_, options).front();
}

void Cg::choose_coordinates(const void* residual, bool from_zero) {
  from_zero_ = from_zero;
  if (M_ == nullptr) coordinates_ = A_.krylov_coordinates(residual);
  length_ = coordinates_ ? coordinates_->size() : n_;
  for (Vector* v : {&ws_.r, &ws_.p, &ws_.q}) reserve(*v, length_);
  if (M_ != nullptr) reserve(ws_.y, n_);
  if (!coordinates_) return algebra_.copy(residual, ws_.r.data(), n_);
  coordinates_->start(ws_.r.data());
  reserve(ws_.z, length_);
  algebra_.fill(0, ws_.z.data(), length_);
  if (from_zero) return;
  reserve(ws_.start, n_);
  algebra_.copy(x_.data, ws_.start.data(), n_);
}

// x = start + what the coordinates stand for.
void Cg::make_solution() {
  coordinates_->to_vector(ws_.z.data(), x_.data);
  if (!from_zero_) algebra_.axpby(1, ws_.start.data(), 1, x_.data, n_);
}

// In coordinates r'r is a difference of larger numbers, and rounding turns it negative when nothing
// of it is left. Begin anew with those of the true residual, which are exact again.
void Cg::restart_coordinates() {
  make_solution();
  for (Vector* v : {&ws_.start, &ws_.residual}) reserve(*v, n_);
  algebra_.copy(x_.data, ws_.start.data(), n_);
  from_zero_ = false;
  A_.apply(x_.data, ws_.residual.data());
  algebra_.axpby(1, b_, -1, ws_.residual.data(), n_);
  coordinates_->rebase(ws_.residual.data());
  coordinates_->start(ws_.r.data());
  algebra_.fill(0, ws_.z.data(), length_);
  report_.residual = report_.history.back() = algebra_.norm(ws_.residual.data(), n_);
  restart_ = true;
}

// y = M r, then the A-conjugate direction p = y + beta p with beta = r'y over the last r'y.
void Cg::next_direction() {
  const double last = ry_;
  const void* y = ws_.r.data();
  if (M_ == nullptr) {
    ry_ = report_.residual * report_.residual;
  } else {
    M_->apply(ws_.r.data(), ws_.y.data());
    y = ws_.y.data();
    ry_ = algebra_.dot(ws_.r.data(), y, n_);
  }
  if (!(ry_ > 0 && std::isfinite(ry_))) {
    return finish({Status::breakdown, CgReason::preconditioner, ry_});
  }
  if (restart_) {
    algebra_.copy(y, ws_.p.data(), length_);
    restart_ = false;
  } else {
    algebra_.axpby(1, y, ry_ / last, ws_.p.data(), length_);
  }
}

void Cg::iterate() {
  if (options_.poll) options_.poll();
  next_direction();
  if (done_) return;
  apply(ws_.p, ws_.q);
  const double curvature = dot(ws_.p, ws_.q);
  if (!std::isfinite(curvature)) {
    return finish({Status::breakdown, CgReason::product, curvature});
  }
  if (curvature <= 0) return take_negative_curvature(curvature);
  if (!advance(ry_ / curvature, curvature)) return;
  if (options_.callback && (!options_.callback_at || options_.callback_at(report_.iterations))) {
    if (coordinates_) make_solution();
    if (options_.callback(report_.iterations, report_.residual, x_)) {
      return finish({Status::stopped});
    }
  }
  check_progress();
}

// x += alpha p, once the new residual is known to be finite.
bool Cg::advance(double alpha, double curvature) {
  algebra_.axpby(-alpha, ws_.q.data(), 1, ws_.r.data(), length_);
  const double rr = dot(ws_.r, ws_.r);
  const double residual = std::sqrt(rr < 0 ? 0 : rr);
  if (!std::isfinite(residual)) {
    finish({Status::breakdown, CgReason::overflow});
    return false;
  }
  algebra_.axpby(alpha, ws_.p.data(), 1, solution(), length_);
  phi_ += alpha * (alpha * curvature / 2 - ry_);
  report_.residual = residual;
  ++report_.iterations;
  record();
  if (coordinates_ && rr <= 0) restart_coordinates();
  keep();
  return true;
}

// p'r > 0 and p'Ap <= 0: the model falls along p without bound.
void Cg::take_negative_curvature(double curvature) {
  const bool first = report_.iterations == 0;
  if (first && !advance(1, curvature)) return;
  finish(
      {Status::negative_curvature, first ? CgReason::first_direction : CgReason::none, curvature});
}

void Cg::keep() {
  KeptIterates& kept = ws_.kept;
  const std::int64_t next =
      kept.iterations.empty() ? 1 : math::next_kept(kept.iterations.back(), kept.spacing);
  if (kept.rows == 0 || report_.iterations != next) return;
  if (coordinates_) make_solution();
  kept.iterations.push_back(next);
  algebra_.copy(x_.data, const_cast<void*>(kept.at(kept.iterations.size() - 1)), n_);
}

void Cg::check_progress() {
  if (report_.residual <= target_) {
    finish({Status::converged, CgReason::tolerance});
  } else if (options_.stop == StopRule::martens && stalled()) {
    finish({Status::converged, CgReason::stalled});
  } else if (report_.iterations >= maxiter_) {
    finish({Status::max_iterations});
  }
}

bool Cg::stalled() const {
  const std::int64_t i = report_.iterations, k = std::max<std::int64_t>(10, i / 10);
  if (i <= k || phi_ >= 0) return false;
  const double gained = phi_ - report_.model[static_cast<std::size_t>(i - k)];
  return gained / phi_ < static_cast<double>(k) * 5e-4;
}

}  // namespace

const void* KeptIterates::at(std::size_t k) const {
  const std::int64_t row = static_cast<std::int64_t>(k) % rows, n = ring.size() / rows;
  return ring.as<std::byte>() + static_cast<std::size_t>(row * n) * size_of(ring.dtype());
}

SolveReport cg(const LinearOperator& A, View b, View x, const CgOptions& options,
               CgWorkspace& workspace, bool resident) {
  check_vector("b", b, A);
  check_vector("x", x, A);
  if (b.data == x.data) throw OutputError("x", "memory of its own", "the memory of b");
  check_options(A, options);
  return Cg(A, std::move(b), std::move(x), options, workspace, resident).run();
}

SolveReport cg(const LinearOperator& A, View b, View x, const CgOptions& options,
               CgWorkspace& workspace) {
  return cg(A, std::move(b), std::move(x), options, workspace, !A.device().is_host());
}

SolveReport cg(const LinearOperator& A, View b, View x, const CgOptions& options) {
  CgWorkspace workspace;
  return cg(A, std::move(b), std::move(x), options, workspace);
}

}  // namespace hesscore
