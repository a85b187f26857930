// What the loss kernels share: what they read, the grid they run on, the sum of the value.
#pragma once

#include "backend/kernels.hpp"
#include "group.cuh"
#include "math/losses.hpp"

namespace hesscore::cuda {

template <class T>
struct LossData {
  math::LossSpec spec;
  const T *z, *sample_weight, *class_weight, *scale;
  const void* y;

  template <class Args>
  explicit LossData(const Args& a)
      : spec(a.spec),
        z(a.z.template as<T>()),
        sample_weight(a.sample_weight.template as<T>()),
        class_weight(a.class_weight.template as<T>()),
        scale(a.scale.template as<T>()),
        y(a.y.template as<void>()) {}

  __host__ __device__ std::int64_t positions() const { return spec.samples * spec.positions; }
  __host__ __device__ std::int64_t size() const { return positions() * spec.classes; }  // of z
  __device__ std::int64_t sample_of(std::int64_t q) const {
    return spec.positions == 1 ? q : q / spec.positions;
  }
  // of position q in the reduced loss; NaN, which the host will see, if that is negative
  __device__ T weight(std::int64_t q) const {
    if (sample_weight == nullptr) return *scale;
    const T s = sample_weight[sample_of(q)];
    return *scale * (s >= 0 ? s : T(NAN));
  }
};

// The threads of a grid add to it; finish(), called by all of them, sums in a fixed order.
struct BlockwiseSum {
  double* partials;
  unsigned* ticket;
  double sum = 0;

  explicit BlockwiseSum(const Context& ctx)
      : partials(static_cast<double*>(ctx.workspace)), ticket(ctx.tickets) {}

  // true in the one thread that then has the sum
  __device__ bool finish() {
    double all[1] = {sum};
    const bool last = grid_sums<1>(all, partials, ticket);
    sum = all[0];
    return last && threadIdx.x == 0;
  }
};

template <class T>
struct LossValue : BlockwiseSum {
  Sink<T> loss;

  LossValue(const Context& ctx, const Out& out) : BlockwiseSum(ctx), loss(ctx, out) {}
  __device__ void add(T value) { sum += static_cast<double>(value); }
  __device__ void finish() {
    if (loss && BlockwiseSum::finish()) loss.put(0, static_cast<T>(sum));
  }
};

// For the kernels of `count` outputs: the block's row in the grid takes some of them.
template <class F>
__device__ void for_copies(std::int64_t count, F f) {
  for (std::int64_t r = blockIdx.y; r < count; r += gridDim.y) f(r);
}

// Enough blocks in x for the positions, in y for what remains of the device.
inline dim3 loss_grid(const Context& ctx, std::int64_t positions, std::int64_t per_block,
                      std::int64_t copies, int waves = 8) {
  const unsigned x = positions == 0 ? 1 : blocks_for(ctx, positions, per_block, waves);
  const std::int64_t room = std::int64_t{ctx.multiprocessors} * waves / x;
  const std::int64_t y = copies < room ? copies : room;
  return {x, static_cast<unsigned>(y < 1 ? 1 : y), 1};
}

// body(q) for every position q, then body.finish()
template <class Body>
__global__ void positions_kernel(std::int64_t positions, Body body) {
  const std::int64_t stride = std::int64_t{gridDim.x} * blockDim.x;
  for (std::int64_t q = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; q < positions;
       q += stride) {
    body(q);
  }
  body.finish();
}

template <class Body>
void for_positions(const Context& ctx, std::int64_t positions, std::int64_t copies,
                   const Body& body) {
  constexpr unsigned kThreads = 256;
  launch(ctx, &positions_kernel<Body>, loss_grid(ctx, positions, kThreads, copies), kThreads, 0,
         positions, body);
}

// The kernels of each family of losses.
template <class T>
struct SoftmaxLoss {
  static void seed(const Context& ctx, const kernels::LossSeed::Args& a);
  static void hessian(const Context& ctx, const kernels::LossHessian::Args& a);
  static void columns(const Context& ctx, const kernels::LossColumns::Args& a);
  static void sample(const Context& ctx, const kernels::LossSample::Args& a);
};

template <class T>
struct GaussianLoss {
  static void seed(const Context& ctx, const kernels::LossSeed::Args& a);
  static void hessian(const Context& ctx, const kernels::LossHessian::Args& a);
  static void columns(const Context& ctx, const kernels::LossColumns::Args& a);
  static void sample(const Context& ctx, const kernels::LossSample::Args& a);
};

template <class T>
struct ElementLoss {
  static void seed(const Context& ctx, const kernels::LossSeed::Args& a);
  static void hessian(const Context& ctx, const kernels::LossHessian::Args& a);
  static void columns(const Context& ctx, const kernels::LossColumns::Args& a);
  static void sample(const Context& ctx, const kernels::LossSample::Args& a);
};

}  // namespace hesscore::cuda
