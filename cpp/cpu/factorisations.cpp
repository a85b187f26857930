// Cholesky, its solves, and symmetric eigenproblems.
#include "cpu/factorisations.hpp"

#include "backend/kernels.hpp"
#include "backend/lapack.hpp"

namespace hesscore::cpu {
namespace {

template <class T>
void cholesky(void*, const kernels::Cholesky::Args& a) {
  *a.info.as<std::int32_t>() = lapack::cholesky(a.a.as<T>(), a.n);
}

template <class T>
void cholesky_solve(void*, const kernels::CholeskySolve::Args& a) {
  lapack::cholesky_solve(a.l.as<T>(), a.b.as<T>(), a.n, a.rows);
}

template <class T>
void symmetric_eigen(void*, const kernels::SymmetricEigen::Args& a) {
  *a.info.as<std::int32_t>() = lapack::symmetric_eigen(a.a.as<T>(), a.values.as<T>(), a.n);
}

template <class T>
void register_for(KernelTable& table, DType dtype) {
  table.add<kernels::Cholesky>(dtype, &cholesky<T>);
  table.add<kernels::CholeskySolve>(dtype, &cholesky_solve<T>);
  table.add<kernels::SymmetricEigen>(dtype, &symmetric_eigen<T>);
}

}  // namespace

void register_factorisations(KernelTable& table) {
  register_for<float>(table, DType::f32);
  register_for<double>(table, DType::f64);
}

}  // namespace hesscore::cpu
