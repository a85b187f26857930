// Lanczos and the eigenvalues it finds.
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include "module.hpp"
#include "solvers.hpp"

using namespace nanobind::literals;

namespace hesscore::python {
namespace {

// alpha and beta (K, k), lengths, the basis (K, k + 1, n) or None, and the report.
nb::tuple run_lanczos(const PyOperator& a, nb::handle start, std::int64_t steps,
                      bool reorthogonalise, bool keep_basis) {
  Array v("v0");
  read_for(a, "A", start, v, /*rows=*/true);
  LanczosRuns runs;
  work(v.place(), [&] {
    v.check_finite();
    runs = lanczos(*a.engine, v,
                   {.steps = steps,
                    .reorthogonalise = reorthogonalise,
                    .keep_basis = keep_basis,
                    .poll = SignalPoll()});
  });
  const auto count = static_cast<std::int64_t>(runs.lengths.size());
  nb::object basis = nb::none();
  if (keep_basis) {
    const NewArray out(v.place(), a.engine->dtype(), {count, steps + 1, a.engine->size()});
    work(v.place(),
         [&] { v.place().device->copy(out.view.data, runs.basis.data(), bytes_of(out.view)); });
    basis = out.object;
  }
  return nb::make_tuple(array_of(runs.alpha, {count, steps}), array_of(runs.beta, {count, steps}),
                        runs.lengths, basis, told(runs.report));
}

Which which_of(const std::string& name) {
  if (name == "LA") return Which::largest;
  if (name == "SA") return Which::smallest;
  return name == "LM" ? Which::magnitude : Which::both_ends;
}

// values, residuals, vectors (k, n) and the report.
nb::tuple run_eigsh(const PyOperator& a, nb::handle start, std::int64_t count,
                    const std::string& which, double tol, std::int64_t maxiter, std::int64_t ncv,
                    std::uint64_t seed) {
  Array v("v0");
  read_for(a, "A", start, v);
  EigshResult found;
  work(v.place(), [&] {
    v.check_finite();
    found = eigsh(*a.engine, v,
                  {.count = count,
                   .which = which_of(which),
                   .tol = tol,
                   .maxiter = maxiter,
                   .ncv = ncv,
                   .seed = seed,
                   .poll = SignalPoll()});
  });
  const auto k = static_cast<std::int64_t>(found.values.size());
  const NewArray vectors(v.place(), a.engine->dtype(), {k, a.engine->size()});
  work(v.place(), [&] {
    if (k > 0)
      v.place().device->copy(vectors.view.data, found.vectors.data(), bytes_of(vectors.view));
  });
  return nb::make_tuple(array_of(found.values, {k}), array_of(found.residuals, {k}), vectors.object,
                        told(found.report));
}

}  // namespace

void bind_eigen(nb::module_& m) {
  m.def("lanczos", &run_lanczos, "A"_a, "v0"_a.none(), "k"_a, "reorthogonalise"_a, "keep_basis"_a);
  m.def("eigsh", &run_eigsh, "A"_a, "v0"_a.none(), "k"_a, "which"_a, "tol"_a, "maxiter"_a, "ncv"_a,
        "seed"_a);
}

}  // namespace hesscore::python
