// Adam's update with a curvature diagonal as the second moment: AdaHessian (Yao et al. 2021), and
// AdaHesScale and AdaHesScale-GN (Elsayed & Mahmood 2022).
#include "optim/elementwise.hpp"

namespace hesscore {
namespace {

std::unique_ptr<Optimizer::Impl> make_hesscale(const Objective& f, const AdaHesScale& m,
                                               Diag diag) {
  math::UpdateSpec spec = adam_spec(m);
  spec.power = m.power;
  spec.abs_moment = m.moment == Moment::abs;
  return make_elementwise(f, {.lr = m.lr, .spec = spec, .diag = diag});
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

}  // namespace hesscore
