// The Gaussian negative log-likelihood in (mean, log-variance), one thread for each position.
#include "loss.cuh"

namespace hesscore::cuda {
namespace {

template <class T>
struct Gaussian : LossData<T> {
  using LossData<T>::LossData;

  __device__ void finish() const {}

  // where the position's mean is in an array of z's shape; its log-variance is `positions` further
  __device__ std::int64_t mean_of(std::int64_t q) const {
    return q + this->sample_of(q) * this->spec.positions;
  }
  __device__ math::Pair<T> pair(const T* from, std::int64_t mean) const {
    return {from[mean], from[mean + this->spec.positions]};
  }
  __device__ math::GaussianNll<T> at(std::int64_t q) const {
    const math::Pair<T> z = pair(this->z, mean_of(q));
    return {z.first, z.second, static_cast<const T*>(this->y)[q]};
  }
  __device__ void put(const Sink<T>& to, std::int64_t mean, T weight, math::Pair<T> v) const {
    to.put(mean, math::weighted(weight, v.first));
    to.put(mean + this->spec.positions, math::weighted(weight, v.second));
  }
};

template <class T>
struct Seed {
  Gaussian<T> data;
  LossValue<T> value;
  Sink<T> g, h, b, f;

  __device__ void operator()(std::int64_t q) {
    const math::GaussianNll<T> loss = data.at(q);
    const T k = data.weight(q);
    const std::int64_t mean = data.mean_of(q);
    if (g) data.put(g, mean, k, loss.gradient());
    if (h) data.put(h, mean, k, loss.diagonal());
    if (b) data.put(b, mean, k, loss.diagonal());
    if (f) data.put(f, mean, math::fisher_scale(data.spec, k), loss.gradient());
    value.add(math::weighted(k, loss.value()));
  }
  __device__ void finish() { value.finish(); }
};

template <class T>
struct Hessian : Gaussian<T> {
  const T* dz;
  Sink<T> dg;
  std::int64_t reps;

  __device__ void operator()(std::int64_t q) const {
    const math::GaussianNll<T> loss = this->at(q);
    const T k = this->weight(q);
    for_copies(reps, [&](std::int64_t r) {
      const std::int64_t mean = r * this->size() + this->mean_of(q);
      this->put(dg, mean, k, loss.product(this->pair(dz, mean)));
    });
  }
};

template <class T>
struct Columns : Gaussian<T> {
  Sink<T> out;
  std::int64_t first, count;

  __device__ void operator()(std::int64_t q) const {
    const math::GaussianNll<T> loss = this->at(q);
    const std::int64_t depth = this->spec.positions, d = q - this->sample_of(q) * depth;
    const T root = std::sqrt(this->weight(q));
    for_copies(count, [&](std::int64_t j) {
      const std::int64_t which = (first + j) / depth;
      const T here = first + j == which * depth + d ? root : T(0);
      this->put(out, j * this->size() + this->mean_of(q), here, loss.column(which));
    });
  }
};

template <class T>
struct Sample : Gaussian<T> {
  const std::uint64_t* seed;
  Sink<T> out;
  std::int64_t samples;

  __device__ void operator()(std::int64_t q) const {
    const math::GaussianNll<T> loss = this->at(q);
    const T root = std::sqrt(this->weight(q) * (1 / static_cast<T>(samples)));
    for_copies(samples, [&](std::int64_t s) {
      this->put(out, s * this->size() + this->mean_of(q), root,
                loss.sample(math::label_draw(*seed, s, q)));
    });
  }
};

}  // namespace

template <class T>
void GaussianLoss<T>::seed(const Context& ctx, const kernels::LossSeed::Args& a) {
  const Gaussian<T> data(a);
  for_positions(ctx, data.positions(), 1,
                Seed<T>{data, {ctx, a.loss}, {ctx, a.g}, {ctx, a.h}, {ctx, a.b}, {ctx, a.f}});
}

template <class T>
void GaussianLoss<T>::hessian(const Context& ctx, const kernels::LossHessian::Args& a) {
  const Gaussian<T> data(a);
  for_positions(ctx, data.positions(), a.reps, Hessian<T>{data, a.dz.as<T>(), {ctx, a.dg}, a.reps});
}

template <class T>
void GaussianLoss<T>::columns(const Context& ctx, const kernels::LossColumns::Args& a) {
  const Gaussian<T> data(a);
  for_positions(ctx, data.positions(), a.count, Columns<T>{data, {ctx, a.out}, a.first, a.count});
}

template <class T>
void GaussianLoss<T>::sample(const Context& ctx, const kernels::LossSample::Args& a) {
  const Gaussian<T> data(a);
  for_positions(ctx, data.positions(), a.samples,
                Sample<T>{data, a.clock.as<std::uint64_t>(), {ctx, a.out}, a.samples});
}

template struct GaussianLoss<float>;
template struct GaussianLoss<double>;

}  // namespace hesscore::cuda
