// Multiply: y = a b. dy = da b + a db; ga = b gy; dga = b dgy + db gy; ha = b^2 hy.
#include "ops/structural.hpp"

namespace hesscore {

void Multiply::forward(Emit& e, const Site& s, Out y) const {
  e.call<kernels::Multiply>({s.x[0], s.x[1], y, s.y_size()});
}

void Multiply::jvp(Emit& e, const Site& s, const JvpPorts& p) const {
  Out dy = p.dy;
  for (std::size_t i = 0; i < 2; ++i) {
    if (!p.dx[i]) continue;
    e.call<kernels::Multiply>({p.dx[i], s.x[1 - i], dy, s.y_size(), p.reps, true});
    dy = dy.adding();
  }
}

void Multiply::vjp(Emit& e, const Site& s, const VjpPorts& p) const {
  for (std::size_t i = 0; i < 2; ++i) {
    if (p.gx[i]) e.call<kernels::Multiply>({p.gy, s.x[1 - i], p.gx[i], s.y_size(), p.reps, true});
  }
}

void Multiply::vjp_dot(Emit& e, const Site& s, const SecondPorts& p) const {
  for (std::size_t i = 0; i < 2; ++i) {
    if (!p.dgx[i]) continue;
    e.call<kernels::Multiply>({p.dgy, s.x[1 - i], p.dgx[i], s.y_size(), p.reps, true});
    if (!p.dx[1 - i]) continue;
    e.call<kernels::Multiply>({p.dx[1 - i], p.gy, p.dgx[i].adding(), s.y_size(), p.reps, true});
  }
}

void Multiply::diag(Emit& e, const Site& s, const DiagPorts& p) const {
  vjp(e, s, {p.gy, p.gx, {}});
  for (std::size_t i = 0; i < 2; ++i) {
    if (!p.hx[i]) continue;
    kernels::Multiply::Args a{p.hy, s.x[1 - i], p.hx[i], s.y_size()};
    a.square_b = true;
    e.call<kernels::Multiply>(a);
  }
}

}  // namespace hesscore
