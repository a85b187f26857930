// Solvers whose scalars stay on the device: many right-hand sides, many shifts, MINRES, LSMR and
// trust regions.
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include "module.hpp"
#include "solvers.hpp"

using namespace nanobind::literals;

namespace hesscore::python {
namespace {

nb::list told_all(const std::vector<SolveReport>& reports) {
  nb::list all;
  for (const SolveReport& r : reports) all.append(told(r));
  return all;
}

// Called with a copy of x; true stops.
std::function<bool(std::int64_t, View)> caller(const nb::object& callback, const Place& place) {
  if (callback.is_none()) return {};
  return [&callback, &place](std::int64_t, const View& x) {
    const nb::gil_scoped_acquire acquire;
    const NewArray copy(place, x.dtype, x.shape);
    place.device->copy(copy.view.data, x.data, bytes_of(x));
    return nb::cast<bool>(nb::bool_(callback(copy.object)));
  };
}

// cg_rows and minres.
using RowsSolver = std::vector<SolveReport> (*)(const LinearOperator&, View, View,
                                                const KrylovOptions&);

template <RowsSolver kSolver>
nb::tuple solve_rows(const PyOperator& a, nb::handle b_in, nb::handle x0, double rtol, double atol,
                     std::int64_t maxiter, const PyOperator* preconditioner, nb::object callback) {
  Array b("b");
  read_for(a, "A", b_in, b, /*rows=*/true);
  check_preconditioner(preconditioner, b);
  const NewArray x = starting_point(x0, b);
  std::vector<SolveReport> reports;
  work(b.place(), [&] {
    b.check_finite();
    reports = kSolver(*a.engine, b, x.view,
                      {.rtol = rtol,
                       .atol = atol,
                       .maxiter = maxiter,
                       .preconditioner = preconditioner ? preconditioner->engine.get() : nullptr,
                       .callback = caller(callback, b.place()),
                       .poll = SignalPoll()});
  });
  return nb::make_tuple(x.object, told_all(reports));
}

nb::tuple solve_shifted(const PyOperator& a, nb::handle b_in, const std::vector<double>& shifts,
                        double rtol, double atol, std::int64_t maxiter, nb::object callback) {
  Array b("b");
  read_for(a, "A", b_in, b);
  const auto count = static_cast<std::int64_t>(shifts.size());
  const NewArray x(b.place(), b.view().dtype, {count, a.engine->size()}, /*zeros=*/true);
  std::vector<SolveReport> reports;
  work(b.place(), [&] {
    b.check_finite();
    reports = cg_shifted(*a.engine, b, x.view, shifts,
                         {.rtol = rtol,
                          .atol = atol,
                          .maxiter = maxiter,
                          .callback = caller(callback, b.place()),
                          .poll = SignalPoll()});
  });
  return nb::make_tuple(x.object, told_all(reports));
}

// A v and A'u by calling Python.
class CallbackMap : public LinearMap {
 public:
  CallbackMap(nb::object apply, nb::object adjoint, std::int64_t cols, const Array& b)
      : apply_(std::move(apply)),
        adjoint_(std::move(adjoint)),
        like_(b.like()),
        place_(b.place()),
        rows_(b.view().shape[0]),
        cols_(cols) {}
  std::int64_t rows() const override { return rows_; }
  std::int64_t cols() const override { return cols_; }
  DType dtype() const override { return like_.dtype; }
  Device& device() const override { return *place_.device; }
  void apply(const void* v, void* out, std::int64_t count) const override {
    each(apply_, "A(v)", v, cols_, out, rows_, count);
  }
  void apply_adjoint(const void* u, void* out, std::int64_t count) const override {
    each(adjoint_, "A'(u)", u, rows_, out, cols_, count);
  }

 private:
  // Python sees one vector at a time.
  void each(const nb::object& function, const char* name, const void* in, std::int64_t from,
            void* out, std::int64_t to, std::int64_t count) const {
    const nb::gil_scoped_acquire acquire;
    const auto element = static_cast<std::int64_t>(size_of(dtype()));
    for (std::int64_t k = 0; k < count; ++k) {
      call(function, name,
           View(static_cast<const std::byte*>(in) + k * from * element, dtype(), {from}),
           View(static_cast<std::byte*>(out) + k * to * element, dtype(), {to}));
    }
  }
  void call(const nb::object& function, const char* name, const View& in, const View& out) const {
    const NewArray copy(place_, in.dtype, in.shape);
    place_.device->copy(copy.view.data, in.data, bytes_of(in));
    Array result(name);
    result.read(function(copy.object), like_);
    if (result.view().shape != out.shape) {
      throw ShapeError(result.name(), to_string(out.shape), to_string(result.view().shape));
    }
    place_.device->copy(out.data, result.view().data, bytes_of(out));
  }

  nb::object apply_, adjoint_;
  Like like_;
  Place place_;
  std::int64_t rows_, cols_;
};

nb::tuple run_lsmr(const LinearMap& a, const Array& b, double damp, double rtol, double atol,
                   std::int64_t maxiter) {
  const NewArray x(b.place(), b.view().dtype, {a.cols()}, /*zeros=*/true);
  SolveReport report;
  work(b.place(), [&] {
    b.check_finite();
    report =
        lsmr(a, b, x.view,
             {.damp = damp, .rtol = rtol, .atol = atol, .maxiter = maxiter, .poll = SignalPoll()});
  });
  return nb::make_tuple(x.object, told(report));
}

nb::tuple lsmr_of_map(const PyMap& a, nb::handle b_in, double damp, double rtol, double atol,
                      std::int64_t maxiter) {
  Array b("b");
  b.read(b_in, a.like("A"));
  return run_lsmr(a.map(), b, damp, rtol, atol, maxiter);
}

nb::tuple lsmr_of_callables(nb::object apply, nb::object adjoint, std::int64_t cols,
                            nb::handle b_in, double damp, double rtol, double atol,
                            std::int64_t maxiter) {
  Array b("b");
  b.read(b_in);
  if (b.view().shape.size() != 1) throw ShapeError("b", "a vector", to_string(b.view().shape));
  const CallbackMap a(std::move(apply), std::move(adjoint), cols, b);
  return run_lsmr(a, b, damp, rtol, atol, maxiter);
}

// The step, (decrease, multiplier, on_boundary, hard_case) and the report.
nb::tuple solve_trust_region(const PyOperator& a, nb::handle gradient, double radius, bool exact,
                             double rtol, std::int64_t maxiter, const PyOperator* preconditioner,
                             bool hard_case) {
  Array g("g");
  read_for(a, "A", gradient, g);
  check_preconditioner(preconditioner, g);
  const NewArray step(g.place(), g.view().dtype, g.view().shape, /*zeros=*/true);
  TrustRegionResult found;
  work(g.place(), [&] {
    g.check_finite();
    found = trust_region(*a.engine, g, step.view, radius,
                         {.method = exact ? TrustMethod::gltr : TrustMethod::steihaug,
                          .rtol = rtol,
                          .maxiter = maxiter,
                          .hard_case = hard_case,
                          .preconditioner = preconditioner ? preconditioner->engine.get() : nullptr,
                          .poll = SignalPoll()});
  });
  return nb::make_tuple(
      step.object,
      nb::make_tuple(found.decrease, found.multiplier, found.on_boundary, found.hard_case),
      told(found.report));
}

nb::tuple inverse_of_replicas(nb::handle W_in, nb::handle G_in, nb::handle z_in, double rtol) {
  Array W("W"), G("G"), z("z");
  z.read(z_in);
  W.read(W_in, z.like());
  G.read(G_in, z.like());
  const NewArray x(z.place(), z.view().dtype, z.view().shape);
  ReplicaReport report;
  work(z.place(), [&] {
    for (const Array* a : {&W, &G, &z}) a->check_finite();
    report = replica_inverse(W, G, z, x.view, rtol, *z.place().device);
  });
  return nb::make_tuple(x.object, report.rank, report.slope, report.eigenvalue);
}

}  // namespace

void bind_krylov(nb::module_& m) {
  m.def("cg_rows", &solve_rows<&cg_rows>, "A"_a, "b"_a.none(), "x0"_a.none(), "rtol"_a, "atol"_a,
        "maxiter"_a, "M"_a.none(), "callback"_a.none());
  m.def("minres", &solve_rows<&minres>, "A"_a, "b"_a.none(), "x0"_a.none(), "rtol"_a, "atol"_a,
        "maxiter"_a, "M"_a.none(), "callback"_a.none());
  m.def("cg_shifted", &solve_shifted, "A"_a, "b"_a.none(), "shifts"_a, "rtol"_a, "atol"_a,
        "maxiter"_a, "callback"_a.none());
  m.def("replica_inverse", &inverse_of_replicas, "W"_a.none(), "G"_a.none(), "z"_a.none(),
        "rtol"_a);
  m.def("lsmr", &lsmr_of_map, "A"_a, "b"_a.none(), "damp"_a, "rtol"_a, "atol"_a, "maxiter"_a);
  m.def("lsmr_of_callables", &lsmr_of_callables, "apply"_a, "adjoint"_a, "cols"_a, "b"_a.none(),
        "damp"_a, "rtol"_a, "atol"_a, "maxiter"_a);
  m.def("trust_region", &solve_trust_region, "A"_a, "g"_a.none(), "radius"_a, "exact"_a, "rtol"_a,
        "maxiter"_a, "M"_a.none(), "hard_case"_a);
}

}  // namespace hesscore::python
