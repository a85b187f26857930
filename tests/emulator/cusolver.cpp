// cuSOLVER in plain loops: Cholesky by rows, eigenvalues by Jacobi's rotations, in float64.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "cusolverDn.h"
#include "launches.hpp"
#include "stream.hpp"
#include "threads.hpp"

struct cusolverDnContext {
  cudaStream_t stream = nullptr;
};
struct cusolverDnParams {};

namespace {

constexpr std::size_t kScratch = 64;

// One triangle of a matrix by columns, as a lower one.
template <class T>
class Triangle {
 public:
  Triangle(T* a, std::int64_t lda, cublasFillMode_t uplo)
      : a_(a), lda_(lda), upper_(uplo == CUBLAS_FILL_MODE_UPPER) {}
  T& operator()(std::int64_t row, std::int64_t column) const {
    return upper_ ? a_[column + row * lda_] : a_[row + column * lda_];
  }

 private:
  T* a_;
  std::int64_t lda_;
  bool upper_;
};

template <class T>
int factorise(const Triangle<T>& l, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = 0; j <= i; ++j) {
      double sum = l(i, j);
      for (std::int64_t k = 0; k < j; ++k) sum -= double{l(i, k)} * l(j, k);
      if (i == j && !(sum > 0)) return static_cast<int>(i + 1);
      l(i, j) = static_cast<T>(i == j ? std::sqrt(sum) : sum / l(j, j));
    }
  }
  return 0;
}

template <class T>
void solve(const Triangle<const T>& l, std::int64_t n, T* b) {
  for (std::int64_t i = 0; i < n; ++i) {
    double sum = b[i];
    for (std::int64_t k = 0; k < i; ++k) sum -= double{l(i, k)} * b[k];
    b[i] = static_cast<T>(sum / l(i, i));
  }
  for (std::int64_t i = n - 1; i >= 0; --i) {
    double sum = b[i];
    for (std::int64_t k = i + 1; k < n; ++k) sum -= double{l(k, i)} * b[k];
    b[i] = static_cast<T>(sum / l(i, i));
  }
}

// Rotates a, symmetric, until it is diagonal; the columns of v become its eigenvectors.
void diagonalise(std::vector<double>& a, std::vector<double>& v, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) v[i * n + i] = 1;
  for (int sweep = 0; sweep < 60; ++sweep) {
    double off = 0, all = 0;
    for (std::size_t i = 0; i < n * n; ++i) {
      all += a[i] * a[i];
      if (i / n != i % n) off += a[i] * a[i];
    }
    if (!(off > 1e-32 * all)) return;
    for (std::size_t p = 0; p < n; ++p) {
      for (std::size_t q = p + 1; q < n; ++q) {
        if (a[p * n + q] == 0) continue;
        const double theta = (a[q * n + q] - a[p * n + p]) / (2 * a[p * n + q]);
        const double t = std::copysign(1, theta) / (std::abs(theta) + std::hypot(theta, 1));
        const double c = 1 / std::hypot(t, 1), s = t * c;
        const auto rotate = [&](double& x, double& y) {
          const double x_old = x;
          x = c * x_old - s * y;
          y = s * x_old + c * y;
        };
        for (std::size_t k = 0; k < n; ++k) rotate(a[k * n + p], a[k * n + q]);
        for (std::size_t k = 0; k < n; ++k) rotate(a[p * n + k], a[q * n + k]);
        for (std::size_t k = 0; k < n; ++k) rotate(v[k * n + p], v[k * n + q]);
      }
    }
  }
}

template <class T>
int eigen(T* a, std::int64_t lda, T* w, std::size_t n, cublasFillMode_t uplo, bool vectors) {
  const Triangle<T> lower(a, lda, uplo);
  std::vector<double> full(n * n), v(n * n);
  for (std::size_t i = 0; i < n * n; ++i) {
    const auto row = static_cast<std::int64_t>(i / n), column = static_cast<std::int64_t>(i % n);
    full[i] = lower(std::max(row, column), std::min(row, column));
    if (!std::isfinite(full[i])) return static_cast<int>(n);
  }
  diagonalise(full, v, n);
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t i, std::size_t j) { return full[i * n + i] < full[j * n + j]; });
  for (std::size_t j = 0; j < n; ++j) {
    w[j] = static_cast<T>(full[order[j] * n + order[j]]);
    if (!vectors) continue;
    for (std::size_t i = 0; i < n; ++i) {
      a[i + j * static_cast<std::size_t>(lda)] = static_cast<T>(v[i * n + order[j]]);
    }
  }
  return 0;
}

// Puts work(T()) on the handle's stream.
template <class F>
cusolverStatus_t issue(cusolverDnHandle_t handle, const char* name, cudaDataType type, F work) {
  const emulator::Lock lock(emulator::mutex());
  const cudaError_t error = emulator::issue(handle->stream, [=] {
    emulator::record_launch(name, 1, 1, 0);
    type == CUDA_R_64F ? work(double()) : work(float());
  });
  return error ? CUSOLVER_STATUS_EXECUTION_FAILED : CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t sizes(std::size_t* device_bytes, std::size_t* host_bytes) {
  *device_bytes = *host_bytes = kScratch;
  return CUSOLVER_STATUS_SUCCESS;
}

}  // namespace

cusolverStatus_t cusolverDnCreate(cusolverDnHandle_t* handle) {
  *handle = new cusolverDnContext;
  return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnDestroy(cusolverDnHandle_t handle) {
  delete handle;
  return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnSetStream(cusolverDnHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnSetDeterministicMode(cusolverDnHandle_t, cusolverDeterministicMode_t) {
  return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnCreateParams(cusolverDnParams_t* params) {
  *params = new cusolverDnParams;
  return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnDestroyParams(cusolverDnParams_t params) {
  delete params;
  return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnXpotrf_bufferSize(cusolverDnHandle_t, cusolverDnParams_t,
                                             cublasFillMode_t, std::int64_t, cudaDataType,
                                             const void*, std::int64_t, cudaDataType,
                                             std::size_t* device_bytes, std::size_t* host_bytes) {
  return sizes(device_bytes, host_bytes);
}

cusolverStatus_t cusolverDnXpotrf(cusolverDnHandle_t handle, cusolverDnParams_t,
                                  cublasFillMode_t uplo, std::int64_t n, cudaDataType type, void* a,
                                  std::int64_t lda, cudaDataType, void* device_buffer,
                                  std::size_t device_bytes, void*, std::size_t, int* info) {
  return issue(handle, "cusolverDnXpotrf", type, [=]<class T>(T) {
    emulator::poison(device_buffer, device_bytes);
    *info = factorise(Triangle<T>(static_cast<T*>(a), lda, uplo), n);
  });
}

cusolverStatus_t cusolverDnXpotrs(cusolverDnHandle_t handle, cusolverDnParams_t,
                                  cublasFillMode_t uplo, std::int64_t n, std::int64_t nrhs,
                                  cudaDataType type, const void* a, std::int64_t lda, cudaDataType,
                                  void* b, std::int64_t ldb, int* info) {
  return issue(handle, "cusolverDnXpotrs", type, [=]<class T>(T) {
    const Triangle<const T> l(static_cast<const T*>(a), lda, uplo);
    for (std::int64_t j = 0; j < nrhs; ++j) solve(l, n, static_cast<T*>(b) + j * ldb);
    *info = 0;
  });
}

cusolverStatus_t cusolverDnXsyevd_bufferSize(cusolverDnHandle_t, cusolverDnParams_t,
                                             cusolverEigMode_t, cublasFillMode_t, std::int64_t,
                                             cudaDataType, const void*, std::int64_t, cudaDataType,
                                             const void*, cudaDataType, std::size_t* device_bytes,
                                             std::size_t* host_bytes) {
  return sizes(device_bytes, host_bytes);
}

cusolverStatus_t cusolverDnXsyevd(cusolverDnHandle_t handle, cusolverDnParams_t,
                                  cusolverEigMode_t mode, cublasFillMode_t uplo, std::int64_t n,
                                  cudaDataType type, void* a, std::int64_t lda, cudaDataType,
                                  void* w, cudaDataType, void* device_buffer,
                                  std::size_t device_bytes, void*, std::size_t, int* info) {
  return issue(handle, "cusolverDnXsyevd", type, [=]<class T>(T) {
    emulator::poison(device_buffer, device_bytes);
    *info = eigen(static_cast<T*>(a), lda, static_cast<T*>(w), static_cast<std::size_t>(n), uplo,
                  mode == CUSOLVER_EIG_MODE_VECTOR);
  });
}
