// Updates with a curvature diagonal as the second moment: Adam's, and Sophia's clipped one.
#include "optim/elementwise.hpp"

namespace hesscore {
namespace {

std::unique_ptr<Optimizer::Impl> make_hesscale(const Objective& f, const AdaHesScale& m,
                                               Diag diag) {
  math::UpdateSpec spec = adam_spec(m);
  spec.power = m.power;
  spec.abs_moment = m.moment == Moment::abs;
  return make_elementwise(
      f, {.lr = m.lr, .spec = spec, .diag = diag, .delta = m.delta, .max_scale = m.max_scale});
}

template <class Sophia>
std::unique_ptr<Optimizer::Impl> make_sophia(const Objective& f, const Sophia& m, Diag diag) {
  math::UpdateSpec spec = adam_spec(m);
  spec.kind = math::UpdateKind::sophia;
  spec.gamma = m.gamma;
  spec.decoupled = true;
  return make_elementwise(
      f, {.lr = m.lr, .spec = spec, .diag = diag, .seed = m.seed, .interval = m.interval});
}

}  // namespace

std::unique_ptr<Optimizer::Impl> make_method(const Objective& f, const AdaHessian& m) {
  math::UpdateSpec spec = adam_spec(m);
  spec.power = m.power;
  return make_elementwise(
      f,
      {.lr = m.lr, .spec = spec, .diag = Diag::hutchinson, .samples = m.samples, .seed = m.seed});
}

std::unique_ptr<Optimizer::Impl> make_method(const Objective& f, const AdaHesScale& m) {
  return make_hesscale(f, m, Diag::hesscale);
}

std::unique_ptr<Optimizer::Impl> make_method(const Objective& f, const AdaHesScaleGN& m) {
  return make_hesscale(f, m, Diag::hesscale_gn);
}

std::unique_ptr<Optimizer::Impl> make_method(const Objective& f, const Bl89& m) {
  return make_hesscale(f, m, Diag::bl89);
}

std::unique_ptr<Optimizer::Impl> make_method(const Objective& f, const ChainruleAdam& m) {
  return make_elementwise(f, {.lr = m.lr,
                              .spec = adam_spec(m),
                              .diag = m.diag,
                              .seed = m.seed,
                              .frozen = m.bias_correction == BiasCorrection::frozen});
}

std::unique_ptr<Optimizer::Impl> make_method(const Objective& f, const SophiaG& m) {
  return make_sophia(f, m, Diag::ggn_mc);
}

std::unique_ptr<Optimizer::Impl> make_method(const Objective& f, const SophiaH& m) {
  return make_sophia(f, m, Diag::hutchinson);
}

}  // namespace hesscore
