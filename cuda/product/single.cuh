// Products of every storage order. Both transposed is rare: it has the smallest tile alone.
#pragma once

#include "product/kernel.cuh"

namespace hesscore::cuda {

template <class Policy, bool trans_a, bool trans_b, class T>
void run_order(const Context& ctx, const Problem<T>& p) {
  constexpr Form form = Form::single;
  if constexpr (sizeof(T) == 8) {
    run_best<Policy, form, trans_a, trans_b, kMediumF64, kSmallF64>(ctx, p);
  } else {
    run_best<Policy, form, trans_a, trans_b, kLarge, kMedium, kSmall, kNarrow>(ctx, p);
  }
}

template <class Policy, class T>
void run_single(const Context& ctx, const Problem<T>& p) {
  if (!p.trans_a) {
    p.trans_b ? run_order<Policy, false, true>(ctx, p) : run_order<Policy, false, false>(ctx, p);
  } else if (!p.trans_b) {
    run_order<Policy, true, false>(ctx, p);
  } else {
    run_best<Policy, Form::single, true, true, sizeof(T) == 8 ? kSmallF64 : kSmall>(ctx, p);
  }
}

}  // namespace hesscore::cuda
