// KernelTable: kernels by name and dtype.
#include "backend/kernel_table.hpp"

namespace hesscore {

namespace {

std::string key_of(std::string_view name, DType dtype) {
  return std::string(name) + '/' + std::string(name_of(dtype));
}

}  // namespace

AnyKernel KernelTable::find(std::string_view name, DType dtype) const {
  const auto it = kernels_.find(key_of(name, dtype));
  if (it != kernels_.end()) return it->second;
  throw UnsupportedError("this device has no kernel '" + std::string(name) + "' for " +
                         std::string(name_of(dtype)));
}

bool KernelTable::has(std::string_view name, DType dtype) const {
  return kernels_.count(key_of(name, dtype)) > 0;
}

void KernelTable::put(std::string_view name, DType dtype, AnyKernel kernel) {
  kernels_[key_of(name, dtype)] = kernel;
}

void KernelTable::mark_rehearsed(std::string_view name, DType dtype) {
  rehearsed_.insert(find(name, dtype));
}

void KernelTable::rehearse(AnyKernel kernel, const void* args, Workspace& needed) const {
  if (rehearsed_.count(kernel) > 0) rehearse_(kernel, args, needed);
}

}  // namespace hesscore
