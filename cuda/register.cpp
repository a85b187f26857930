// A device's tables.
#include "register.hpp"

namespace hesscore::cuda {

// Files of kernels that are not in the build are left out.
[[gnu::weak]] void register_maps(KernelTable& table);
[[gnu::weak]] void register_plumbing(KernelTable& table);
[[gnu::weak]] void register_reductions(KernelTable& table);
[[gnu::weak]] void register_random(KernelTable& table);
[[gnu::weak]] void register_vectors(KernelTable& table);
[[gnu::weak]] void register_losses(KernelTable& table);
[[gnu::weak]] void register_cg(KernelTable& table);
[[gnu::weak]] void register_products(KernelTable& table, Precision precision);
[[gnu::weak]] void register_solver(KernelTable& table);

void register_all(KernelTable& table, Precision precision) {
  for (void (*const fill)(KernelTable&) :
       {&register_maps, &register_plumbing, &register_reductions, &register_random,
        &register_vectors, &register_losses, &register_cg, &register_solver}) {
    if (fill != nullptr) fill(table);
  }
  if (&register_products != nullptr) register_products(table, precision);
}

}  // namespace hesscore::cuda
