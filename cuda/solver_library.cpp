// Opening cuSOLVER.
#include "solver_library.hpp"

#include <dlfcn.h>

#include <string>

#include "hesscore/core.hpp"

namespace hesscore::cuda {

namespace {

#if defined(HC_EMULATED)
SolverLibrary open_library() {
#define HC_SOLVER_ADDRESS(name) &::name,
  return {HC_SOLVER_FUNCTIONS(HC_SOLVER_ADDRESS)};
#undef HC_SOLVER_ADDRESS
}
#else
constexpr const char* kFile = "libcusolver.so.12";  // of CUDA 13

template <class F>
void find(void* library, const char* name, F& function) {
  function = reinterpret_cast<F>(dlsym(library, name));
  if (function == nullptr) throw DeviceError(std::string(kFile) + " has no function " + name);
}

SolverLibrary open_library() {
  void* const library = dlopen(kFile, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    throw DeviceError(std::string("factorisations on the GPU need cuSOLVER, which could not be ") +
                      "loaded: " + dlerror() +
                      "; `pip install hesscore[cuda]` brings the CUDA libraries");
  }
  SolverLibrary functions;
#define HC_SOLVER_FIND(name) find(library, #name, functions.name);
  HC_SOLVER_FUNCTIONS(HC_SOLVER_FIND)
#undef HC_SOLVER_FIND
  return functions;
}
#endif

}  // namespace

const SolverLibrary& solver_library() {
  static const SolverLibrary library = open_library();
  return library;
}

}  // namespace hesscore::cuda
