// The loss kernels: from the kind of a loss to its family.
#include "cpu/isa/loss_elements.hpp"
#include "cpu/isa/loss_gaussian.hpp"
#include "cpu/isa/loss_softmax.hpp"

namespace hesscore::cpu::HC_ISA {
namespace {

using math::LossKind;

// One over the summed weights for the mean; 0 for a batch in which nothing counts.
template <class T>
void loss_scale(void*, const kernels::LossScale::Args& a) {
  const math::LossSpec& spec = a.spec;
  const T *sample_weight = a.sample_weight.as<T>(), *class_weight = a.class_weight.as<T>();
  const auto* y = a.y.as<std::int64_t>();
  const bool labels = spec.kind == LossKind::cross_entropy && !spec.soft;
  const auto row = [&](std::int64_t n) {
    if (!labels) return static_cast<double>(spec.positions);
    double sum = 0;
    for (std::int64_t d = 0; d < spec.positions; ++d) {
      const std::int64_t c = y[n * spec.positions + d];
      if (spec.has_ignore && c == spec.ignore_index) continue;
      const bool known = class_weight != nullptr && c >= 0 && c < spec.classes;
      sum += known ? static_cast<double>(class_weight[c]) : 1.0;
    }
    return sum;
  };
  const auto rows = [&](std::int64_t begin, std::int64_t end) {
    double sum = 0;
    for (std::int64_t n = begin; n < end; ++n) {
      sum += sample_weight == nullptr ? row(n) : row(n) * static_cast<double>(sample_weight[n]);
    }
    return sum;
  };
  const std::int64_t grain = labels ? kGrain / (spec.positions + 1) + 1 : kGrain;
  const double sum = spec.mean ? sum_chunks(spec.samples, grain, rows) : 1.0;
  *a.out.as<T>() = sum == 0 ? T(0) : static_cast<T>(1 / sum);
}

template <class T>
void loss_seed(void*, const kernels::LossSeed::Args& a) {
  const LossKind kind = a.spec.kind;
  const double value = kind == LossKind::cross_entropy  ? softmax_seed<T>(a)
                       : kind == LossKind::gaussian_nll ? gaussian_seed<T>(a)
                                                        : element_seed<T>(a);
  if (a.loss)
    store(a.loss.as<T>(), 1, a.loss.accumulate, [&](int) { return static_cast<T>(value); });
}

template <class T>
void loss_hessian(void*, const kernels::LossHessian::Args& a) {
  if (a.spec.kind == LossKind::cross_entropy) return softmax_hessian<T>(a);
  if (a.spec.kind == LossKind::gaussian_nll) return gaussian_hessian<T>(a);
  element_hessian<T>(a);
}

template <class T>
void loss_columns(void*, const kernels::LossColumns::Args& a) {
  if (a.spec.kind == LossKind::cross_entropy) return softmax_columns<T>(a);
  if (a.spec.kind == LossKind::gaussian_nll) return gaussian_columns<T>(a);
  element_columns<T>(a);
}

template <class T>
void loss_sample(void*, const kernels::LossSample::Args& a) {
  if (a.spec.kind == LossKind::cross_entropy) return softmax_sample<T>(a);
  if (a.spec.kind == LossKind::gaussian_nll) return gaussian_sample<T>(a);
  element_sample<T>(a);
}

}  // namespace

void register_losses(KernelTable& table) {
  HC_ADD(table, LossScale, loss_scale);
  HC_ADD(table, LossSeed, loss_seed);
  HC_ADD(table, LossHessian, loss_hessian);
  HC_ADD(table, LossColumns, loss_columns);
  HC_ADD(table, LossSample, loss_sample);
}

}  // namespace hesscore::cpu::HC_ISA
