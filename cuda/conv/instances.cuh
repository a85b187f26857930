// The tiles that convolutions are cut into.
#pragma once

#include <type_traits>

#include "conv/images.cuh"
#include "conv/weights.cuh"

namespace hesscore::cuda {

template <class Policy, class T>
void run_images(const Context& ctx, const ConvProblem<T>& p, bool dual) {
  if constexpr (sizeof(T) == 8) {
    dual ? run_image_tiles<Policy, Form::dual, kSmallF64>(ctx, p)
         : run_image_tiles<Policy, Form::single, kMediumF64, kSmallF64>(ctx, p);
  } else {
    dual ? run_image_tiles<Policy, Form::dual, kMedium, kNarrow>(ctx, p)
         : run_image_tiles<Policy, Form::single, kLarge, kMedium, kNarrow>(ctx, p);
  }
}

template <class Policy, class T>
void run_weights(const Context& ctx, const ConvProblem<T>& p, bool dual) {
  if constexpr (sizeof(T) == 8) {
    dual ? run_weight_tiles<Policy, Form::dual, kSmallF64>(ctx, p)
         : run_weight_tiles<Policy, Form::single, kMediumF64, kSmallF64>(ctx, p);
  } else {
    if (dual) return run_weight_tiles<Policy, Form::dual, kMedium, kSmall>(ctx, p);
    if constexpr (std::is_same_v<Policy, Tf32x3>) {  // large tiles would spill
      run_weight_tiles<Policy, Form::single, kMedium, kSmall>(ctx, p);
    } else {
      run_weight_tiles<Policy, Form::single, kLarge, kMedium, kSmall>(ctx, p);
    }
  }
}

template <class Policy, class T>
void run_squares(const Context& ctx, const ConvProblem<T>& p) {
  if constexpr (sizeof(T) == 8) {
    run_weight_tiles<Policy, Form::grouped, kSmallF64>(ctx, p);
  } else {
    run_weight_tiles<Policy, Form::grouped, kMedium, kSmall>(ctx, p);
  }
}

}  // namespace hesscore::cuda
