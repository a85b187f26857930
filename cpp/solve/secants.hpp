// Secant pairs G = H W: what steps and the changes of the gradient along them tell of H.
#pragma once

#include <functional>
#include <vector>

#include "solve/krylov.hpp"

namespace hesscore {

struct SecantFit {
  // With a, P U'z = W a and U U'z = G a: the parts of H^-1 z and of z in the span of G.
  std::vector<double> a;
  std::int64_t rank = 0;
  double slope = 0;       // <P U'z, z>
  double eigenvalue = 0;  // the largest Ritz value of H in the span of W
  bool finite = true;     // are the inner products?
};

class SecantPairs {
 public:
  SecantPairs(Device& device, DType dtype, std::int64_t n, std::int64_t count);

  // W, G (count, n) and z (n,). Only inner products come to the host. `poll` may throw.
  SecantFit fit(const void* W, const void* G, const void* z, double rtol,
                const std::function<void()>& poll = {}) const;
  // y = b y + sum_m c_m X_m, b 0 or 1, X (count, n)
  void combine(const std::vector<double>& c, const void* X, bool b, void* y) const;

 private:
  Device& device_;
  DType dtype_;
  KrylovKernels kernels_;
  std::int64_t n_, count_;
  Buffer products_, coefficients_;  // doubles
};

}  // namespace hesscore
