// One function for each topic of the module, called once by module.cpp.
#pragma once

#include <nanobind/nanobind.h>

namespace hesscore::python {

void bind_core(nanobind::module_& m);
void bind_graph(nanobind::module_& m);
void bind_objective(nanobind::module_& m);
void bind_operators(nanobind::module_& m);
void bind_curvature(nanobind::module_& m);
void bind_kronecker(nanobind::module_& m);
void bind_solve(nanobind::module_& m);
void bind_probes(nanobind::module_& m);
void bind_eigen(nanobind::module_& m);
void bind_krylov(nanobind::module_& m);
void bind_optim(nanobind::module_& m);

}  // namespace hesscore::python
