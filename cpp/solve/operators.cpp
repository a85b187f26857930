// Operators made of other operators.
#include "backend/kernels.hpp"
#include "hesscore/solve.hpp"

namespace hesscore {

LinearOperator::~LinearOperator() = default;

ShiftedOperator::ShiftedOperator(const LinearOperator& a, double shift, double scale)
    : a_(a), shift_(shift), scale_(scale) {}

void ShiftedOperator::apply(const void* v, void* out, std::int64_t count) const {
  a_.apply(v, out, count);
  const auto axpby = device().kernels().get<kernels::Axpby>(dtype());
  axpby(device().stream(),
        {.x = In(v), .y = Out(out), .n = count * size(), .a = shift_, .b = scale_});
}

void DiagonalOperator::apply(const void* v, void* out, std::int64_t count) const {
  const auto multiply = device().kernels().get<kernels::Multiply>(dtype());
  multiply(
      device().stream(),
      {.a = In(d_.data()), .b = In(v), .y = Out(out), .n = size(), .reps = count, .rep_b = true});
}

}  // namespace hesscore
