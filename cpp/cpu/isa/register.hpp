// What each file in this folder exports. Every file is compiled once per instruction set, in a
// namespace named by it (HC_ISA), and adds its kernels to a table.
#pragma once

#include "backend/kernel_table.hpp"

#define HC_DECLARE_REGISTRATIONS(isa)       \
  namespace hesscore::cpu::isa {            \
  void register_products(KernelTable&);     \
  void register_maps(KernelTable&);         \
  void register_losses(KernelTable&);       \
  void register_vectors(KernelTable&);      \
  void register_cg(KernelTable&);           \
  void register_krylov(KernelTable&);       \
  void register_norms(KernelTable&);        \
  void register_moments(KernelTable&);      \
  void register_plumbing(KernelTable&);     \
  void register_conv(KernelTable&);         \
  void register_conv_weights(KernelTable&); \
  void register_transposes(KernelTable&);   \
  void register_pooling(KernelTable&);      \
  void register_max_pooling(KernelTable&);  \
  void register_broadcasts(KernelTable&);   \
  void register_embeddings(KernelTable&);   \
  void register_columns(KernelTable&);      \
  void register_kronecker(KernelTable&);    \
  }

HC_DECLARE_REGISTRATIONS(portable)
HC_DECLARE_REGISTRATIONS(avx2)
HC_DECLARE_REGISTRATIONS(avx512)

#undef HC_DECLARE_REGISTRATIONS
