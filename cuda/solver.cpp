// Factorisations by cuSOLVER. Row-major arrays are their transposes column-major: our lower
// triangle is its upper one, and its columns are our rows.
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "backend/kernels.hpp"
#include "check.hpp"
#include "context.hpp"
#include "register.hpp"
#include "solver_library.hpp"

namespace hesscore::cuda {

namespace {

void check_solver(cusolverStatus_t status, const char* operation) {
  if (status == CUSOLVER_STATUS_SUCCESS) return;
  check(cudaGetLastError(), operation);
  throw DeviceError(std::string(operation) + " failed with cuSOLVER's status " +
                    std::to_string(static_cast<int>(status)));
}

template <class T>
constexpr cudaDataType kType = sizeof(T) == 4 ? CUDA_R_32F : CUDA_R_64F;

// What cuSOLVER needs on one device.
class Solver {
 public:
  explicit Solver() {
    const SolverLibrary& library = solver_library();
    check_solver(library.cusolverDnCreate(&handle), "starting cuSOLVER");
    check_solver(library.cusolverDnCreateParams(&params), "starting cuSOLVER");
    check(cudaMalloc(reinterpret_cast<void**>(&ignored_info), sizeof(int)), "allocating memory");
  }

  // The one of the context's device, at work on its stream.
  static Solver& of(const Context& ctx) {
    static std::mutex mutex;
    // Never freed: at exit the CUDA runtime may be gone before us.
    static auto& solvers = *new std::map<int, Solver>;
    const std::lock_guard lock(mutex);
    Solver& solver = solvers[ctx.device];
    check_solver(solver_library().cusolverDnSetStream(solver.handle, ctx.stream),
                 "choosing cuSOLVER's stream");
    return solver;
  }

  // Scratch on the device: the context's if it is large enough. Ours grows and never shrinks: a
  // recording may still use what it once was.
  void* scratch(const Context& ctx, std::size_t bytes) {
    if (bytes <= ctx.workspace_bytes) return ctx.workspace;
    if (bytes > scratch_bytes_) {
      check(cudaMalloc(&scratch_, 2 * bytes), "allocating cuSOLVER's scratch");
      scratch_bytes_ = 2 * bytes;
    }
    return scratch_;
  }
  void* host_scratch(std::size_t bytes) {
    if (bytes > host_scratch_.size()) host_scratch_.resize(bytes);
    return host_scratch_.data();
  }

  cusolverDnHandle_t handle;
  cusolverDnParams_t params;
  int* ignored_info;

 private:
  void* scratch_ = nullptr;
  std::size_t scratch_bytes_ = 0;
  std::vector<unsigned char> host_scratch_;
};

void set_zero(const Context& ctx, int* info) {
  check(cudaMemsetAsync(info, 0, sizeof(int), ctx.stream), "clearing memory");
}

template <class T>
void cholesky(void* stream, const kernels::Cholesky::Args& a) {
  const Context& ctx = context_of(stream);
  if (a.n == 0) return set_zero(ctx, a.info.as<int>());
  Solver& solver = Solver::of(ctx);
  std::size_t bytes, host_bytes;
  check_solver(solver_library().cusolverDnXpotrf_bufferSize(
                   solver.handle, solver.params, CUBLAS_FILL_MODE_UPPER, a.n, kType<T>, a.a.as<T>(),
                   a.n, kType<T>, &bytes, &host_bytes),
               "preparing a Cholesky factorisation");
  check_solver(solver_library().cusolverDnXpotrf(
                   solver.handle, solver.params, CUBLAS_FILL_MODE_UPPER, a.n, kType<T>, a.a.as<T>(),
                   a.n, kType<T>, solver.scratch(ctx, bytes), bytes,
                   solver.host_scratch(host_bytes), host_bytes, a.info.as<int>()),
               "a Cholesky factorisation");
}

template <class T>
void cholesky_solve(void* stream, const kernels::CholeskySolve::Args& a) {
  const Context& ctx = context_of(stream);
  if (a.n == 0 || a.rows == 0) return;
  Solver& solver = Solver::of(ctx);
  check_solver(solver_library().cusolverDnXpotrs(
                   solver.handle, solver.params, CUBLAS_FILL_MODE_UPPER, a.n, a.rows, kType<T>,
                   a.l.as<T>(), a.n, kType<T>, a.b.as<T>(), a.n, solver.ignored_info),
               "a Cholesky solve");
}

template <class T>
void symmetric_eigen(void* stream, const kernels::SymmetricEigen::Args& a) {
  const Context& ctx = context_of(stream);
  if (a.n == 0) return set_zero(ctx, a.info.as<int>());
  Solver& solver = Solver::of(ctx);
  std::size_t bytes, host_bytes;
  check_solver(
      solver_library().cusolverDnXsyevd_bufferSize(
          solver.handle, solver.params, CUSOLVER_EIG_MODE_VECTOR, CUBLAS_FILL_MODE_UPPER, a.n,
          kType<T>, a.a.as<T>(), a.n, kType<T>, a.values.as<T>(), kType<T>, &bytes, &host_bytes),
      "preparing an eigenproblem");
  check_solver(solver_library().cusolverDnXsyevd(
                   solver.handle, solver.params, CUSOLVER_EIG_MODE_VECTOR, CUBLAS_FILL_MODE_UPPER,
                   a.n, kType<T>, a.a.as<T>(), a.n, kType<T>, a.values.as<T>(), kType<T>,
                   solver.scratch(ctx, bytes), bytes, solver.host_scratch(host_bytes), host_bytes,
                   a.info.as<int>()),
               "an eigenproblem");
}

template <class T>
void register_for(KernelTable& table, DType dtype) {
  table.add<kernels::Cholesky>(dtype, &cholesky<T>);
  table.add<kernels::CholeskySolve>(dtype, &cholesky_solve<T>);
  table.add<kernels::SymmetricEigen>(dtype, &symmetric_eigen<T>);
}

}  // namespace

void register_solver(KernelTable& table) {
  register_for<float>(table, DType::f32);
  register_for<double>(table, DType::f64);
}

}  // namespace hesscore::cuda
