// Kronecker-factored curvature: for each layer A (x) G, a few small matrices in place of a large
// one (KFAC: Martens & Grosse 2015; convolutions: Grosse & Martens 2016; EKFAC: George et al.
// 2018).
#pragma once

#include <memory>

#include "hesscore/linear_operator.hpp"
#include "hesscore/objective.hpp"

namespace hesscore {

// Whose gradients G is made of: at labels drawn from the model, at all square-root columns of the
// loss's Hessian, at the true labels; or the average over samples of the adjoints' second moments,
// taken from layer to layer as if layers were independent (KFRA, Botev et al. 2017): in chains of
// layers whose Jacobian is the same for all samples or diagonal.
enum class Factors { mc, exact, empirical, recursive };

// Samples n = 1 .. N of weights s_n, positions t = 1 .. T of a layer in all its uses, loss columns
// c with sum_c J' c c' J = the Gauss-Newton matrix of the reduced loss (a mean's 1/N is in c):
//   expand   A = sum_nt s_n x_nt x_nt' / (T sum_n s_n)   G = sum_cnt g_cnt g_cnt'
//   reduce   A = sum_n s_n a_n a_n' / sum_n s_n,  a_n = sum_t x_nt / T
//            G = sum_cn b_cn b_cn',  b_cn = sum_t g_cnt
// For one sample and one position A (x) G is the Gauss-Newton matrix of the layer.
struct KroneckerOptions {
  Factors kind = Factors::mc;
  int samples = 1;  // mc
  std::uint64_t seed = 0;
  bool reduce = false;
  bool separate_bias = false;  // a block of its own, with A = [1]; else a last one in every x
  // The second moments of the gradients in the eigenbases of A and G in place of the products of
  // eigenvalues.
  bool corrected = false;
};

// Parameters as a matrix (rows, columns): G is (rows, rows), A (columns, columns) or, of an
// embedding, whose x has a single one, its diagonal.
struct KroneckerBlock {
  std::string name;
  std::int64_t rows = 0, columns = 0;
  bool diagonal = false;
  std::int64_t a = 0, g = 0;  // where they begin in KroneckerFactors::factors()
};

class HESSCORE_API KroneckerFactors {
 public:
  // Factors at w. They lie in `storage` of count(f, options) numbers if that is given, which then
  // must outlive this. `also` is evaluated with them, after the same forward pass. Throws
  // UnsupportedError with the names of all layers that have none.
  KroneckerFactors(const Objective& f, View w, const Batch& batch,
                   const KroneckerOptions& options = {}, const Mode& mode = {},
                   const Target& storage = {}, const Outputs& also = {});
  ~KroneckerFactors();
  KroneckerFactors(KroneckerFactors&&) noexcept;

  static std::int64_t count(const Objective& f, const KroneckerOptions& options);

  double loss() const;  // there
  const std::vector<KroneckerBlock>& blocks() const;
  View factors() const;
  std::int64_t size() const;  // number of parameters
  DType dtype() const;
  Device& device() const;

  // The block-diagonal matrix F; it must not outlive this. What is made of it keeps its own copies.
  std::unique_ptr<LinearOperator> matrix() const;
  // Its damped inverse. split: (A + pi sqrt(damping) I)^-1 (x) (G + sqrt(damping) / pi I)^-1 with
  // pi^2 = (trace(A) / columns) / (trace(G) / rows) (Martens & Grosse 2015, section 6.3); else, and
  // always of corrected factors, (F + damping I)^-1. Throws OptionError where that is not positive
  // definite.
  std::unique_ptr<LinearOperator> inverse(double damping, bool split = true) const;

  double trace() const;
  double logdet(double damping) const;  // of F + damping I
  void diagonal(const Target& out) const;

  // F <- decay F + (1 - decay) other, factor by factor; not of corrected factors.
  void update(const KroneckerFactors& other, double decay);

  class Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace hesscore
