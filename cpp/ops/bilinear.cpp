// Bilinear: all passes from three products and the sum of the bias.
#include "ops/kinds.hpp"

namespace hesscore {
namespace {

In bias_of(const std::vector<In>& w) { return w.size() > 1 ? w[1] : In{}; }

}  // namespace

void Bilinear::forward(Emit& e, const Site& s, Out y) const {
  product(e, s, s.w[0], bias_of(s.w), s.x[0], y, {});
}

void Bilinear::jvp(Emit& e, const Site& s, const JvpPorts& p) const {
  Out dy = p.dy;
  if (!p.v.empty()) {
    product(e, s, p.v[0], bias_of(p.v), s.x[0], dy, {p.reps, true, false, p.stride});
    dy = dy.adding();
  }
  if (p.dx[0]) product(e, s, s.w[0], {}, p.dx[0], dy, {p.reps, false, true});
}

// Parameters first: the input's adjoint, last, can take the activation before it along.
void Bilinear::vjp(Emit& e, const Site& s, const VjpPorts& p) const {
  if (!p.gw.empty()) {
    const Stack stack{p.reps, true, false, p.stride};
    product_w(e, s, p.gy, s.x[0], p.gw[0], stack, false);
    if (p.gw.size() > 1) bias_sum(e, s, p.gy, p.gw[1], stack);
  }
  if (p.gx[0]) product_x(e, s, s.w[0], p.gy, p.gx[0], {p.reps, false, true}, false);
}

void Bilinear::vjp_dot(Emit& e, const Site& s, const SecondPorts& p) const {
  if (p.dgx[0]) {
    Out dgx = p.dgx[0];
    if (!p.v.empty()) {
      product_x(e, s, p.v[0], p.gy, dgx, {p.reps, true, false, p.stride}, false);
      dgx = dgx.adding();
    }
    product_x(e, s, s.w[0], p.dgy, dgx, {p.reps, false, true}, false);
  }
  if (p.hw.empty()) return;
  const Stack stack{p.reps, true, false, p.stride};
  product_w(e, s, p.dgy, s.x[0], p.hw[0], stack, false);
  if (p.hw.size() > 1) bias_sum(e, s, p.dgy, p.hw[1], stack);
  if (p.dx[0]) {
    product_w(e, s, p.gy, p.dx[0], p.hw[0].adding(), {p.reps, false, true, p.stride}, false);
  }
}

// 2 <dx, Px(v, gy)>
void Bilinear::second_form(Emit& e, const Site& s, const FormPorts& p) const {
  if (!p.dx[0] || p.v.empty()) return;
  const Operand b = e.temporary(p.reps * s.x_size());
  product_x(e, s, p.v[0], p.gy, b, {p.reps, true, false, p.stride}, false);
  p.add(e, 0, b, s.x_size(), 2);
}

void Bilinear::diag(Emit& e, const Site& s, const DiagPorts& p) const {
  if (!p.gw.empty()) {
    dual_w(e, s, p.gy, p.hy, p.gw[0], p.hw[0]);
    if (p.gw.size() > 1) bias_sum(e, s, p.gy, p.gw[1], {});
  } else if (!p.hw.empty()) {
    product_w(e, s, p.hy, s.x[0], p.hw[0], {}, true);
  }
  if (p.hw.size() > 1) bias_sum(e, s, p.hy, p.hw[1], {});
  if (p.gx[0] && p.hx[0]) {
    dual_x(e, s, p.gy, p.hy, p.gx[0], p.hx[0]);
  } else if (p.hx[0]) {
    product_x(e, s, s.w[0], p.hy, p.hx[0], {}, true);
  }
}

}  // namespace hesscore
