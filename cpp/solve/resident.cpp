// The host's part of conjugate gradients on the device.
#include "solve/resident.hpp"

#include <algorithm>
#include <utility>

#include "backend/algebra.hpp"
#include "solve/ending.hpp"

namespace hesscore {
namespace {

using math::CgReason;
using math::CgState;
using math::CgStatus;

constexpr std::int64_t kRecords = 4096;  // room for that many iterations, doubled when it is full
constexpr std::int64_t kIterationsAlone = 1000;  // until it is polled

class ResidentSolve {
 public:
  ResidentSolve(const LinearOperator::Resident& A, const View& x, const CgStart& start,
                const CgOptions& options, KeptIterates& kept)
      : cg_(*A.cg),
        device_(cg_.x.device()),
        algebra_(device_, cg_.x.dtype()),
        x_(x),
        options_(options),
        kept_(kept) {
    state_.scale = A.scale;
    state_.shift = A.shift;
    state_.target = start.target;
    state_.maxiter = start.maxiter;
    state_.martens = options.stop == StopRule::martens;
    state_.phi = start.phi;
    state_.ring = kept.ring.data();
    state_.rows = kept.rows;
    state_.keep_at = kept.rows > 0 ? 1 : 0;
    state_.spacing = kept.spacing;
    make_room(std::min(start.maxiter, kRecords) + 1);
    if (start.residual != cg_.r.data()) copy(start.residual, cg_.r.data());
    copy(x.data, cg_.x.data());
    if (const auto* M = static_cast<const DiagonalOperator*>(options.preconditioner)) {
      copy(M->diagonal().data(), cg_.d.data());
    }
  }

  SolveReport run();

 private:
  void copy(const void* from, void* to) const { algebra_.copy(from, to, cg_.x.size()); }
  void upload() { device_.from_host(cg_.state.data(), &state_, sizeof state_); }
  void download() { device_.to_host(&state_, cg_.state.data(), sizeof state_); }
  void make_room(std::int64_t records);
  void plan_pause();
  bool called_back_and_stopped();
  SolveReport report() const;

  ResidentCg& cg_;
  Device& device_;
  Algebra algebra_;
  const View& x_;
  const CgOptions& options_;
  KeptIterates& kept_;
  CgState state_;
  std::int64_t room_ = 0, callback_at_ = 0;
  bool stopped_ = false;
};

// Half of the buffer for the history, half for the model; what is there is kept.
void ResidentSolve::make_room(std::int64_t records) {
  const auto bytes = [](std::int64_t n) { return static_cast<std::size_t>(n) * sizeof(double); };
  Buffer old;
  if (cg_.records.bytes() < bytes(2 * records)) {
    old = std::exchange(cg_.records, Buffer(device_, bytes(2 * records)));
  }
  auto* const history = static_cast<double*>(cg_.records.data());
  const auto room = static_cast<std::int64_t>(cg_.records.bytes() / bytes(2));
  if (room_ > 0) {
    device_.copy(history, state_.history, bytes(room_));
    device_.copy(history + room, state_.model, bytes(room_));
    device_.synchronize();
  }
  state_.history = history;
  state_.model = history + room;
  room_ = room;
}

// The next iteration at which the host must have a look.
void ResidentSolve::plan_pause() {
  std::int64_t last = std::min(room_ - 1, state_.maxiter);
  if (options_.poll) last = std::min(last, state_.iterations + kIterationsAlone);
  callback_at_ = 0;
  if (options_.callback) {
    std::int64_t i = state_.iterations + 1;
    while (i <= last && options_.callback_at && !options_.callback_at(i)) ++i;
    if (i <= last) callback_at_ = i;
  }
  state_.pause_at = callback_at_ > 0 ? callback_at_ : last;
  if (state_.iterations > 0) state_.go_on = 1;
}

// An iteration that ends the solve calls back too, but for a first direction of negative curvature.
bool ResidentSolve::called_back_and_stopped() {
  if (callback_at_ == 0 || state_.iterations != callback_at_) return false;
  if (state_.reason == CgReason::first_direction) return false;
  callback_at_ = 0;
  copy(cg_.x.data(), x_.data);
  return options_.callback(state_.iterations, state_.residual, x_);
}

SolveReport ResidentSolve::run() {
  plan_pause();
  upload();
  cg_.start();
  for (;;) {
    cg_.run();
    download();
    if (options_.poll) options_.poll();
    stopped_ = called_back_and_stopped();
    if (stopped_ || state_.status != CgStatus::running) break;
    if (state_.go_on != 0) continue;
    if (state_.iterations == room_ - 1) make_room(2 * room_);
    plan_pause();
    upload();
  }
  copy(cg_.x.data(), x_.data);
  for (std::int64_t k = 1; kept_.rows > 0 && k <= state_.iterations;
       k = math::next_kept(k, kept_.spacing)) {
    kept_.iterations.push_back(k);
  }
  return report();
}

Status status_of(CgStatus status) {
  switch (status) {
    case CgStatus::max_iterations:
      return Status::max_iterations;
    case CgStatus::negative_curvature:
      return Status::negative_curvature;
    case CgStatus::breakdown:
      return Status::breakdown;
    default:
      return Status::converged;
  }
}

SolveReport ResidentSolve::report() const {
  SolveReport r;
  r.iterations = state_.iterations;
  r.residual = state_.residual;
  std::vector<double> records(static_cast<std::size_t>(room_ + r.iterations + 1));
  device_.to_host(records.data(), state_.history, records.size() * sizeof(double));
  r.history.assign(records.begin(), records.begin() + r.iterations + 1);
  r.model.assign(records.begin() + room_, records.end());
  const double value = state_.reason == CgReason::preconditioner ? state_.ry : state_.curvature;
  conclude(
      r,
      stopped_ ? Ending{Status::stopped} : Ending{status_of(state_.status), state_.reason, value},
      state_.target);
  return r;
}

}  // namespace

bool fits_resident(const LinearOperator* M) {
  return M == nullptr || dynamic_cast<const DiagonalOperator*>(M) != nullptr;
}

SolveReport run_resident(const LinearOperator::Resident& A, const View& x, const CgStart& start,
                         const CgOptions& options, KeptIterates& kept) {
  return ResidentSolve(A, x, start, options, kept).run();
}

}  // namespace hesscore
