// cuBLASLt knows matrices by columns: a row-major c = op(a) op(b) is its c' = op(b)' op(a)', so
// that our b is its A. The algorithm of a product is looked up once and kept.
#include "product/lt.hpp"

#include <cublasLt.h>

#include <array>
#include <cstdlib>
#include <map>

namespace hesscore::cuda {

namespace {

bool good(cublasStatus_t status) { return status == CUBLAS_STATUS_SUCCESS; }

template <class V>
bool set(cublasLtMatmulDesc_t d, cublasLtMatmulDescAttributes_t what, const V& value) {
  return good(cublasLtMatmulDescSetAttribute(d, what, &value, sizeof value));
}
template <class V>
bool set(cublasLtMatrixLayout_t d, cublasLtMatrixLayoutAttribute_t what, const V& value) {
  return good(cublasLtMatrixLayoutSetAttribute(d, what, &value, sizeof value));
}
template <class V>
bool set(cublasLtMatmulPreference_t d, cublasLtMatmulPreferenceAttributes_t what, const V& value) {
  return good(cublasLtMatmulPreferenceSetAttribute(d, what, &value, sizeof value));
}

cudaDataType_t type_of(DType dtype) { return dtype == DType::f64 ? CUDA_R_64F : CUDA_R_32F; }

cublasComputeType_t compute_of(DType dtype, Precision precision) {
  if (dtype == DType::f64) return CUBLAS_COMPUTE_64F;
  return precision == Precision::tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
}

// A matrix of `rows` rows of `columns` numbers, as the columns of cuBLASLt's.
bool make_layout(cublasLtMatrixLayout_t& layout, DType dtype, std::int64_t rows,
                 std::int64_t columns, std::int64_t batch, std::int64_t stride) {
  const auto count = static_cast<std::int32_t>(batch);
  return good(cublasLtMatrixLayoutCreate(&layout, type_of(dtype),
                                         static_cast<std::uint64_t>(columns),
                                         static_cast<std::uint64_t>(rows), columns)) &&
         set(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, count) &&
         set(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, stride);
}

// The largest power of two up to 256 that divides the address.
std::uint32_t alignment(const void* p) {
  const auto address = reinterpret_cast<std::uintptr_t>(p) | 256;
  return static_cast<std::uint32_t>(address & (~address + 1));
}

// What an algorithm depends on.
struct Key {
  std::array<std::int64_t, 12> shape;
  std::array<std::uint32_t, 4> alignment;  // of a, b, c and the bias
  DType dtype;
  Precision precision;

  auto operator<=>(const Key&) const = default;
};

Key key_of(const kernels::Product::Args& a, DType dtype, Precision precision) {
  const bool bias = lt_bias(a, dtype);
  return {{a.m, a.n, a.k, a.trans_a, a.trans_b, a.batch, a.stride_a, a.stride_b, a.stride_c,
           a.stride_bias, a.c.accumulate, bias},
          {alignment(a.a.ptr), alignment(a.b.ptr), alignment(a.c.ptr),
           alignment(bias ? a.bias.ptr : nullptr)},
          dtype,
          precision};
}

struct Plan {
  bool usable = false;
  cublasLtMatmulDesc_t operation = nullptr;
  cublasLtMatrixLayout_t a = nullptr, b = nullptr, c = nullptr;
  cublasLtMatmulAlgo_t algorithm{};
};

void release(Plan& plan) {
  if (plan.operation != nullptr) cublasLtMatmulDescDestroy(plan.operation);
  for (cublasLtMatrixLayout_t layout : {plan.a, plan.b, plan.c}) {
    if (layout != nullptr) cublasLtMatrixLayoutDestroy(layout);
  }
  plan = {};
}

bool describe(const kernels::Product::Args& a, const Key& key, Plan& plan) {
  const auto flip = [](bool t) { return t ? CUBLAS_OP_T : CUBLAS_OP_N; };
  const DType dtype = key.dtype;
  const bool ok = good(cublasLtMatmulDescCreate(&plan.operation, compute_of(dtype, key.precision),
                                                type_of(dtype))) &&
                  set(plan.operation, CUBLASLT_MATMUL_DESC_TRANSA, flip(a.trans_b)) &&
                  set(plan.operation, CUBLASLT_MATMUL_DESC_TRANSB, flip(a.trans_a)) &&
                  make_layout(plan.a, dtype, a.trans_b ? a.n : a.k, a.trans_b ? a.k : a.n, a.batch,
                              a.stride_b) &&
                  make_layout(plan.b, dtype, a.trans_a ? a.k : a.m, a.trans_a ? a.m : a.k, a.batch,
                              a.stride_a) &&
                  make_layout(plan.c, dtype, a.m, a.n, a.batch, a.stride_c);
  if (!ok || !lt_bias(a, dtype)) return ok;
  const void* bias = a.bias.ptr;
  return set(plan.operation, CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS) &&
         set(plan.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias) &&
         set(plan.operation, CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE, a.stride_bias);
}

bool choose_algorithm(cublasLtHandle_t handle, std::size_t workspace, const Key& key, Plan& plan) {
  cublasLtMatmulPreference_t wish = nullptr;
  if (!good(cublasLtMatmulPreferenceCreate(&wish))) return false;
  const auto [a, b, c, bias] = key.alignment;
  // Adding up splits in place would not be deterministic.
  const std::uint32_t reductions =
      CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE | CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE;
  cublasLtMatmulHeuristicResult_t found{};
  int count = 0;
  const bool ok = set(wish, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspace) &&
                  set(wish, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, reductions) &&
                  set(wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, b) &&
                  set(wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, a) &&
                  set(wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, c) &&
                  set(wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, c) &&
                  good(cublasLtMatmulAlgoGetHeuristic(handle, plan.operation, plan.a, plan.b,
                                                      plan.c, plan.c, wish, 1, &found, &count)) &&
                  count == 1 && good(found.state);
  cublasLtMatmulPreferenceDestroy(wish);
  plan.algorithm = found.algo;
  return ok;
}

}  // namespace

bool lt_bias(const kernels::Product::Args& a, DType dtype) {
  return a.bias && dtype == DType::f32 && reinterpret_cast<std::uintptr_t>(a.bias.ptr) % 16 == 0 &&
         (a.batch == 1 || a.stride_bias % 4 == 0);
}

struct Lt::Plans {
  cublasLtHandle_t handle = nullptr;  // null: not needed yet, or cuBLASLt could not be started
  std::map<Key, Plan> of;

  bool start() {  // when the device is the current one
    if (handle == nullptr && !good(cublasLtCreate(&handle))) handle = nullptr;
    return handle != nullptr;
  }

  const Plan* find(const Context& ctx, const kernels::Product::Args& a, const Key& key) {
    auto at = of.find(key);
    if (at == of.end()) {
      if (ctx.recording()) return nullptr;
      Plan plan;
      plan.usable = start() && describe(a, key, plan) &&
                    choose_algorithm(handle, ctx.workspace_bytes, key, plan);
      if (!plan.usable) release(plan);
      at = of.emplace(key, plan).first;
    }
    return at->second.usable ? &at->second : nullptr;
  }
};

Lt::Lt() : plans_(std::make_unique<Plans>()) {
  if (const char* work = std::getenv("HESSCORE_LT_WORK")) least_work_ = std::atoll(work);
}

Lt::~Lt() {
  for (auto& [key, plan] : plans_->of) release(plan);
  if (plans_->handle != nullptr) cublasLtDestroy(plans_->handle);
}

std::int64_t Lt::least_work(DType dtype) const {
  if (least_work_ >= 0) return least_work_;
  return std::int64_t{1} << (dtype == DType::f64 ? 27 : 30);
}

bool Lt::multiply(const Context& ctx, const kernels::Product::Args& a, DType dtype,
                  Precision precision) {
  const Plan* plan = plans_->find(ctx, a, key_of(a, dtype, precision));
  if (plan == nullptr) return false;
  if (lt_bias(a, dtype)) {
    const void* bias = a.bias.ptr;
    if (!set(plan->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias)) return false;
  }
  const double one = 1, beta = a.c.accumulate ? 1 : 0;
  const float one_f = 1, beta_f = a.c.accumulate ? 1 : 0;
  const bool wide = dtype == DType::f64;
  const void* from = wide ? static_cast<const void*>(&one) : &one_f;
  const void* keep = wide ? static_cast<const void*>(&beta) : &beta_f;
  return good(cublasLtMatmul(plans_->handle, plan->operation, from, a.b.ptr, plan->a, a.a.ptr,
                             plan->b, keep, a.c.ptr, plan->c, a.c.ptr, plan->c, &plan->algorithm,
                             ctx.workspace, ctx.workspace_bytes, ctx.stream));
}

}  // namespace hesscore::cuda
