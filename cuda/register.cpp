// A device's tables.
#include "register.hpp"

namespace hesscore::cuda {

void register_all(KernelTable& table, Precision precision) {
  register_maps(table);
  register_plumbing(table);
  register_transposes(table);
  register_broadcasts(table);
  register_pooling(table);
  register_max_pooling(table);
  register_embeddings(table);
  register_embedding_samples(table);
  register_columns(table);
  register_kronecker(table);
  register_reductions(table);
  register_random(table);
  register_vectors(table);
  register_losses(table);
  register_cg(table);
  register_krylov(table);
  register_norms(table);
  register_moments(table);
  register_solver(table);
  register_products(table, precision);
  register_convolutions(table, precision);
}

}  // namespace hesscore::cuda
