// Large plain products by cuBLASLt.
#pragma once

#include <cstdint>
#include <memory>

#include "backend/kernels.hpp"
#include "context.hpp"
#include "hesscore/device.hpp"

namespace hesscore::cuda {

// Whether cuBLASLt adds the bias: float32, and 16-byte aligned, as a kernel may read it so wide.
bool lt_bias(const kernels::Product::Args& a, DType dtype);

class Lt {
 public:
  Lt();
  ~Lt();
  Lt(const Lt&) = delete;

  // Multiply-adds from which a product is worth handing over; HESSCORE_LT_WORK overrides it.
  std::int64_t least_work(DType dtype) const;

  // c (+)= op(a) op(b), with the bias where lt_bias says so, but without squares, epilogue and
  // sum. False, and nothing done, if cuBLASLt offers nothing for it, or would have to be asked
  // while work is being recorded.
  bool multiply(const Context& ctx, const kernels::Product::Args& a, DType dtype,
                Precision precision);

 private:
  struct Plans;
  std::unique_ptr<Plans> plans_;
  std::int64_t least_work_ = -1;  // -1: the default
};

}  // namespace hesscore::cuda
