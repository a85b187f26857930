// The element-wise losses, for a rule of math/losses.hpp: one logit for each position.
#include "loss.cuh"

namespace hesscore::cuda {
namespace {

template <class Rule, class T>
struct Element : LossData<T> {
  using LossData<T>::LossData;

  __device__ T target(std::int64_t q) const { return static_cast<const T*>(this->y)[q]; }
  // the weight of positives, or Huber's delta
  __device__ T parameter(std::int64_t q) const {
    const math::LossSpec& s = this->spec;
    if (s.kind != math::LossKind::bce_with_logits) return static_cast<T>(s.delta);
    if (s.weights == 0) return T(1);
    return this->class_weight[s.weights == 1 ? 0 : q - this->sample_of(q) * s.positions];
  }
  __device__ math::Jet<T> jet(std::int64_t q) const {
    return Rule::at(this->z[q], target(q), parameter(q));
  }
  __device__ T curvature(std::int64_t q) const {
    return math::weighted(this->weight(q), jet(q).dd);
  }
  __device__ void finish() const {}
};

template <class Rule, class T>
struct Seed {
  Element<Rule, T> data;
  LossValue<T> value;
  Sink<T> g, h, b, f;

  __device__ void operator()(std::int64_t q) {
    const math::Jet<T> jet = data.jet(q);
    const T k = data.weight(q);
    if (g) g.put(q, math::weighted(k, jet.d));
    if (h) h.put(q, math::weighted(k, jet.dd));
    if (b) b.put(q, math::weighted(k, jet.dd));
    if (f) f.put(q, math::weighted(math::fisher_scale(data.spec, k), jet.d));
    value.add(math::weighted(k, jet.f));
  }
  __device__ void finish() { value.finish(); }
};

template <class Rule, class T>
struct Hessian : Element<Rule, T> {
  const T* dz;
  Sink<T> dg;
  std::int64_t reps;

  __device__ void operator()(std::int64_t q) const {
    const T curvature = this->curvature(q);
    for_copies(reps, [&](std::int64_t r) {
      const std::int64_t i = r * this->positions() + q;
      dg.put(i, curvature * dz[i]);
    });
  }
};

template <class Rule, class T>
struct Columns : Element<Rule, T> {
  Sink<T> out;
  std::int64_t first, count;

  __device__ void operator()(std::int64_t q) const {
    const std::int64_t here = q - this->sample_of(q) * this->spec.positions;
    const T root = std::sqrt(this->curvature(q));
    for_copies(count, [&](std::int64_t c) {
      out.put(c * this->positions() + q, first + c == here ? root : T(0));
    });
  }
};

template <class Rule, class T>
struct Sample : Element<Rule, T> {
  const std::uint64_t* seed;
  Sink<T> out;
  std::int64_t samples;

  __device__ void operator()(std::int64_t q) const {
    const T z = this->z[q], y = this->target(q), parameter = this->parameter(q);
    const T root = std::sqrt(this->weight(q) * (1 / static_cast<T>(samples)));
    for_copies(samples, [&](std::int64_t s) {
      const T u = Rule::deviate(z, y, parameter, math::label_draw(*seed, s, q));
      out.put(s * this->positions() + q, math::weighted(root, u));
    });
  }
};

}  // namespace

template <class T>
void ElementLoss<T>::seed(const Context& ctx, const kernels::LossSeed::Args& a) {
  math::dispatch_element_loss(a.spec.kind, [&](auto rule) {
    const Element<decltype(rule), T> data(a);
    for_positions(ctx, data.positions(), 1,
                  Seed<decltype(rule), T>{
                      data, {ctx, a.loss}, {ctx, a.g}, {ctx, a.h}, {ctx, a.b}, {ctx, a.f}});
  });
}

template <class T>
void ElementLoss<T>::hessian(const Context& ctx, const kernels::LossHessian::Args& a) {
  math::dispatch_element_loss(a.spec.kind, [&](auto rule) {
    const Element<decltype(rule), T> data(a);
    for_positions(ctx, data.positions(), a.reps,
                  Hessian<decltype(rule), T>{data, a.dz.as<T>(), {ctx, a.dg}, a.reps});
  });
}

template <class T>
void ElementLoss<T>::columns(const Context& ctx, const kernels::LossColumns::Args& a) {
  math::dispatch_element_loss(a.spec.kind, [&](auto rule) {
    const Element<decltype(rule), T> data(a);
    for_positions(ctx, data.positions(), a.count,
                  Columns<decltype(rule), T>{data, {ctx, a.out}, a.first, a.count});
  });
}

template <class T>
void ElementLoss<T>::sample(const Context& ctx, const kernels::LossSample::Args& a) {
  math::dispatch_element_loss(a.spec.kind, [&](auto rule) {
    const Element<decltype(rule), T> data(a);
    for_positions(
        ctx, data.positions(), a.samples,
        Sample<decltype(rule), T>{data, a.clock.as<std::uint64_t>(), {ctx, a.out}, a.samples});
  });
}

template struct ElementLoss<float>;
template struct ElementLoss<double>;

}  // namespace hesscore::cuda
