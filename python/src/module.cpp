// The extension module hesscore._core.
#include "module.hpp"

#include "arrays.hpp"

NB_MODULE(_core, m) {
  m.doc() = "The compiled engine behind hesscore. Use the hesscore package itself.";
  m.def("version", [] { return HESSCORE_VERSION; });
  hesscore::python::load_numpy();
  hesscore::python::bind_core(m);
  hesscore::python::bind_graph(m);
  hesscore::python::bind_objective(m);
  hesscore::python::bind_operators(m);
  hesscore::python::bind_curvature(m);
  hesscore::python::bind_kronecker(m);
  hesscore::python::bind_solve(m);
  hesscore::python::bind_probes(m);
  hesscore::python::bind_eigen(m);
  hesscore::python::bind_krylov(m);
  hesscore::python::bind_optim(m);
}
