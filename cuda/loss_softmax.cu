// Softmax cross-entropy: Hessian products, square-root columns, and samples.
#include "loss_softmax.cuh"

namespace hesscore::cuda {
namespace {

using Rule = math::CrossEntropy;

template <class T>
struct Hessian {
  const T* dz;
  Sink<T> dg;
  std::int64_t reps, size;  // size of z

  template <class Row>
  __device__ void operator()(const Row& row) const {
    for_copies(reps, [&](std::int64_t r) {
      const T* v = dz + r * size;
      T along = T(0);
      row.each([&](std::int64_t c, T, T p) { along += p * v[row.index(c)]; });
      along = row.sum(along);
      row.each([&](std::int64_t c, T, T p) {
        const std::int64_t i = row.index(c);
        const T product = Rule::product(row.omega, p, v[i], along);
        dg.put(r * size + i, math::weighted(row.weight, product));
      });
    });
  }
  __device__ void finish() const {}
};

template <class T>
struct Columns {
  Sink<T> out;
  std::int64_t first, count, size;

  template <class Row>
  __device__ void operator()(const Row& row) const {
    const std::int64_t depth = row.data.spec.positions;
    for_copies(count, [&](std::int64_t j) {
      const std::int64_t which = (first + j) / depth;
      const bool here = first + j == which * depth + row.d;
      const T root = here ? std::sqrt(row.weight) : T(0);
      T tail = T(0);
      row.each([&](std::int64_t c, T, T p) { tail += c > which ? p : T(0); });
      tail = row.sum(tail);
      const T pivot = here ? Rule::pivot(row.omega, row.probability(which), tail) : T(0);
      row.each([&](std::int64_t c, T, T p) {
        const T below = c > which ? Rule::below(pivot, p, tail) : T(0);
        out.put(j * size + row.index(c), math::weighted(root, c == which ? pivot : below));
      });
    });
  }
  __device__ void finish() const {}
};

template <class T>
struct Sample {
  const std::uint64_t* seed;
  Sink<T> out;
  std::int64_t samples, size;

  template <class Row>
  __device__ void operator()(const Row& row) const {
    const T root = std::sqrt(row.weight * (1 / static_cast<T>(samples)));
    for_copies(samples, [&](std::int64_t s) {
      const math::Random random = math::label_draw(*seed, s, row.q);
      const std::int64_t label = row.draw(math::uniform<T>(random.a, random.b));
      row.each([&](std::int64_t c, T, T p) {
        const T hit = T(c == label);
        out.put(s * size + row.index(c), math::weighted(root, Rule::sample(row.omega, p, hit)));
      });
    });
  }
  __device__ void finish() const {}
};

}  // namespace

template <class T>
void SoftmaxLoss<T>::hessian(const Context& ctx, const kernels::LossHessian::Args& a) {
  const LossData<T> data(a);
  for_softmax(ctx, data, a.reps, Hessian<T>{a.dz.as<T>(), {ctx, a.dg}, a.reps, data.size()});
}

template <class T>
void SoftmaxLoss<T>::columns(const Context& ctx, const kernels::LossColumns::Args& a) {
  const LossData<T> data(a);
  for_softmax(ctx, data, a.count, Columns<T>{{ctx, a.out}, a.first, a.count, data.size()});
}

template <class T>
void SoftmaxLoss<T>::sample(const Context& ctx, const kernels::LossSample::Args& a) {
  const LossData<T> data(a);
  for_softmax(ctx, data, a.samples,
              Sample<T>{a.clock.as<std::uint64_t>(), {ctx, a.out}, a.samples, data.size()});
}

template void SoftmaxLoss<float>::hessian(const Context&, const kernels::LossHessian::Args&);
template void SoftmaxLoss<double>::hessian(const Context&, const kernels::LossHessian::Args&);
template void SoftmaxLoss<float>::columns(const Context&, const kernels::LossColumns::Args&);
template void SoftmaxLoss<double>::columns(const Context&, const kernels::LossColumns::Args&);
template void SoftmaxLoss<float>::sample(const Context&, const kernels::LossSample::Args&);
template void SoftmaxLoss<double>::sample(const Context&, const kernels::LossSample::Args&);

}  // namespace hesscore::cuda
