// The products, for kernels that are products in some cases.
#pragma once

#include "backend/kernels.hpp"
#include "cpu/isa/rule.hpp"

namespace hesscore::cpu::HC_ISA {

template <class T>
void product(void*, const kernels::Product::Args& a);
template <class T>
void dual_product(void*, const kernels::DualProduct::Args& a);
template <class T>
void grouped_square(void*, const kernels::GroupedSquare::Args& a);

template <class T>
Finish<T> finish_of(const kernels::Epilogue& e, T* c, const T* c2) {
  if (e.kind == kernels::Epilogue::none) return {};
  return {e.kind, Rule<T>(e.act), c, c2, e.x.as<T>(), e.y.as<T>(), e.y2.as<T>()};
}

}  // namespace hesscore::cpu::HC_ISA
