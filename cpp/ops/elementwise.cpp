// Elementwise: all passes from the jet f, f', f''.
#include "math/activations.hpp"
#include "ops/kinds.hpp"

namespace hesscore {

namespace {

using kernels::Epilogue;

// What the last product has just finished, if it can take a map along.
struct Finished {
  Operand c, c2;
  std::int64_t count;
};

Finished finished(const kernels::Product::Args& a) {
  return {a.batch == 1 ? a.c : Out{}, {}, a.m * a.n};
}
Finished finished(const kernels::DualProduct::Args& a) { return {a.c1, a.c2, a.m * a.n}; }
Finished finished(const kernels::Convolve::Args& a) {
  return {a.batch == 1 ? a.y : Out{}, a.y2, a.g.n * a.g.y_image()};
}
Finished finished(const kernels::ConvolveTransposed::Args& a) {
  return {a.batch == 1 ? a.x : Out{}, a.x2, a.g.n * a.g.x_image()};
}

// A map of n numbers that a product of this kind has just finished at `c` becomes its epilogue.
template <class Key>
bool fuse(Emit& e, const Operand& c, const Operand& c2, std::int64_t n, const Epilogue& then) {
  const auto* last = e.last<Key>();
  if (!last || last->then.kind != Epilogue::none) return false;
  const Finished made = finished(*last);
  if (!made.c || !(made.c == c && made.c2 == c2) || made.count != n) return false;
  typename Key::Args args = *last;
  args.then = then;
  e.take_back();
  e.call<Key>(args);
  return true;
}

bool fuse(Emit& e, const Operand& c, std::int64_t n, const Epilogue& then) {
  return !then.y.accumulate &&
         (fuse<kernels::Product>(e, c, {}, n, then) || fuse<kernels::Convolve>(e, c, {}, n, then) ||
          fuse<kernels::ConvolveTransposed>(e, c, {}, n, then));
}

bool fuse_dual(Emit& e, const Operand& g, const Operand& h, std::int64_t n, const Epilogue& then) {
  if (!then.y || then.y.accumulate || then.y2.accumulate) return false;
  return fuse<kernels::DualProduct>(e, g, h, n, then) ||
         fuse<kernels::Convolve>(e, g, h, n, then) ||
         fuse<kernels::ConvolveTransposed>(e, g, h, n, then);
}

}  // namespace

void Elementwise::forward(Emit& e, const Site& s, Out y) const {
  const auto kind = s.slopes ? Epilogue::value_and_slope : Epilogue::value;
  if (fuse(e, s.x[0], s.y_size(), {kind, act_, {}, y, {}})) return;
  if (s.slopes) {
    e.call<kernels::MapLinearize>({s.x[0], y, s.y_size(), act_});
  } else {
    e.call<kernels::MapForward>({s.x[0], y, s.y_size(), act_});
  }
}

// The same for tangents and adjoints.
void Elementwise::multiply_slopes(Emit& e, const Site& s, In from, Out to,
                                  std::int64_t reps) const {
  const std::int64_t n = s.y_size();
  const auto kind = s.slopes ? Epilogue::times : Epilogue::slope;
  if (reps == 1 && fuse(e, from, n, {kind, act_, s.x[0], to, {}})) return;
  if (s.slopes) {
    e.call<kernels::Multiply>({s.x[0], from, to, n, reps, false, true});
  } else {
    e.call<kernels::MapTangent>({s.x[0], from, to, n, reps, act_});
  }
}

void Elementwise::jvp(Emit& e, const Site& s, const JvpPorts& p) const {
  multiply_slopes(e, s, p.dx[0], p.dy, p.reps);
}

void Elementwise::vjp(Emit& e, const Site& s, const VjpPorts& p) const {
  multiply_slopes(e, s, p.gy, p.gx[0], p.reps);
}

void Elementwise::vjp_dot(Emit& e, const Site& s, const SecondPorts& p) const {
  if (is_affine(false, 1)) return multiply_slopes(e, s, p.dgy, p.dgx[0], p.reps);
  e.call<kernels::MapSecond>({s.x[0], p.dx[0], p.gy, p.dgy, p.dgx[0], s.y_size(), p.reps, act_});
}

void Elementwise::diag(Emit& e, const Site& s, const DiagPorts& p) const {
  const auto kind = p.gauss_newton ? Epilogue::diagonal_gauss_newton : Epilogue::diagonal;
  if (fuse_dual(e, p.gy, p.hy, s.y_size(), {kind, act_, s.x[0], p.gx[0], p.hx[0]})) return;
  e.call<kernels::MapDiagonal>(
      {s.x[0], p.gy, p.hy, p.gx[0], p.hx[0], s.y_size(), p.gauss_newton, act_});
}

bool Elementwise::is_projection() const {
  bool projection = false;
  math::dispatch(act_.id,
                 [&](auto rule) { projection = requires { decltype(rule)::projection; }; });
  return projection;
}

bool Elementwise::never_decreases() const {
  bool grows = false;
  math::dispatch(act_.id, [&](auto rule) { grows = requires { decltype(rule)::increasing; }; });
  return grows && act_.alpha >= 0;
}

bool Elementwise::is_affine(bool, int) const {
  bool affine = false;
  math::dispatch(act_.id, [&](auto rule) { affine = requires { decltype(rule)::affine; }; });
  return affine;
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
