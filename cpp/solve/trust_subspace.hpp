// The trust-region problem of a subspace, in the eigenbasis of its small matrix.
#pragma once

#include <vector>

namespace hesscore {

// min c'y + y'diag(d)y / 2 with ||y|| <= radius, d ascending: (diag(d) + multiplier I) y = -c.
// epsilon: the precision to which d and c are known.
struct TrustSolution {
  std::vector<double> y;
  double multiplier = 0, model = 0;
  bool on_boundary = false, hard_case = false;  // hard: y takes an eigenvector to the boundary
};

TrustSolution solve_trust_region(const std::vector<double>& d, const std::vector<double>& c,
                                 double radius, double epsilon = 0x1p-52);

}  // namespace hesscore
