// Kronecker factors by an evaluation, and their inverses block by block.
#include "curvature/factor_work.hpp"

#include <cmath>

namespace hesscore {
namespace {

double mean(const std::vector<double>& x) {
  double s = 0;
  for (const double v : x) s += v;
  return s / static_cast<double>(x.size());
}

// The inverse of a diagonal A; false where that is not positive and finite.
bool invert_diagonal(const FactorAlgebra& algebra, std::vector<double> a, double shift, void* to) {
  bool definite = true;
  for (double& x : a) {
    x = 1 / (x + shift);
    definite = definite && x > 0 && std::isfinite(x);
  }
  algebra.set(a, to);
  return definite;
}

}  // namespace

double evaluate_factors(Objective::Impl& f, const View& w, const Batch& batch,
                        const KroneckerOptions& options, const Mode& mode, void* to,
                        const Outputs& also, const void* bases) {
  Objective::Impl::Question q = f.check_evaluation(w, batch, also, mode);
  const int samples = options.kind == Factors::mc ? options.samples : 1;
  q.request.kronecker = {options.kind, samples, options.reduce, options.separate_bias,
                         bases != nullptr};
  q.clock.push_back(options.seed);
  q.bindings.add(kPortOut, to);
  if (bases != nullptr) q.bindings.add(kPortV, bases);
  return f.answer(q, batch);
}

KroneckerLayout inverse_layout(KroneckerLayout layout) {
  layout.factors = 0;
  for (KroneckerPlace& p : layout.places) {
    p.a = layout.factors;
    p.g = p.a + (p.diagonal ? p.columns : p.columns * p.columns);
    layout.factors = p.g + p.rows * p.rows;
  }
  return layout;
}

const KroneckerPlace* invert_factors(const FactorAlgebra& algebra, const KroneckerLayout& layout,
                                     const void* factors, double damping, void* inverses) {
  const KroneckerLayout to = inverse_layout(layout);
  for (std::size_t i = 0; i < layout.places.size(); ++i) {
    const KroneckerPlace &p = layout.places[i], &q = to.places[i];
    const void *a = algebra.at(factors, p.a), *g = algebra.at(factors, p.g);
    void *inverse_a = algebra.at(inverses, q.a), *inverse_g = algebra.at(inverses, q.g);
    const std::vector<double> diagonal =
        p.diagonal ? algebra.values(a, p.columns) : algebra.diagonal(a, p.columns);
    const double ratio = mean(diagonal) / mean(algebra.diagonal(g, p.rows));
    const double pi = std::isfinite(ratio) && ratio > 0 ? std::sqrt(ratio) : 1;
    const double shift_a = pi * std::sqrt(damping), shift_g = std::sqrt(damping) / pi;
    if (!algebra.inverse(g, shift_g, inverse_g, p.rows)) return &p;
    const bool definite = p.diagonal ? invert_diagonal(algebra, diagonal, shift_a, inverse_a)
                                     : algebra.inverse(a, shift_a, inverse_a, p.columns);
    if (!definite) return &p;
  }
  return nullptr;
}

}  // namespace hesscore
