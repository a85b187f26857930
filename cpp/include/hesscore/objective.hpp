// Objective: a graph as a function of (w, x, y), with everything that can be asked of it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "hesscore/graph.hpp"
#include "hesscore/vector.hpp"

namespace hesscore {

// Diagonal curvatures of the reduced loss; each is one number per parameter.
enum class Diag {
  hesscale,          // Elsayed & Mahmood 2022: one sweep, approximate, exact on the last layer
  hesscale_gn,       // the same recursion without second derivatives of the activations
  bl89,              // Becker & LeCun 1989: the softmax taken element-wise
  ggn,               // exact diagonal of the generalised Gauss-Newton matrix
  ggn_mc,            // its estimate from labels drawn from the model
  hutchinson,        // mean of z * (H z) over Rademacher z: unbiased for the Hessian diagonal
  empirical_fisher,  // mean of squared per-sample gradients
  hessian,           // exact diagonal of the Hessian
};

// One array, or one for each named input.
struct HESSCORE_API Inputs {
  std::vector<std::pair<std::string, View>> arrays;
  Inputs() = default;
  Inputs(View x) { arrays.emplace_back("", std::move(x)); }
  Inputs(std::vector<std::pair<std::string, View>> named) : arrays(std::move(named)) {}
};

struct Batch {
  Inputs x;
  View y;
  View sample_weight = {};  // (N,), optional: weight k counts as k copies of the sample
};

// `seed` and `step` drive dropout masks; they matter only in training mode. `track`: an evaluation
// in training mode leaves the statistics of its batch for the buffers, which optimizers move when
// they accept the step.
struct Mode {
  bool train = false;
  std::uint64_t seed = 0, step = 0;
  bool track = false;
};

// Where a result goes: a Vector or any View.
struct Target : View {
  Target() = default;
  Target(Vector* v) : View(*v) {}
  Target(View v) : View(std::move(v)) {}
};

struct DiagTarget {
  Diag kind;
  Target out;
  int samples = 1;  // ggn_mc and hutchinson
  std::uint64_t seed = 0;
  std::int64_t max_memory = 0;  // hessian and ggn: bytes for columns that travel together, of which
                                // there is one at least; 0: as many as keep a machine busy
};

struct DiagTargets : std::vector<DiagTarget> {
  DiagTargets() = default;
  DiagTargets(Diag kind, Target out) : std::vector<DiagTarget>{{kind, std::move(out)}} {}
  DiagTargets(std::initializer_list<DiagTarget> list) : std::vector<DiagTarget>(list) {}
};

// Over the gradients of N single samples, the rows of per_sample_grads(): means of the rows and of
// their squares, second_moment - mean^2 or zero where that is negative, each (P,); and the rows'
// Euclidean norms (N,).
struct GradMoments {
  Target mean = {}, second_moment = {}, variance = {}, norms = {};
};

struct Outputs {
  Target grad = {};
  DiagTargets diag = {};
  Target predict = {};           // network output
  Target per_sample_grads = {};  // (N, P)
  GradMoments grad_moments = {};
};

// Names of the quantities that each node has rules for, in evaluation or in training mode.
HESSCORE_API std::vector<std::vector<std::string>> supported(const Graph& graph,
                                                             bool train = false);

// gap: the Hessian less the Gauss-Newton matrix, sum_k dL/dz_k d2z_k/dw2, formed by itself.
enum class Product { hessian, ggn, fisher_mc, fisher_empirical, gap };

class HESSCORE_API Objective {
 public:
  explicit Objective(Graph graph, Device& device = hesscore::device("cpu"),
                     DType dtype = DType::f32, Precision precision = Precision::fp32);
  ~Objective();
  Objective(Objective&&) noexcept;

  const Graph& graph() const;
  Device& device() const;
  DType dtype() const;  // of zeros() and init(); evaluations follow w's
  Precision precision() const;
  std::int64_t num_params() const;
  Shape output_shape() const;  // per sample

  Vector zeros() const;
  Vector init(std::uint64_t seed = 0, std::string_view scheme = "default") const;
  std::vector<double> init_values(std::uint64_t seed, std::string_view scheme) const;

  // Bytes that these need beside their arguments: activations, adjoints, what is asked for, and
  // what kernels pack, on the objective's device. Quantities by name: "loss", "grad", "predict",
  // the diagonals, "per_sample_grads", "grad_moments" and "kron", which are computed together;
  // "hvp", "ggnvp", "fishervp", "jvp", "vjp", each of one vector.
  std::int64_t memory(std::int64_t batch, const std::vector<std::string>& quantities, DType dtype,
                      bool train = false, int samples = 1, std::int64_t max_memory = 0) const;

  // The loss, and whatever `out` asks for, from one forward and one backward sweep where the
  // quantities allow it. Nothing is written when an argument is bad.
  double evaluate(View w, const Batch& batch, const Outputs& out = {}, const Mode& mode = {}) const;

  // Row n is N times, of a summed loss once, the gradient of sample n's part of the loss: the rows'
  // mean is the gradient, or their sum. Refused where samples share statistics.
  void per_sample_grads(View w, const Batch& batch, Target out, const Mode& mode = {}) const;
  // Of the rows, which are not formed all at a time.
  void grad_moments(View w, const Batch& batch, const GradMoments& out,
                    const Mode& mode = {}) const;

  void predict(View w, const Inputs& x, Target out, const Mode& mode = {}) const;
  void jvp(View w, const Inputs& x, View v, Target out, const Mode& mode = {}) const;
  void vjp(View w, const Inputs& x, View u, Target out, const Mode& mode = {}) const;

  // out = A v, v and out (P,) or (K, P): K products share one pass.
  void product(Product kind, View w, const Batch& batch, View v, Target out, const Mode& mode = {},
               int samples = 1, std::uint64_t seed = 0) const;

  // What the mean over this batch divides by: the number of its samples times that of the loss's
  // terms in each, or the sum of their weights. A mean over batches is weighted by it; 1 for a sum.
  double mean_weight(View w, const Batch& batch, const Mode& mode = {}) const;

  // Running statistics by name ("1.running_mean"), float64. Evaluations read them and leave them
  // alone; a training step that is accepted moves them once, and so does update_buffers(): by the
  // statistics of these samples, as a training step at w would. Loading checks all names and
  // lengths first; buffers that are not named stay.
  using Buffers = std::map<std::string, std::vector<double>>;
  Buffers buffers() const;
  void load_buffers(const Buffers& values) const;  // throws StateError
  void update_buffers(View w, const Inputs& x, const Mode& mode = {.train = true}) const;

  class Impl;
  Impl& impl() const { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace hesscore
