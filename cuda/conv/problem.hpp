// A convolution as its kernels see it: products whose operands are patches of images.
#pragma once

#include "math/conv_reads.hpp"
#include "math/divide.hpp"
#include "product/problem.hpp"

namespace hesscore::cuda {

// Images: c's rows are positions of the result, its columns channels of a group; k runs over taps
// and, for each, the channels of the source's group; a and a2 are sources, b is the weights. The
// positions of x (`of_x`) are taken phase by phase: each meets taps of its own (ConvReads).
//
// Weights: c's rows are the channels of y's group, its columns the taps and, for each, the channels
// of x's group; k runs over samples and positions of y; a is y, b is x.
//
// The batch counts items, groups in an item, and phases in a group.
template <class T>
struct ConvProblem : Problem<T> {
  math::ConvAxis down, across;
  bool of_x = false;
  int images = 0, groups = 1, phases_down = 1, phases_across = 1;
  math::Divider channels;    // of a group of the image that patches are taken from
  std::int64_t lead_c = 0;   // from one position of the result to the next
  std::int64_t group_b = 0;  // from the weights of a group to the next one's
  std::int64_t tap_b = 0, channel_b = 0, column_b = 0;  // in them
  bool in_order_b = false;                              // k after k, lead_b apart
  math::Divider y_down, y_across;  // to take positions apart: y's, or the result's
  int steps_a = 0;                 // a's steps are read over and over, too
  std::size_t reserved = 0;        // bytes of the workspace that hold b

  __host__ __device__ int phases() const { return phases_down * phases_across; }
};

template <class Policy, class T>
void run_images(const Context& ctx, const ConvProblem<T>& p, bool dual);
template <class Policy, class T>
void run_weights(const Context& ctx, const ConvProblem<T>& p, bool dual);
template <class Policy, class T>
void run_squares(const Context& ctx, const ConvProblem<T>& p);

// Of convolutions that have one channel in every group: no products, but sums channel by channel.
// `squares`: of each sample's weights.
template <class T>
void run_depthwise_images(const Context& ctx, const ConvProblem<T>& p);
template <class T>
void run_depthwise_weights(const Context& ctx, ConvProblem<T> p, bool squares);

}  // namespace hesscore::cuda
