// Request: what a plan is made for. Equal requests share a plan.
#pragma once

#include <compare>
#include <optional>
#include <vector>

#include "hesscore/kronecker.hpp"

namespace hesscore {

struct DiagRequest {
  Diag kind;
  int samples = 1;
  std::int64_t max_memory = 0;  // bytes for columns that travel together; 0: a good amount
  auto operator<=>(const DiagRequest&) const = default;
};

struct MomentsRequest {
  bool mean = false, second_moment = false, variance = false, norms = false;
  bool sums() const { return mean || second_moment || variance; }
  bool any() const { return sums() || norms; }
  auto operator<=>(const MomentsRequest&) const = default;
};

// Kronecker factors, or with `moments` the second moments in their eigenbases.
struct KroneckerRequest {
  Factors kind = Factors::mc;
  int samples = 1;  // mc
  bool reduce = false, separate_bias = false, moments = false;
  auto operator<=>(const KroneckerRequest&) const = default;
};

struct Request {
  enum class What { evaluate, predict, jvp, vjp, product, form, track } what = What::evaluate;
  DType dtype = DType::f32;
  std::int64_t batch = 0;
  bool train = false, soft = false, weighted = false;

  bool grad = false, predict = false;  // evaluate
  std::vector<DiagRequest> diag;
  bool per_sample_grads = false;
  MomentsRequest grad_moments;
  std::optional<KroneckerRequest> kronecker;
  bool tracked = false;  // are the batch's statistics left for the buffers?
  bool watched = false;  // do results that are not moderate raise the device's alarm?

  Product product = Product::hessian;
  std::int64_t reps = 1;  // stacked vectors
  int samples = 1;        // fisher_mc

  auto operator<=>(const Request&) const = default;
};

}  // namespace hesscore
