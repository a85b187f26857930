// Dropout and random signs, from the same counters as on every processor (math/rng.hpp).
#include "backend/kernels.hpp"
#include "math/rng.hpp"
#include "packs.cuh"
#include "register.hpp"

namespace hesscore::cuda {

namespace {

// A draw decides four elements, the same ones of every rep.
template <class T>
__global__ void __launch_bounds__(Sheet::kThreads)
    dropout_kernel(const T* x, const std::uint64_t* clock, Sink<T> y, std::int64_t n,
                   std::int64_t reps, std::int64_t node, math::DropoutRule<T> rule, Sheet sheet,
                   bool wide) {
  const Part part = part_of(sheet, reps);
  const std::int64_t i = part.column * 4;
  if (i >= n) return;
  const Extent e = extent<4>(i, n, wide);
  const math::Random r = math::dropout_words(clock[0], clock[1], node, part.column);
  const T mask[] = {rule(r.a), rule(r.b), rule(r.c), rule(r.d)};
  for (std::int64_t row = part.first; row < part.end; row += part.step) {
    T v[4];
    load(v, x + row * n + i, e);
#pragma unroll
    for (int k = 0; k < 4; ++k) v[k] *= mask[k];
    put(y, row * n + i, v, e);
  }
}

template <class T>
void dropout(void* stream, const kernels::Dropout::Args& a) {
  if (a.n <= 0 || a.reps <= 0) return;
  const Context& ctx = context_of(stream);
  const Sheet sheet = share(ctx, parts(a.n, 4), a.reps);
  const std::int64_t step = a.reps > 1 ? a.n : 0;
  const bool wide = aligned(a.x.as<T>(), step) && aligned(a.y.as<T>(), step);
  launch(ctx, &dropout_kernel<T>, sheet.tiles * sheet.slices, Sheet::kThreads, 0, a.x.as<T>(),
         a.clock.as<std::uint64_t>(), Sink<T>(ctx, a.y), a.n, a.reps, a.node,
         math::DropoutRule<T>(a.p, a.square), sheet, wide);
}

// A draw decides 128 elements, a bit each; a block has a few draws.
template <class T>
__global__ void rademacher_kernel(const std::uint64_t* clock, Sink<T> y, std::int64_t n,
                                  std::uint64_t stream, bool wide) {
  constexpr int kWidth = kPack<T>, kDraws = 8, kTile = 128 * kDraws;
  __shared__ std::uint32_t words[kDraws][4];
  const std::int64_t first = std::int64_t{blockIdx.x} * kTile;
  if (threadIdx.x < kDraws) {
    const auto counter = static_cast<std::uint64_t>(first / 128 + threadIdx.x);
    const math::Random r = math::draw(math::Purpose::probe, clock[0], counter, stream);
    std::uint32_t* to = words[threadIdx.x];
    to[0] = r.a, to[1] = r.b, to[2] = r.c, to[3] = r.d;
  }
  __syncthreads();
  for (int k = static_cast<int>(threadIdx.x) * kWidth; k < kTile && first + k < n;
       k += static_cast<int>(blockDim.x) * kWidth) {
    T v[kWidth];
#pragma unroll
    for (int w = 0; w < kWidth; ++w) {
      v[w] = math::random_sign<T>(words[k / 128][k / 32 % 4], k % 32 + w);
    }
    put(y, first + k, v, extent<kWidth>(first + k, n, wide));
  }
}

template <class T>
void rademacher(void* stream, const kernels::Rademacher::Args& a) {
  if (a.n <= 0) return;
  const Context& ctx = context_of(stream);
  launch(ctx, &rademacher_kernel<T>, static_cast<unsigned>(parts(a.n, 1024)), 256, 0,
         a.clock.as<std::uint64_t>(), Sink<T>(ctx, a.y), a.n, a.stream, aligned(a.y.as<T>()));
}

template <class T>
void register_for(KernelTable& table, DType dtype) {
  table.add<kernels::Dropout>(dtype, &dropout<T>);
  table.add<kernels::Rademacher>(dtype, &rademacher<T>);
}

}  // namespace

void register_random(KernelTable& table) {
  register_for<float>(table, DType::f32);
  register_for<double>(table, DType::f64);
}

}  // namespace hesscore::cuda
