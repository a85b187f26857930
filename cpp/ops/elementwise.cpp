// Elementwise: all passes from the jet f, f', f''.
#include "math/activations.hpp"
#include "ops/kinds.hpp"

namespace hesscore {

void Elementwise::forward(Emit& e, const Site& s, Out y) const {
  e.call<kernels::MapForward>({s.x[0], y, s.y_size(), act_});
}

void Elementwise::jvp(Emit& e, const Site& s, const JvpPorts& p) const {
  e.call<kernels::MapTangent>({s.x[0], p.dx[0], p.dy, s.y_size(), p.reps, act_});
}

void Elementwise::vjp(Emit& e, const Site& s, const VjpPorts& p) const {
  e.call<kernels::MapTangent>({s.x[0], p.gy, p.gx[0], s.y_size(), p.reps, act_});
}

void Elementwise::vjp_dot(Emit& e, const Site& s, const SecondPorts& p) const {
  e.call<kernels::MapSecond>({s.x[0], p.dx[0], p.gy, p.dgy, p.dgx[0], s.y_size(), p.reps, act_});
}

void Elementwise::diag(Emit& e, const Site& s, const DiagPorts& p) const {
  e.call<kernels::MapDiagonal>(
      {s.x[0], p.gy, p.hy, p.gx[0], p.hx[0], s.y_size(), p.gauss_newton, act_});
}

double Elementwise::mean_square_slope() const {
  constexpr double kNear = 1e-9;
  double sum = 0;
  math::dispatch(act_.id, [&](auto rule) {
    const double left = rule.at(-kNear, act_.alpha).d, right = rule.at(kNear, act_.alpha).d;
    sum = left * left + right * right;
  });
  return sum / 2;
}

}  // namespace hesscore
