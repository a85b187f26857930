// What each kernel file of the plugin adds to a device's tables.
#pragma once

#include "backend/kernel_table.hpp"
#include "hesscore/device.hpp"

namespace hesscore::cuda {

void register_maps(KernelTable& table);
void register_plumbing(KernelTable& table);  // fill, copy, multiply, gather
void register_transposes(KernelTable& table);
void register_broadcasts(KernelTable& table);
void register_pooling(KernelTable& table);      // window_sum, window_spread
void register_max_pooling(KernelTable& table);  // and its tangent and adjoint
void register_embeddings(KernelTable& table);   // lookup and what arrives at its rows
void register_embedding_samples(KernelTable& table);
void register_columns(KernelTable& table);     // of Jacobians: tangents and adjoints
void register_kronecker(KernelTable& table);   // unfold, mirror
void register_reductions(KernelTable& table);  // column_sum, square_sum, multiply_sum, row_project
void register_random(KernelTable& table);      // dropout, rademacher
void register_vectors(KernelTable& table);     // axpby, dot, all_finite, power, update
void register_losses(KernelTable& table);
void register_cg(KernelTable& table);
void register_krylov(KernelTable& table);  // row_dots, combine, krylov_step
void register_norms(KernelTable& table);
void register_moments(KernelTable& table);  // and square_root
void register_products(KernelTable& table, Precision precision);
void register_convolutions(KernelTable& table, Precision precision);
void register_solver(KernelTable& table);  // cholesky, cholesky_solve, symmetric_eigen

void register_all(KernelTable& table, Precision precision);

}  // namespace hesscore::cuda
