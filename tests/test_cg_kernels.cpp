// The kernels of conjugate gradients, and the transitions of their state.
#include <functional>
#include <limits>
#include <vector>

#include "backend/kernels.hpp"
#include "check.hpp"
#include "cpu/kernels_for.hpp"
#include "hesscore/vector.hpp"

using namespace hesscore;
using math::CgReason;
using math::CgState;
using math::CgStatus;

namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

// A state in the middle of a solve, with records.
struct Running {
  Running() {
    s.target = 1e-3;
    s.maxiter = 100;
    s.history = history;
    s.model = model;
    math::cg_start(s, {4, 4, 4, 0});
  }
  void step(double uv, const math::CgSums& sums) {
    math::cg_curvature(s, uv);
    math::cg_advance(s, sums);
  }
  bool ended(CgStatus status, CgReason reason) const {
    return s.status == status && s.reason == reason && s.go_on == 0;
  }
  double history[128] = {}, model[128] = {};
  CgState s;
};

}  // namespace

TEST("a solve starts where there is something to do") {
  Running a;
  CHECK(a.s.go_on == 1 && a.s.status == CgStatus::running && a.s.residual == 2);
  CHECK(a.s.ry == 4 && a.s.pp == 4 && a.history[0] == 2 && a.model[0] == 0);
  const auto start = [](double target, const math::CgSums& sums) {
    Running b;
    b.s.target = target;
    b.s.status = CgStatus::running;
    math::cg_start(b.s, sums);
    return b;
  };
  CHECK(start(2, {4, 4, 4, 0}).ended(CgStatus::converged, CgReason::tolerance));
  CHECK(start(1, {kNaN, 4, 4, 0}).ended(CgStatus::breakdown, CgReason::first_residual));
  CHECK(start(1, {kInf, 4, 4, 0}).ended(CgStatus::breakdown, CgReason::first_residual));
  CHECK(start(1, {4, -1, 4, 0}).ended(CgStatus::breakdown, CgReason::preconditioner));
  CHECK(start(1, {4, kNaN, 4, 0}).ended(CgStatus::breakdown, CgReason::preconditioner));
}

TEST("an iteration knows its step, its model and the length of its direction") {
  Running a;
  a.s.scale = 2;
  a.s.shift = 0.5;
  a.step(3, {1, 1, 1, 0.25});
  CHECK(a.s.curvature == 2 * 3 + 0.5 * 4 && a.s.alpha == 0.5);
  CHECK(a.s.phi == 0.5 * (0.5 * 8 / 2 - 4) && a.s.iterations == 1 && a.s.residual == 1);
  CHECK(a.history[1] == 1 && a.model[1] == a.s.phi);
  CHECK(a.s.beta == 0.25 && a.s.ry == 1);
  CHECK(a.s.pp == 1 + 2 * 0.25 * 0.25 + 0.0625 * 4);
  CHECK(a.s.go_on == 1);
}

TEST("nothing happens after the end, nor in a pause") {
  Running a;
  a.s.pause_at = 1;
  a.step(4, {1, 1, 1, 0});
  CHECK(a.s.go_on == 0 && a.s.status == CgStatus::running && a.s.alpha != 0);
  const CgState paused = a.s;
  a.step(4, {9, 9, 9, 9});
  CHECK(a.s.alpha == 0 && a.s.iterations == 1 && a.s.ry == paused.ry && a.s.pp == paused.pp);
  a.s.go_on = 1;
  a.step(1, {1e-8, 1e-8, 1e-8, 0});
  CHECK(a.ended(CgStatus::converged, CgReason::tolerance) && a.s.iterations == 2);
  a.step(1, {1, 1, 1, 0});
  CHECK(a.s.iterations == 2 && a.s.residual == 1e-4 && a.s.alpha == 0);
}

TEST("it ends as the rules say") {
  Running limit;
  limit.s.maxiter = 1;
  limit.step(4, {1, 1, 1, 0});
  CHECK(limit.ended(CgStatus::max_iterations, CgReason::none));

  Running product;
  product.step(kNaN, {1, 1, 1, 0});
  CHECK(product.ended(CgStatus::breakdown, CgReason::product) && product.s.iterations == 0);

  Running overflow;
  overflow.step(4, {kInf, 1, 1, 0});
  CHECK(overflow.ended(CgStatus::breakdown, CgReason::overflow));
  CHECK(overflow.s.alpha == 0 && overflow.s.residual == 2 && overflow.s.iterations == 0);

  Running preconditioner;
  preconditioner.step(4, {1, -1, 1, 0});
  CHECK(preconditioner.ended(CgStatus::breakdown, CgReason::preconditioner));
  CHECK(preconditioner.s.alpha != 0 && preconditioner.s.iterations == 1);  // this x is good

  Running first;
  first.step(-1, {9, 9, 9, 0});
  CHECK(first.ended(CgStatus::negative_curvature, CgReason::first_direction));
  CHECK(first.s.alpha == 1 && first.s.iterations == 1 && first.s.phi == -0.5 - 4);

  Running later;
  later.step(4, {1, 1, 1, 0});
  later.step(0, {1, 1, 1, 0});
  CHECK(later.ended(CgStatus::negative_curvature, CgReason::none));
  CHECK(later.s.alpha == 0 && later.s.iterations == 1);
}

TEST("Martens' rule looks back ten iterations, or a tenth of them") {
  Running a;
  a.s.martens = 1;
  while (a.s.go_on != 0) a.step(4e4, {4, 4, 4, 0});
  CHECK(a.ended(CgStatus::converged, CgReason::stalled) == false);  // it gains as much every time
  CHECK(a.s.status == CgStatus::max_iterations);
  Running b;
  b.s.martens = 1;
  b.step(4, {1, 1, 1, 0});
  while (b.s.go_on != 0) b.step(1e12, {1, 1, 1, 0});
  CHECK(b.ended(CgStatus::converged, CgReason::stalled) && b.s.iterations == 11);
}

TEST("a step that underflows is one all the same") {
  Running a;
  a.s.ry = 1e-300;
  a.step(1e300, {1, 1, 1, 0});
  CHECK(a.s.iterations == 1 && a.s.alpha > 0);
}

namespace {

using Numbers = std::vector<double>;
constexpr std::int64_t kSizes[] = {1, 3, 5, 257, 1024, 9001, 40000};

struct Place {
  Device& device;
  const KernelTable& table;
  DType dtype;

  template <class Key>
  void call(const typename Key::Args& args) const {
    table.get<Key>(dtype)(device.stream(), args);
  }
  // Numbers that are the same on every device and for any n.
  Vector draw(std::int64_t n, int seed) const {
    Numbers values;
    for (std::int64_t i = 0; i < n; ++i) {
      values.push_back(2 * std::sin(1.3 * static_cast<double>(i) + 7.1 * seed));
    }
    Vector v(device, dtype, n);
    v.from_host(values);
    return v;
  }
};

// Every kernel table and dtype; 16-byte steps and others.
template <class F>
void everywhere(F body) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    for (const std::string_view isa : cpu::supported_isas()) {
      body(Place{device("cpu"), cpu::make_kernel_table(isa), dtype});
    }
    for (const std::string& name : devices()) {
      Device& d = device(name);
      const int before = check::failures;
      body(Place{d, d.kernels(), dtype});
      if (check::failures > before) std::printf("  (on %s)\n", name.c_str());
    }
  }
}

// The state on a device, its records beside it.
class Remote {
 public:
  Remote(const Place& at, CgState s)
      : device_(at.device), state_(at.device, sizeof s), records_(at.device, sizeof(double) * 200) {
    s.history = static_cast<double*>(records_.data());
    s.model = s.history + 100;
    device_.from_host(state_.data(), &s, sizeof s);
  }
  CgState get() const {
    CgState s;
    device_.to_host(&s, state_.data(), sizeof s);
    return s;
  }
  Out out() const { return Out(state_.data()); }

 private:
  Device& device_;
  Buffer state_, records_;
};

CgState given(double alpha) {
  CgState s = Running().s;
  s.scale = 2;
  s.shift = 3;
  s.alpha = alpha;
  s.curvature = 8;
  s.beta = 0.5;
  return s;
}

void expect(const Vector& got, DType dtype, const std::function<double(std::size_t)>& value) {
  const Numbers v = got.to_host();
  for (std::size_t i = 0; i < v.size(); ++i) {
    if (check::close(v[i], value(i), dtype == DType::f32 ? 2e-6 : 1e-14)) continue;
    return check::fail("element", static_cast<int>(i),
                       std::to_string(v[i]) + " instead of " + std::to_string(value(i)));
  }
}

double dot(const Numbers& a, const Numbers& b) {
  double s = 0;
  for (std::size_t i = 0; i < a.size(); ++i) s += a[i] * b[i];
  return s;
}

}  // namespace

TEST("curvature: alpha, and the seed of the backward pass") {
  everywhere([](const Place& at) {
    for (const std::int64_t n : kSizes) {
      for (const bool stopped : {false, true}) {
        const Vector u = at.draw(n, 1), v = at.draw(n, 2), seed = at.draw(n, 3);
        const Numbers before = v.to_host();
        const double uv = dot(u.to_host(), before);
        CgState s = given(0);
        s.shift = 1e6;  // so that p'Ap > 0
        s.go_on = stopped ? 0 : 1;
        const Remote state(at, s);
        at.call<kernels::CgCurvature>(
            {In(u.data()), In(v.data()), Out(seed.data()), state.out(), n});
        const double alpha = state.get().alpha;
        CHECK_CLOSE(alpha * 1e6, stopped ? 0 : 4e6 / (2 * uv + 4e6), 1e-10);
        expect(seed, at.dtype, [&](std::size_t i) { return -2 * alpha * before[i]; });
        const Remote again(at, s);
        at.call<kernels::CgCurvature>({In(u.data()), In(v.data()), {}, again.out(), n});
        CHECK(again.get().alpha == alpha);
      }
    }
  });
}

TEST("without a step the seed is zero whatever it would be made of") {
  everywhere([](const Place& at) {
    const Vector u = at.draw(5, 1), seed = at.draw(5, 3);
    Vector bad(at.device, at.dtype, 5);
    bad.from_host({1, kInf, kNaN, -kInf, 2});
    const Remote state(at, given(0));
    at.call<kernels::CgCurvature>({In(u.data()), In(bad.data()), Out(seed.data()), state.out(), 5});
    CHECK(seed.to_host() == Numbers(5));
    CHECK(state.get().reason == CgReason::product);
  });
}

TEST("advance: the residual, and what follows from its inner products") {
  everywhere([](const Place& at) {
    for (const std::int64_t n : kSizes) {
      for (const int kind : {0, 1, 2, 3, 4, 5}) {
        const bool start = kind % 3 == 2, has_d = kind >= 3, has_q = kind % 3 == 1;
        const Vector p = at.draw(n, 1), q = at.draw(n, 2), d = at.draw(n, 3), r = at.draw(n, 4);
        const Numbers p0 = p.to_host(), q0 = q.to_host(), d0 = d.to_host(), r0 = r.to_host();
        const CgState s = given(0.25);
        const Remote state(at, s);
        at.call<kernels::CgAdvance>({start ? In() : In(p.data()), has_q ? In(q.data()) : In(),
                                     has_d ? In(d.data()) : In(), Out(r.data()), state.out(), n,
                                     start});
        expect(r, at.dtype, [&](std::size_t i) {
          return start ? r0[i] : r0[i] - 0.25 * ((has_q ? 2 * q0[i] : 0) + 3 * p0[i]);
        });
        const Numbers r1 = r.to_host();
        Numbers y = r1;
        for (std::size_t i = 0; has_d && i < y.size(); ++i) y[i] *= d0[i];
        const CgState now = state.get();
        const double tolerance = at.dtype == DType::f32 ? 1e-4 : 1e-11;
        CHECK_CLOSE(now.residual, std::sqrt(dot(r1, r1)), tolerance);
        CHECK_CLOSE(now.ry, dot(r1, y), tolerance);
        const double beta = start ? 0 : dot(r1, y) / 4;
        const double pp = dot(y, y) + beta * (start ? 0 : 2 * dot(y, p0) + beta * s.pp);
        CHECK_CLOSE(now.beta, beta, tolerance);
        CHECK_CLOSE(now.pp, pp, tolerance);
        CHECK(now.iterations == (start ? 0 : 1));
      }
    }
  });
}

TEST("direction: the iterate, then the next direction") {
  everywhere([](const Place& at) {
    for (const std::int64_t n : kSizes) {
      for (const bool start : {false, true}) {
        for (const bool has_d : {false, true}) {
          const Vector r = at.draw(n, 1), d = at.draw(n, 2), x = at.draw(n, 3), p = at.draw(n, 4);
          const Numbers r0 = r.to_host(), d0 = d.to_host(), x0 = x.to_host(), p0 = p.to_host();
          const Remote state(at, given(0.25));
          at.call<kernels::CgDirection>({In(r.data()), has_d ? In(d.data()) : In(), In(state.out()),
                                         start ? Out() : Out(x.data()), Out(p.data()), n, start});
          expect(x, at.dtype, [&](std::size_t i) { return start ? x0[i] : x0[i] + 0.25 * p0[i]; });
          expect(p, at.dtype, [&](std::size_t i) {
            return (has_d ? d0[i] * r0[i] : r0[i]) + (start ? 0 : 0.5 * p0[i]);
          });
        }
      }
    }
  });
}

TEST("without a step nothing is touched") {
  everywhere([](const Place& at) {
    Vector bad(at.device, at.dtype, 6);
    bad.from_host({1, kInf, kNaN, -kInf, 2, 0});
    const Vector r = at.draw(6, 1), x = at.draw(6, 2), p = at.draw(6, 3);
    const Numbers r0 = r.to_host(), x0 = x.to_host(), p0 = p.to_host();
    const Remote state(at, given(0));
    at.call<kernels::CgAdvance>(
        {In(bad.data()), In(bad.data()), In(bad.data()), Out(r.data()), state.out(), 6});
    at.call<kernels::CgDirection>(
        {In(bad.data()), In(bad.data()), In(state.out()), Out(x.data()), Out(p.data()), 6});
    CHECK(r.to_host() == r0 && x.to_host() == x0 && p.to_host() == p0);
    CHECK(state.get().iterations == 0 && state.get().residual == 2);
  });
}

TEST("results do not depend on where arrays begin") {
  everywhere([](const Place& at) {
    constexpr std::int64_t n = 3001;
    const auto run = [&](std::int64_t offset) {
      const Numbers values = at.draw(n, 1).to_host();
      Vector r(at.device, at.dtype, n + offset);
      Numbers padded(static_cast<std::size_t>(offset));
      padded.insert(padded.end(), values.begin(), values.end());
      r.from_host(padded);
      const Vector p = at.draw(n, 2);
      const Remote state(at, given(0.25));
      Out out(r.data());
      out.ptr = r.as<std::byte>() + static_cast<std::size_t>(offset) * size_of(at.dtype);
      at.call<kernels::CgAdvance>({In(p.data()), {}, {}, out, state.out(), n});
      return state.get().residual;
    };
    CHECK(run(0) == run(1));
  });
}
