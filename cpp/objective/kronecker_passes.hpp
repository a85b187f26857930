// Kronecker factors, and second moments in their eigenbases, emitted as passes over a graph.
//
// A factor of n columns from R rows takes R n^2 multiply-adds, of which half are computed: a
// network's cost over that of its gradient is sum (in^2 + out^2) / (4 in out) of a layer for one
// column of adjoints, beside the sweep that brings them.
#pragma once

#include <map>

#include "objective/compose.hpp"
#include "objective/kronecker_layout.hpp"

namespace hesscore {

class KroneckerPasses {
 public:
  // After a forward pass and the loss's seeds, of which `own` is that of kernels::LossSeed::f; the
  // labels' seed is on the clock.
  struct Seeds {
    Operand own, clock;
  };
  KroneckerPasses(const Request& r, const Graph& graph, Emit& e, Sweep& sweep, LossSite& loss,
                  const Seeds& seeds);
  void emit();

 private:
  void factors();  // to kPortOut
  void moments();  // to kPortOut, eigenbases (as rows, in the layout of the factors) at kPortV

  struct Sum {  // a matrix of which the lower triangle is kept
    Out raw, sum;
  };

  const Op& op(const Uses& uses) const;
  Operand out(std::int64_t at) const { return e_.external(kPortOut).at(at); }
  Operand basis(std::int64_t at) const { return e_.external(kPortV).at(at); }
  void normalise_weights();
  In weighted(In x, std::int64_t first, std::int64_t count, std::int64_t size);
  void add_outer(In x, In weighted_x, std::int64_t rows, std::int64_t n, Sum& to);

  void input_factor(const KroneckerPlace& p);
  void input_sums(const KroneckerPlace& p, const Uses& uses, std::int64_t positions, Sum& to);
  void input_means(const KroneckerPlace& p, const Uses& uses, std::int64_t positions, Sum& to);
  void token_factor(const KroneckerPlace& p, const Uses& uses, std::int64_t positions);
  void adjoint_sums(const KroneckerPlace& p, const Uses& uses, std::int64_t reps, Sum& to);
  void matrix_of(const Sum& positive, const Sum& negative, std::int64_t n, Out to);
  Operand contracted(const KroneckerPlace& p, const Uses& uses, std::int64_t reps);
  // Hands over the adjoints of all columns, with the sign of their outer products.
  void columns(const std::function<void(int group, const Uses&, std::int64_t, double)>& use);

  void averages();  // G by the recursion of KFRA
  Operand averaged_at_output();
  void average_factors(const Node& node, In m);
  Operand through_map(const Node& node, const Site& s, In m);
  Operand through_slopes(const Node& node, const Site& s, In m);

  void place_moments(const KroneckerPlace& p, const Uses& uses, std::int64_t reps, double sign);
  void token_moments(const KroneckerPlace& p, const Uses& uses, std::int64_t reps, Out to,
                     double sign);
  void contracted_moments(const KroneckerPlace& p, const Uses& uses, std::int64_t reps, Out to,
                          double sign);
  void matrix_moments(const KroneckerPlace& p, const Uses& uses, std::int64_t reps, Out to,
                      double sign);
  In rotated_inputs(const KroneckerPlace& p, const Uses& uses, std::int64_t first,
                    std::int64_t count);
  In rotated_adjoints(const KroneckerPlace& p, const Uses& uses, std::int64_t reps);
  In own_basis(const KroneckerPlace& p, In& bias);

  const Request& r_;
  const KroneckerRequest& how_;
  const Graph& graph_;
  Emit& e_;
  Sweep& sweep_;
  LossSite& loss_;
  const Seeds seeds_;
  KroneckerLayout layout_;
  In weights_;                 // of the samples, which sum to one
  std::vector<bool> written_;  // moments
  std::map<std::size_t, In> bases_, biases_;
};

}  // namespace hesscore
