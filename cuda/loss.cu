// The loss kernels: from the kind of a loss to its family, and the scale of a mean.
#include "loss.cuh"
#include "register.hpp"

namespace hesscore::cuda {
namespace {

using math::LossKind;

// One over the summed weights of the terms of a mean; 0 for a batch in which nothing counts.
template <class T>
struct MeanScale : BlockwiseSum {
  math::LossSpec spec;
  const T *sample_weight, *class_weight;
  const std::int64_t* labels;
  Sink<T> out;

  MeanScale(const Context& ctx, const kernels::LossScale::Args& a)
      : BlockwiseSum(ctx),
        spec(a.spec),
        sample_weight(a.sample_weight.as<T>()),
        class_weight(a.class_weight.as<T>()),
        labels(spec.kind == LossKind::cross_entropy && !spec.soft ? a.y.as<std::int64_t>()
                                                                  : nullptr),
        out(ctx, a.out) {}

  __device__ double term(std::int64_t q) const {
    if (labels == nullptr) return 1;
    const std::int64_t c = labels[q];
    if (spec.has_ignore && c == spec.ignore_index) return 0;
    const bool known = class_weight != nullptr && c >= 0 && c < spec.classes;
    return known ? static_cast<double>(class_weight[c]) : 1;
  }
  __device__ void operator()(std::int64_t q) {
    const double weight = sample_weight == nullptr ? 1 : sample_weight[q / spec.positions];
    sum += weight * term(q);
  }
  __device__ void finish() {
    if (!BlockwiseSum::finish()) return;
    const double terms = spec.mean ? sum : 1;
    out.put(0, terms == 0 ? T(0) : static_cast<T>(1 / terms));
  }
};

template <class T>
void loss_scale(void* stream, const kernels::LossScale::Args& a) {
  const Context& ctx = context_of(stream);
  const std::int64_t terms = a.spec.mean ? a.spec.samples * a.spec.positions : 0;
  for_positions(ctx, terms, 1, MeanScale<T>(ctx, a));
}

// The family of the loss
template <class T, class F>
void dispatch_family(LossKind kind, F f) {
  if (kind == LossKind::cross_entropy) return f(SoftmaxLoss<T>{});
  if (kind == LossKind::gaussian_nll) return f(GaussianLoss<T>{});
  f(ElementLoss<T>{});
}

template <class T>
void loss_seed(void* stream, const kernels::LossSeed::Args& a) {
  dispatch_family<T>(a.spec.kind, [&](auto family) { family.seed(context_of(stream), a); });
}

template <class T>
void loss_hessian(void* stream, const kernels::LossHessian::Args& a) {
  if (a.spec.samples == 0 || a.reps == 0) return;
  dispatch_family<T>(a.spec.kind, [&](auto family) { family.hessian(context_of(stream), a); });
}

template <class T>
void loss_columns(void* stream, const kernels::LossColumns::Args& a) {
  if (a.spec.samples == 0 || a.count == 0) return;
  dispatch_family<T>(a.spec.kind, [&](auto family) { family.columns(context_of(stream), a); });
}

template <class T>
void loss_sample(void* stream, const kernels::LossSample::Args& a) {
  if (a.spec.samples == 0 || a.samples == 0) return;
  dispatch_family<T>(a.spec.kind, [&](auto family) { family.sample(context_of(stream), a); });
}

template <class T>
void register_for(KernelTable& table, DType dtype) {
  table.add<kernels::LossScale>(dtype, &loss_scale<T>);
  table.add<kernels::LossSeed>(dtype, &loss_seed<T>);
  table.add<kernels::LossHessian>(dtype, &loss_hessian<T>);
  table.add<kernels::LossColumns>(dtype, &loss_columns<T>);
  table.add<kernels::LossSample>(dtype, &loss_sample<T>);
}

}  // namespace

void register_losses(KernelTable& table) {
  register_for<float>(table, DType::f32);
  register_for<double>(table, DType::f64);
}

}  // namespace hesscore::cuda
