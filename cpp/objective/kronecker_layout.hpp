// Which matrices the parameters of a graph fall into, and where their factors lie.
#pragma once

#include "hesscore/kronecker.hpp"
#include "ops/op.hpp"

namespace hesscore {

struct KroneckerPlace : KroneckerBlock {
  int group = -1;        // of the graph
  std::size_t part = 0;  // of its layer
  KroneckerPart shape;
  bool weights = false;         // are there other columns than that of the bias?
  std::int64_t weight_at = -1;  // in the flat vector of parameters
  std::int64_t bias_at = -1;    // its column, -1: none
  std::int64_t matrix_at = 0;   // among matrices (rows, columns), transposed if one_hot
  std::int64_t elements() const { return rows * columns; }
};

struct KroneckerLayout {
  std::vector<KroneckerPlace> places;
  std::int64_t factors = 0;  // numbers
};

KroneckerLayout kronecker_layout(const Graph& graph, bool separate_bias);

// The layers that have parameters and no rule, "Linear(2, 3) 'name', ...", or "".
std::string without_kronecker_rule(const Graph& graph);

// The nodes through which second moments cannot be averaged, "MaxPool2d(2) '3', ...", or "".
std::string without_recursion(const Graph& graph, bool train);

}  // namespace hesscore
