// Dual products and grouped squares: the two that have two sets of accumulators.
#pragma once

#include <type_traits>

#include "product/kernel.cuh"

namespace hesscore::cuda {

template <class Policy, bool trans_a, class T>
void run_dual_order(const Context& ctx, const Problem<T>& p) {
  if constexpr (sizeof(T) == 8) {
    run_best<Policy, Form::dual, trans_a, false, kMediumF64, kSmallF64>(ctx, p);
  } else if constexpr (std::is_same_v<Policy, Tf32x3>) {  // large tiles would spill
    run_best<Policy, Form::dual, trans_a, false, kMedium, kSmall>(ctx, p);
  } else {
    run_best<Policy, Form::dual, trans_a, false, kLarge, kMedium, kSmall>(ctx, p);
  }
}

template <class Policy, class T>
void run_dual(const Context& ctx, const Problem<T>& p) {
  p.trans_a ? run_dual_order<Policy, true>(ctx, p) : run_dual_order<Policy, false>(ctx, p);
}

template <class Policy, class T>
void run_grouped(const Context& ctx, const Problem<T>& p) {
  if constexpr (sizeof(T) == 8) {
    run_best<Policy, Form::grouped, true, false, kMediumF64, kSmallF64>(ctx, p);
  } else {
    run_best<Policy, Form::grouped, true, false, kMedium, kSmall>(ctx, p);
  }
}

}  // namespace hesscore::cuda
