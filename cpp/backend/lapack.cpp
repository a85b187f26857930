// LAPACK through its Fortran interface; scipy-openblas32 prefixes its symbols with `scipy_`.
#include "backend/lapack.hpp"

#include <limits>
#include <string>
#include <vector>

#include "hesscore/core.hpp"

#if defined(HESSCORE_SCIPY_OPENBLAS)
#define HC_LAPACK(name) scipy_##name##_
extern "C" void scipy_openblas_set_num_threads(int n);
#else
#define HC_LAPACK(name) name##_
#endif

extern "C" {
void HC_LAPACK(dgeqrf)(const int* m, const int* n, double* a, const int* lda, double* tau,
                       double* work, const int* lwork, int* info);
void HC_LAPACK(dorgqr)(const int* m, const int* n, const int* k, double* a, const int* lda,
                       const double* tau, double* work, const int* lwork, int* info);

#define HC_LAPACK_FACTORISATIONS(T, potrf, potrs, syevd)                                        \
  void HC_LAPACK(potrf)(const char* uplo, const int* n, T* a, const int* lda, int* info);       \
  void HC_LAPACK(potrs)(const char* uplo, const int* n, const int* nrhs, const T* a,            \
                        const int* lda, T* b, const int* ldb, int* info);                       \
  void HC_LAPACK(syevd)(const char* jobz, const char* uplo, const int* n, T* a, const int* lda, \
                        T* w, T* work, const int* lwork, int* iwork, const int* liwork,         \
                        int* info);
HC_LAPACK_FACTORISATIONS(float, spotrf, spotrs, ssyevd)
HC_LAPACK_FACTORISATIONS(double, dpotrf, dpotrs, dsyevd)
#undef HC_LAPACK_FACTORISATIONS
}

namespace hesscore::lapack {

namespace {

// Our copy of OpenBLAS works on the calling thread alone: the pool is ours (see cpu/parallel.hpp).
void use_one_thread() {
#if defined(HESSCORE_SCIPY_OPENBLAS)
  static const bool once = (scipy_openblas_set_num_threads(1), true);
  static_cast<void>(once);
#endif
}

int to_int(std::int64_t n) {
  if (n > std::numeric_limits<int>::max()) {
    throw SizeError("a matrix side of " + std::to_string(n) + " is too long for LAPACK");
  }
  return static_cast<int>(n);
}

// Calls `routine(work, lwork)` twice: for the size it wants, then in earnest.
template <class F>
void with_workspace(const char* name, F&& routine) {
  double wanted = 0;
  int info = routine(&wanted, -1);
  if (info == 0) {
    std::vector<double> work(static_cast<std::size_t>(wanted) + 1);
    info = routine(work.data(), static_cast<int>(wanted));
  }
  if (info != 0) throw Error(std::string(name) + " failed with info " + std::to_string(info));
}

// a (m, n) column-major with m >= n: its orthonormal factor, in place.
void orthonormal_columns(double* a, int m, int n) {
  std::vector<double> tau(static_cast<std::size_t>(n));
  with_workspace("geqrf", [&](double* work, int lwork) {
    int info = 0;
    HC_LAPACK(dgeqrf)(&m, &n, a, &m, tau.data(), work, &lwork, &info);
    return info;
  });
  std::vector<bool> flip(static_cast<std::size_t>(n));
  const auto column = [&](int j) { return a + static_cast<std::int64_t>(j) * m; };
  for (int j = 0; j < n; ++j) flip[static_cast<std::size_t>(j)] = column(j)[j] < 0;
  with_workspace("orgqr", [&](double* work, int lwork) {
    int info = 0;
    HC_LAPACK(dorgqr)(&m, &n, &n, a, &m, tau.data(), work, &lwork, &info);
    return info;
  });
  for (int j = 0; j < n; ++j) {
    if (!flip[static_cast<std::size_t>(j)]) continue;
    for (int i = 0; i < m; ++i) column(j)[i] = -column(j)[i];
  }
}

// The routines of a type. Row-major arrays are their transposes column-major: our lower triangle is
// LAPACK's upper one, and its columns are our rows.
template <class T>
struct Routines;
template <>
struct Routines<float> {
  static constexpr auto potrf = &HC_LAPACK(spotrf);
  static constexpr auto potrs = &HC_LAPACK(spotrs);
  static constexpr auto syevd = &HC_LAPACK(ssyevd);
};
template <>
struct Routines<double> {
  static constexpr auto potrf = &HC_LAPACK(dpotrf);
  static constexpr auto potrs = &HC_LAPACK(dpotrs);
  static constexpr auto syevd = &HC_LAPACK(dsyevd);
};

// Less than zero: an argument that LAPACK does not take, hence a mistake of ours.
int checked(const char* name, int info) {
  if (info < 0) throw Error(std::string(name) + " failed with info " + std::to_string(info));
  return info;
}

}  // namespace

void qr_orthonormal(double* a, std::int64_t rows, std::int64_t cols) {
  if (rows == 0 || cols == 0) return;
  use_one_thread();
  const int m = to_int(rows), n = to_int(cols);
  if (m <= n) {  // a row-major is its transpose column-major: already tall
    orthonormal_columns(a, n, m);
    return;
  }
  std::vector<double> t(static_cast<std::size_t>(rows * cols));
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < cols; ++j)
      t[static_cast<std::size_t>(j * rows + i)] = a[i * cols + j];
  }
  orthonormal_columns(t.data(), m, n);
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < cols; ++j)
      a[i * cols + j] = t[static_cast<std::size_t>(j * rows + i)];
  }
}

template <class T>
int cholesky(T* a, std::int64_t n) {
  use_one_thread();
  const int side = to_int(n), lda = side > 0 ? side : 1;
  int info = 0;
  Routines<T>::potrf("U", &side, a, &lda, &info);
  return checked("potrf", info);
}

template <class T>
void cholesky_solve(const T* l, T* b, std::int64_t n, std::int64_t rows) {
  use_one_thread();
  const int side = to_int(n), count = to_int(rows), lda = side > 0 ? side : 1;
  int info = 0;
  Routines<T>::potrs("U", &side, &count, l, &lda, b, &lda, &info);
  checked("potrs", info);
}

template <class T>
int symmetric_eigen(T* a, T* values, std::int64_t n) {
  use_one_thread();
  const int side = to_int(n), lda = side > 0 ? side : 1;
  int info = 0, ask = -1, int_size = 0;
  T size = 0;
  Routines<T>::syevd("V", "U", &side, a, &lda, values, &size, &ask, &int_size, &ask, &info);
  checked("syevd", info);
  const int work_size = static_cast<int>(size * T(1.000001)) + 1;  // float32 may round it down
  std::vector<T> work(static_cast<std::size_t>(work_size));
  std::vector<int> int_work(static_cast<std::size_t>(int_size));
  Routines<T>::syevd("V", "U", &side, a, &lda, values, work.data(), &work_size, int_work.data(),
                     &int_size, &info);
  return checked("syevd", info);
}

template int cholesky(float*, std::int64_t);
template int cholesky(double*, std::int64_t);
template void cholesky_solve(const float*, float*, std::int64_t, std::int64_t);
template void cholesky_solve(const double*, double*, std::int64_t, std::int64_t);
template int symmetric_eigen(float*, float*, std::int64_t);
template int symmetric_eigen(double*, double*, std::int64_t);

}  // namespace hesscore::lapack
