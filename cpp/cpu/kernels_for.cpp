// Chooses the kernels the processor can run.
#include "cpu/kernels_for.hpp"

#include <string>

#include "cpu/factorisations.hpp"
#include "cpu/isa/register.hpp"
#include "cpu/parallel.hpp"

namespace hesscore::cpu {
namespace {

struct Variant {
  std::string_view isa;
  bool (*supported)();
  void (*fill)(KernelTable&);
};

#define HC_VARIANT(name, condition)                                              \
  Variant {                                                                      \
    #name, [] { return static_cast<bool>(condition); }, [](KernelTable& table) { \
      name::register_products(table);                                            \
      name::register_maps(table);                                                \
      name::register_losses(table);                                              \
      name::register_vectors(table);                                             \
      name::register_cg(table);                                                  \
      name::register_krylov(table);                                              \
      name::register_norms(table);                                               \
      name::register_moments(table);                                             \
      name::register_plumbing(table);                                            \
      name::register_conv(table);                                                \
      name::register_conv_weights(table);                                        \
      name::register_transposes(table);                                          \
      name::register_pooling(table);                                             \
      name::register_max_pooling(table);                                         \
      name::register_broadcasts(table);                                          \
      name::register_embeddings(table);                                          \
      name::register_columns(table);                                             \
      name::register_kronecker(table);                                           \
    }                                                                            \
  }

const Variant kVariants[] = {
#if defined(HC_HAVE_X86_ISA)
    HC_VARIANT(avx512, __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                           __builtin_cpu_supports("avx512cd") &&
                           __builtin_cpu_supports("avx512dq") &&
                           __builtin_cpu_supports("avx512vl")),
    HC_VARIANT(avx2, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                         __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2")),
#endif
    HC_VARIANT(portable, true),
};
#undef HC_VARIANT

}  // namespace

std::vector<std::string_view> supported_isas() {
  std::vector<std::string_view> isas;
  for (const Variant& v : kVariants) {
    if (v.supported()) isas.push_back(v.isa);
  }
  return isas;
}

KernelTable make_kernel_table(std::string_view isa) {
  for (const Variant& v : kVariants) {
    if (v.isa != isa || !v.supported()) continue;
    KernelTable table;
    v.fill(table);
    register_factorisations(table);
    table.set_rehearsal(&rehearse);
    return table;
  }
  std::string all;
  for (std::string_view name : supported_isas()) all.append(all.empty() ? "" : ", ").append(name);
  throw OptionError("isa", "one of " + all, std::string(isa));
}

}  // namespace hesscore::cpu
