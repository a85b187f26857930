// Elementwise: all passes from the jet f, f', f''.
#include "math/activations.hpp"
#include "ops/kinds.hpp"

namespace hesscore {

namespace {

using kernels::Epilogue;

// A map of n numbers that a product has just finished at `c` becomes that product's epilogue.
bool fuse(Emit& e, const Operand& c, std::int64_t n, const Epilogue& then) {
  const auto* last = e.last<kernels::Product>();
  if (!last || !(last->c == c) || last->batch != 1 || last->m * last->n != n) return false;
  if (last->then.kind != Epilogue::none || then.y.accumulate) return false;
  kernels::Product::Args args = *last;
  args.then = then;
  e.take_back();
  e.call<kernels::Product>(args);
  return true;
}

bool fuse_dual(Emit& e, const Operand& g, const Operand& h, std::int64_t n, const Epilogue& then) {
  const auto* last = e.last<kernels::DualProduct>();
  if (!last || !(last->c1 == g && last->c2 == h) || last->m * last->n != n) return false;
  if (!then.y || then.y.accumulate || then.y2.accumulate) return false;
  kernels::DualProduct::Args args = *last;
  args.then = then;
  e.take_back();
  e.call<kernels::DualProduct>(args);
  return true;
}

}  // namespace

void Elementwise::forward(Emit& e, const Site& s, Out y) const {
  if (fuse(e, s.x[0], s.y_size(), {Epilogue::value, act_, {}, y, {}})) return;
  e.call<kernels::MapForward>({s.x[0], y, s.y_size(), act_});
}

void Elementwise::jvp(Emit& e, const Site& s, const JvpPorts& p) const {
  const std::int64_t n = s.y_size();
  if (p.reps == 1 && fuse(e, p.dx[0], n, {Epilogue::slope, act_, s.x[0], p.dy, {}})) return;
  e.call<kernels::MapTangent>({s.x[0], p.dx[0], p.dy, n, p.reps, act_});
}

void Elementwise::vjp(Emit& e, const Site& s, const VjpPorts& p) const {
  const std::int64_t n = s.y_size();
  if (p.reps == 1 && fuse(e, p.gy, n, {Epilogue::slope, act_, s.x[0], p.gx[0], {}})) return;
  e.call<kernels::MapTangent>({s.x[0], p.gy, p.gx[0], n, p.reps, act_});
}

void Elementwise::vjp_dot(Emit& e, const Site& s, const SecondPorts& p) const {
  e.call<kernels::MapSecond>({s.x[0], p.dx[0], p.gy, p.dgy, p.dgx[0], s.y_size(), p.reps, act_});
}

void Elementwise::diag(Emit& e, const Site& s, const DiagPorts& p) const {
  const auto kind = p.gauss_newton ? Epilogue::diagonal_gauss_newton : Epilogue::diagonal;
  if (fuse_dual(e, p.gy, p.hy, s.y_size(), {kind, act_, s.x[0], p.gx[0], p.hx[0]})) return;
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
