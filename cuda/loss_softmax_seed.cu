// Softmax cross-entropy: value, gradient, the two diagonals and the rows of the empirical Fisher.
#include "loss_softmax.cuh"

namespace hesscore::cuda {
namespace {

template <class T>
struct Seed {
  LossValue<T> value;
  Sink<T> g, h, b, f;

  template <class Row>
  __device__ void operator()(const Row& row) {
    using Rule = math::CrossEntropy;
    const T k = row.weight, root = math::fisher_scale(row.data.spec, k);
    T loss = T(0);
    row.each([&](std::int64_t c, T shifted, T p) {
      const std::int64_t i = row.index(c);
      const T t = row.target(c), slope = Rule::gradient(row.omega, p, t);
      loss += Rule::value(t, row.log_sum - shifted);
      if (g) g.put(i, math::weighted(k, slope));
      if (h) h.put(i, math::weighted(k, Rule::diagonal(row.omega, p)));
      if (b) b.put(i, math::weighted(k, Rule::bl89(t, p)));
      if (f) f.put(i, math::weighted(root, slope));
    });
    value.add(math::weighted(k, loss));
  }
  __device__ void finish() { value.finish(); }
};

}  // namespace

template <class T>
void SoftmaxLoss<T>::seed(const Context& ctx, const kernels::LossSeed::Args& a) {
  for_softmax(ctx, LossData<T>(a), 1,
              Seed<T>{{ctx, a.loss}, {ctx, a.g}, {ctx, a.h}, {ctx, a.b}, {ctx, a.f}});
}

template void SoftmaxLoss<float>::seed(const Context&, const kernels::LossSeed::Args&);
template void SoftmaxLoss<double>::seed(const Context&, const kernels::LossSeed::Args&);

}  // namespace hesscore::cuda
