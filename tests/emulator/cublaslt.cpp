// cuBLASLt in plain loops: d = alpha op(a) op(b) + beta c + bias, matrices by columns.
#include <cstring>

#include "cublasLt.h"
#include "emulator.hpp"
#include "launches.hpp"
#include "memory.hpp"
#include "report.hpp"
#include "stream.hpp"

struct cublasLtContext {};

struct cublasLtMatmulDescOpaque_t {
  cublasComputeType_t compute;
  cudaDataType_t scale;
  cublasOperation_t transpose_a = CUBLAS_OP_N, transpose_b = CUBLAS_OP_N;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const void* bias = nullptr;
  std::int64_t bias_stride = 0;
};

struct cublasLtMatrixLayoutOpaque_t {
  cudaDataType type;
  std::uint64_t rows, columns;
  std::int64_t leading;
  cublasLtOrder_t order = CUBLASLT_ORDER_COL;
  std::int32_t batch = 1;
  std::int64_t stride = 0;

  std::int64_t at(std::uint64_t row, std::uint64_t column) const {
    const auto i = static_cast<std::int64_t>(row), j = static_cast<std::int64_t>(column);
    return order == CUBLASLT_ORDER_COL ? i + j * leading : i * leading + j;
  }
};

struct cublasLtMatmulPreferenceOpaque_t {
  std::size_t workspace = 0;
};

namespace {

template <class V>
cublasStatus_t set(V& to, const void* value, std::size_t bytes) {
  if (bytes != sizeof to) return CUBLAS_STATUS_INVALID_VALUE;
  std::memcpy(&to, value, bytes);
  return CUBLAS_STATUS_SUCCESS;
}

struct Matmul {
  cublasLtMatmulDescOpaque_t desc;
  cublasLtMatrixLayoutOpaque_t a_layout, b_layout, c_layout, d_layout;
  double alpha, beta;
  const void *a, *b, *c;
  void* d;

  template <class T>
  T operand(T x) const {
    if (desc.compute != CUBLAS_COMPUTE_32F_FAST_TF32) return x;
    return std::bit_cast<float>(hesscore::cuda::to_tf32(static_cast<float>(x)));
  }

  template <class T>
  void run_batch(std::int64_t batch) const {
    const T* const a_b = static_cast<const T*>(a) + batch * a_layout.stride;
    const T* const b_b = static_cast<const T*>(b) + batch * b_layout.stride;
    const T* const c_b = static_cast<const T*>(c) + batch * c_layout.stride;
    T* const d_b = static_cast<T*>(d) + batch * d_layout.stride;
    const T* const bias = static_cast<const T*>(desc.bias) + batch * desc.bias_stride;
    const bool ta = desc.transpose_a != CUBLAS_OP_N, tb = desc.transpose_b != CUBLAS_OP_N;
    const std::uint64_t inner = ta ? a_layout.rows : a_layout.columns;
    for (std::uint64_t j = 0; j < d_layout.columns; ++j) {
      for (std::uint64_t i = 0; i < d_layout.rows; ++i) {
        T sum = 0;
        for (std::uint64_t k = 0; k < inner; ++k) {
          sum += operand(a_b[ta ? a_layout.at(k, i) : a_layout.at(i, k)]) *
                 operand(b_b[tb ? b_layout.at(j, k) : b_layout.at(k, j)]);
        }
        T value = static_cast<T>(alpha) * sum;
        if (beta != 0) value += static_cast<T>(beta) * c_b[c_layout.at(i, j)];
        if (desc.epilogue == CUBLASLT_EPILOGUE_BIAS) value += bias[i];
        d_b[d_layout.at(i, j)] = value;
      }
    }
  }

  void run() const {
    for (std::int64_t batch = 0; batch < d_layout.batch; ++batch) {
      d_layout.type == CUDA_R_64F ? run_batch<double>(batch) : run_batch<float>(batch);
    }
  }

  // As a kernel that reads four numbers at once needs it; the heuristic does not ask.
  bool bias_aligned() const {
    if (desc.epilogue != CUBLASLT_EPILOGUE_BIAS) return true;
    const auto step = static_cast<std::uintptr_t>(desc.bias_stride) *
                      (d_layout.type == CUDA_R_64F ? sizeof(double) : sizeof(float));
    return (reinterpret_cast<std::uintptr_t>(desc.bias) | (d_layout.batch > 1 ? step : 0)) % 16 ==
           0;
  }

  // Do the shapes and types fit together?
  bool valid() const {
    const bool ta = desc.transpose_a != CUBLAS_OP_N, tb = desc.transpose_b != CUBLAS_OP_N;
    const auto& [m, n] = std::pair(d_layout.rows, d_layout.columns);
    return (ta ? a_layout.columns : a_layout.rows) == m &&
           (tb ? b_layout.rows : b_layout.columns) == n &&
           (ta ? a_layout.rows : a_layout.columns) == (tb ? b_layout.columns : b_layout.rows) &&
           c_layout.rows == m && c_layout.columns == n && desc.scale == d_layout.type &&
           a_layout.type == d_layout.type && b_layout.type == d_layout.type &&
           c_layout.type == d_layout.type && a_layout.batch == d_layout.batch &&
           b_layout.batch == d_layout.batch && c_layout.batch == d_layout.batch;
  }
};

}  // namespace

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = new cublasLtContext;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

std::size_t cublasLtGetVersion() { return 130000; }

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* desc, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
  *desc = new cublasLtMatmulDescOpaque_t{compute, scale};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) {
  delete desc;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc,
                                              cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, std::size_t bytes) {
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return set(desc->transpose_a, value, bytes);
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return set(desc->transpose_b, value, bytes);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return set(desc->epilogue, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      return set(desc->bias, value, bytes);
    case CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE:
      return set(desc->bias_stride, value, bytes);
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type,
                                          std::uint64_t rows, std::uint64_t cols, std::int64_t ld) {
  *layout = new cublasLtMatrixLayoutOpaque_t{type, rows, cols, ld};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete layout;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute,
                                                const void* value, std::size_t bytes) {
  switch (attribute) {
    case CUBLASLT_MATRIX_LAYOUT_ORDER:
      return set(layout->order, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT:
      return set(layout->batch, value, bytes);
    case CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET:
      return set(layout->stride, value, bytes);
  }
  return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  *preference = new cublasLtMatmulPreferenceOpaque_t;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete preference;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* value, std::size_t bytes) {
  if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) {
    return set(preference->workspace, value, bytes);
  }
  return bytes == sizeof(std::uint32_t) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t results[],
                                              int* found) {
  *found = 0;
  const Matmul matmul{*desc, *a, *b, *c, *d, 1, 0, nullptr, nullptr, nullptr, nullptr};
  if (wanted < 1 || !matmul.valid()) return CUBLAS_STATUS_INVALID_VALUE;
  *found = 1;
  results[0] = {{{1}}, preference->workspace, CUBLAS_STATUS_SUCCESS, 1, {}};
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t desc, const void* alpha,
                              const void* a, cublasLtMatrixLayout_t a_layout, const void* b,
                              cublasLtMatrixLayout_t b_layout, const void* beta, const void* c,
                              cublasLtMatrixLayout_t c_layout, void* d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t*,
                              void* workspace, std::size_t workspace_bytes, cudaStream_t stream) {
  const emulator::Lock lock(emulator::mutex());
  const auto scalar = [&](const void* p) {
    return desc->scale == CUDA_R_64F ? *static_cast<const double*>(p)
                                     : static_cast<double>(*static_cast<const float*>(p));
  };
  const Matmul matmul{*desc,        *a_layout, *b_layout, *c_layout, *d_layout, scalar(alpha),
                      scalar(beta), a,         b,         c,         d};
  if (!matmul.valid()) return CUBLAS_STATUS_INVALID_VALUE;
  if (!matmul.bias_aligned()) emulator::die("cublasLtMatmul: the bias is not 16-byte aligned");
  const cudaError_t error = emulator::issue(stream, [=] {
    emulator::record_launch("cublasLtMatmul", 1, 1, 0);
    emulator::poison_ends(workspace, workspace_bytes);
    matmul.run();
  });
  return error ? CUBLAS_STATUS_EXECUTION_FAILED : CUBLAS_STATUS_SUCCESS;
}
