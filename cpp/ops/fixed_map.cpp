// FixedMap: all passes from the map, its transpose and its element-wise square.
#include "ops/kinds.hpp"

namespace hesscore {

void FixedMap::forward(Emit& e, const Site& s, Out y) const {
  for (std::size_t i = 0; i < s.x.size(); ++i) {
    y.accumulate = i > 0 && !disjoint();
    apply(e, s, i, s.x[i], y, 1);
  }
}

void FixedMap::jvp(Emit& e, const Site& s, const JvpPorts& p) const {
  Out dy = p.dy;
  bool any = false;
  for (std::size_t i = 0; i < s.x.size(); ++i) {
    if (!p.dx[i] && disjoint()) {  // a block without a tangent: nobody else writes its zeros
      e.call<kernels::Fill>({p.dy, p.reps * s.y_size(), 0});
      break;
    }
  }
  for (std::size_t i = 0; i < s.x.size(); ++i) {
    if (!p.dx[i]) continue;
    dy.accumulate = any && !disjoint();
    apply(e, s, i, p.dx[i], dy, p.reps);
    any = true;
  }
}

void FixedMap::vjp(Emit& e, const Site& s, const VjpPorts& p) const {
  for (std::size_t i = 0; i < s.x.size(); ++i) {
    if (p.gx[i]) apply_t(e, s, i, p.gy, p.gx[i], p.reps, false);
  }
}

void FixedMap::vjp_dot(Emit& e, const Site& s, const SecondPorts& p) const {
  for (std::size_t i = 0; i < s.x.size(); ++i) {
    if (p.dgx[i]) apply_t(e, s, i, p.dgy, p.dgx[i], p.reps, false);
  }
}

void FixedMap::diag(Emit& e, const Site& s, const DiagPorts& p) const {
  for (std::size_t i = 0; i < s.x.size(); ++i) {
    if (p.gx[i]) apply_t(e, s, i, p.gy, p.gx[i], 1, false);
    if (p.hx[i]) apply_t(e, s, i, p.hy, p.hx[i], 1, true);
  }
}

}  // namespace hesscore
