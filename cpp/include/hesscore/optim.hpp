// Optimizers: one step is one call into the engine; w is updated in place.
#pragma once

#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "hesscore/kronecker.hpp"
#include "hesscore/solve.hpp"

namespace hesscore {

// A constant or a schedule of the step number, counted from 0.
class HESSCORE_API Rate {
 public:
  Rate(double value) : value_(value) {}
  Rate(std::function<double(std::int64_t)> schedule) : schedule_(std::move(schedule)) {}
  double operator()(std::int64_t step) const { return schedule_ ? schedule_(step) : value_; }
  bool is_constant() const { return !schedule_; }

 private:
  double value_ = 0;
  std::function<double(std::int64_t)> schedule_;
};

struct Sgd {
  Rate lr = 1e-2;
  double momentum = 0;
  bool nesterov = false;
  double weight_decay = 0;
};
struct Adam {  // weight_decay is added to the gradient; AdamW decouples it
  Rate lr = 1e-3;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
};
struct AdamW {
  Rate lr = 1e-3;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 1e-2;
};
enum class Moment { square, abs };  // second moment: EMA of d^2 or of |d|
struct AdaHessian {                 // Yao et al. 2021
  Rate lr = 0.15;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-4, weight_decay = 0, power = 1;
  int samples = 1;
  std::uint64_t seed = 0;
};
// Elsayed & Mahmood 2022. With `delta`, every step s is scaled by one number, such that the change
// of the loss that its curvature foretells stays small: min(max_scale, sqrt(2 delta / sum h s^2)),
// h = sqrt(u) (Elsayed et al. 2024).
struct AdaHesScale {
  Rate lr = 1e-3;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0, power = 1;
  Moment moment = Moment::square;
  double delta = 0, max_scale = 1;
};
struct AdaHesScaleGN : AdaHesScale {};
struct Bl89 : AdaHesScale {};  // the same with the diagonal of Becker & LeCun 1989
// Adam with the square of a curvature diagonal in place of that of the gradient. frozen: bias
// corrections stay those of the first step.
enum class BiasCorrection { standard, frozen };
struct ChainruleAdam {
  Rate lr = 1e-3;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-4, weight_decay = 0;
  Diag diag = Diag::ggn;  // or ggn_mc, hesscale, hutchinson
  BiasCorrection bias_correction = BiasCorrection::standard;
  std::uint64_t seed = 0;
};
// Liu et al. 2023: steps m / max(gamma h, eps), each element clipped to 1. h is the mean of a
// diagonal that is drawn in every `interval`-th step: sampled Gauss-Newton, or Hutchinson's.
struct SophiaG {
  Rate lr = 1e-3;
  double beta1 = 0.96, beta2 = 0.99, gamma = 0.05, eps = 1e-12, weight_decay = 0.1;
  std::int64_t interval = 10;
  std::uint64_t seed = 0;
};
struct SophiaH {
  Rate lr = 1e-3;
  double beta1 = 0.96, beta2 = 0.99, gamma = 0.01, eps = 1e-12, weight_decay = 0.1;
  std::int64_t interval = 10;
  std::uint64_t seed = 0;
};
// constant: the solution of (G + lambda I) x = g as it is. lm: lambda adapts by how well the model
// foretold the loss (x 3/2 below a ratio of 1/4, x 2/3 above 3/4), and among the iterates of CG the
// one with the lowest loss is looked for. Under both, a line search shortens lr until the loss
// falls, unless it is switched off.
enum class Damping { constant, lm };
struct GaussNewton {  // Martens 2010, with Gauss-Newton products
  Rate lr = 1;
  Damping damping_rule = Damping::lm;
  Rate damping = 1;  // constant: lambda at each step; lm: where it starts
  std::int64_t cg_iterations = 50;
  double cg_rtol = 1e-3;
  bool martens_stop = true;
  double warm_start = 0.95;             // CG starts from this times the last step
  std::string preconditioner = "none";  // or "hesscale", "empirical_fisher"
  // False takes every finite step at lr, rising losses included. Under constant damping the loss
  // there is then not computed, and rho is 0.
  bool line_search = true;
};
struct HessianFree : GaussNewton {     // the same with Hessian products; CG ends where p'Hp <= 0
  Product product = Product::hessian;  // or ggn
};
// The minimum of the quadratic model within a radius, which adapts: a quarter of the step's length
// if the loss fell by less than 1/4 of what the model foretold, twice the radius if by more than
// 3/4 on the boundary.
struct TrustRegion {
  double radius = 1, max_radius = 1e3;
  TrustMethod solver = TrustMethod::gltr;
  Product product = Product::hessian;  // or ggn
  std::int64_t iterations = 50;        // of the solver
  double rtol = 1e-3;
};
// w -= lr (H + damping I)^-1 g with the dense Hessian, by Cholesky factors. Where it is indefinite,
// by eigenvalues: absolute takes their magnitudes, truncated drops those that are not positive,
// plain keeps their signs. Those of less than P eps times the largest magnitude are dropped.
enum class Indefinite { absolute, truncated, plain };
struct Newton {
  Rate lr = 1, damping = 0;
  Indefinite indefinite = Indefinite::absolute;
};
// Nocedal & Wright 2006, algorithm 7.5, with a line search for the strong Wolfe conditions
// (algorithms 3.5 and 3.6). For batches that stay the same.
struct Lbfgs {
  Rate lr = 1;  // the first step length that is tried
  std::int64_t history = 10;
  double c1 = 1e-4, c2 = 0.9;
  std::int64_t max_evaluations = 25;
};
// Quasi-Newton from differences of replicas' gradients (Arnold & Wang). A batch is split into M
// shards, whose sizes differ by at most one; weighted means over them are those of the whole batch.
// With pairs G = H W (solve.hpp, replica_inverse) and the gradient z of the batch, w -= lr (z - U
// U'z) + span_step P U'z, and where <P U'z, z> <= 0, w -= lr z.
//   paired: W_m = -lr g_m(w), G_m = g_m(w + W_m) - g_m(w) on the same shard; rank up to M. Two
//     gradients of every shard.
//   centred: W_m = -lr g_m(w), G_m = g(w + W_m) of the whole batch, both less their means over m;
//     rank up to M - 1. One gradient of every shard, and M of the whole batch.
//   carried: W_m is kept from step to step, -lr (g_m - g) of the last one, G_m = g_m(w + W_m) - z
//     of shard m, z their mean, so that shards differ, too; rank up to M - 1. One gradient of every
//     shard.
// Sums over a batch are divided by the shard's part of the samples, so that every g_m is of g's
// size. Batch statistics are those of the shard, running ones those of the batch.
enum class ReplicaForm { paired, centred, carried };
struct ReplicaNewton {
  Rate lr = 1e-2;
  std::int64_t replicas = 2;
  ReplicaForm form = ReplicaForm::paired;
  Rate span_step = 1;  // 1: Newton's
  double rtol = 1e-2;  // singular values of G below this times the largest one are dropped
  bool ritz = false;   // the step takes 1 / (largest Ritz value) for lr, where that is positive
};
// KFAC (Martens & Grosse 2015; convolutions: Grosse & Martens 2016). Of Kronecker factors, moving
// averages with weight min(1 - 1/k, factor_ema) in their k-th update; the natural gradient n of
// their inverse, damped by sqrt(damping + weight_decay) on both sides. Steps, momentum none: what
// minimises the Gauss-Newton model of the batch among the combinations of n and the last step; a
// number: lr times a heavy ball's velocity. They are shortened such that lr^2 n'g is at most
// kl_clip. lm: in every fifth step lambda shrinks by (19/20)^5 above a ratio of 3/4, and grows by
// it below 1/4. Norms have their exact blocks.
struct Kfac {
  Rate lr = 1;
  Damping damping_rule = Damping::lm;
  Rate damping = 1;                     // lm: where it starts
  std::optional<double> momentum = {};  // none: from the model
  double weight_decay = 0;              // of weight_decay / 2 |w|^2 in the loss
  double kl_clip = 0;                   // 0: none
  Factors kind = Factors::mc;           // labels are drawn anew in each step
  double factor_ema = 0.95;
  std::int64_t interval = 1;           // steps from one update of the averages to the next
  std::int64_t inverse_interval = 20;  // and of their inverses, but for the first three steps
};
using Method = std::variant<Sgd, Adam, AdamW, AdaHessian, AdaHesScale, AdaHesScaleGN, Bl89,
                            ChainruleAdam, SophiaG, SophiaH, GaussNewton, HessianFree, TrustRegion,
                            Newton, Lbfgs, ReplicaNewton, Kfac>;

// What methods take beside their own options; 0: not. The gradient is clipped before anything else
// is made of it, weight decay included: scaled to a norm of at most clip_norm, or each element cut
// to [-clip_value, clip_value]. Methods whose model or line search wants the gradient itself
// refuse. ema keeps a mean of w: w itself in the first step, then ema mean + (1 - ema) w.
struct StepOptions {
  double clip_norm = 0, clip_value = 0, ema = 0;
};

struct StepInfo {
  double loss = 0;        // before the step
  std::int64_t step = 0;  // number of this step, from 1
  bool accepted = true;   // false: w was left as it was
  // Of the batch, before clipping; NaN where a device took the step by itself.
  double grad_norm = std::numeric_limits<double>::quiet_NaN();
  double damping = 0, rho = 0;            // rho: actual over predicted reduction
  double radius = 0;                      // of the trust region
  std::int64_t iterations = 0;            // of CG or Lanczos; lbfgs: evaluations
  std::int64_t negative_eigenvalues = 0;  // newton
  double eigenvalue = 0;                  // replica_newton: the largest Ritz value
  bool fell_back = false;  // replica_newton, lbfgs: the gradient in place of an ascending step
};

struct RunOptions {
  std::int64_t batch_size = 128;
  std::uint64_t shuffle_seed = 0;
  bool shuffle = true;
  std::uint64_t dropout_seed = 0;
  // The data lie in host memory, whatever the device: batches are uploaded while the ones before
  // them are in use.
  bool host_data = false;
  // A device that takes steps by itself is looked at after this many of them; 0: about every 10 ms.
  std::int64_t steps_per_launch = 0;
  // `on_step` is called, and may stop, after each step. False: whenever the device is looked at,
  // for all the steps since then; a stop counts from there.
  bool every_step = true;
  // Called now and then within steps; may throw, which ends the run between two steps.
  std::function<void()> poll = {};
};

// One call at a time: a step, a run or load_state inside another one, from `on_step` or another
// thread, throws StateError. state() and ema() may be called from `on_step`; from another thread
// they throw within a call, and a call that comes while they read waits for them.
class HESSCORE_API Optimizer {
 public:
  Optimizer(const Objective& f, Method method, const StepOptions& options = {});
  ~Optimizer();
  Optimizer(Optimizer&&) noexcept;

  // A step that fails leaves w and the state as they were: a non-finite loss, gradient, curvature
  // or update throws NonFiniteError; a rejected Gauss-Newton step says so in the report, is not
  // counted, and changes nothing but the damping of Damping::lm.
  // `poll` is called between its evaluations and products; throwing ends it in the same way.
  StepInfo step(View w, const Batch& batch, const std::function<void()>& poll = {});

  // Steps first .. first+count-1 of the given epoch over the whole data set, gathered batch by
  // batch into memory of our own; the last batch may be smaller. `on_step` sees every report;
  // returning true stops. Returns the number of steps taken. Steps are bitwise those of step(),
  // whoever launches them, but for the seed of dropout.
  std::int64_t run(View w, const Batch& data, const RunOptions& options, std::int64_t epoch,
                   std::int64_t first, std::int64_t count,
                   const std::function<bool(const StepInfo&)>& on_step = {});

  // A copy of the mean of w that StepOptions::ema keeps, where w lies; of a loaded state before the
  // next step, in the dtype of the state. Throws StateError without one, or before the first step.
  Vector ema() const;

  // Copies of all state: vectors ("m", "u", "direction", "ema"; absent before the first step) of
  // numbers of w's dtype, and scalars ("step", "damping"). A run that goes on from a state is
  // bitwise the uninterrupted one.
  struct State {
    std::map<std::string, std::vector<double>> vectors;
    std::map<std::string, double> scalars;
    DType dtype = DType::f64;
  };
  State state() const;
  void load_state(const State& state);  // throws StateError on a wrong key, length or value

  class Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace hesscore
