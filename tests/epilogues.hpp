// What an activation makes of a finished product, in a call of its own.
#pragma once

#include <vector>

#include "kernel_tables.hpp"

namespace check {

using hesscore::kernels::Epilogue;

// Those of single products that a table has.
template <class T>
std::vector<Epilogue::Kind> single_epilogues(const hesscore::KernelTable& table) {
  std::vector<Epilogue::Kind> kinds{Epilogue::value, Epilogue::slope};
  if (table.has(hesscore::kernels::MapLinearize::name, kDType<T>)) {
    kinds.push_back(Epilogue::value_and_slope);
    kinds.push_back(Epilogue::times);
  }
  return kinds;
}

template <class T>
void finish(const hesscore::KernelTable& table, Epilogue::Kind kind,
            const hesscore::kernels::Activation& act, Guarded<T>& x, Guarded<T>& c, Guarded<T>& y) {
  using namespace hesscore::kernels;
  const std::int64_t n = c.size();
  if (kind == Epilogue::value) return run<MapForward, T>(table, {c.in(), y.out(), n, act});
  if (kind == Epilogue::slope) {
    return run<MapTangent, T>(table, {x.in(), c.in(), y.out(), n, 1, act});
  }
  if (kind == Epilogue::times) return run<Multiply, T>(table, {x.in(), c.in(), y.out(), n});
  run<MapLinearize, T>(table, {c.out(), y.out(), n, act});
}

}  // namespace check
