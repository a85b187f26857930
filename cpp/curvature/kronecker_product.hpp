// Products with matrices that are Kronecker-factored block by block.
#pragma once

#include "hesscore/kronecker.hpp"
#include "objective/kronecker_layout.hpp"
#include "plan/plan.hpp"

namespace hesscore {

// What a plan reads: matrices in the layout of the factors, and others, in that of the parameters'
// matrices, in between.
inline constexpr int kKroneckerFactors = kPortW, kKroneckerMiddle = kPortY;

// direct: v, as a matrix V of a block, becomes L V R with L, R at the places of G and A.
// spectral: Q_G' (D o (Q_G V Q_A')) Q_A, the eigenvectors as rows there and D in the middle.
enum class KroneckerForm { direct, spectral };

// From kPortV to kPortOut, `count` vectors of n numbers.
void emit_kronecker_product(Emit& e, const KroneckerLayout& layout, KroneckerForm form,
                            std::int64_t count, std::int64_t n);
// The diagonal, to kPortOut.
void emit_kronecker_diagonal(Emit& e, const KroneckerLayout& layout, KroneckerForm form);

}  // namespace hesscore
