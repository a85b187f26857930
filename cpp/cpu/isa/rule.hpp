// An activation as block functions, and its use on a product's tiles while they are in cache.
#pragma once

#include "backend/kernels.hpp"

namespace hesscore::cpu::HC_ISA {

// f, f' and f'' of n numbers; with `linearize` x becomes f'. One copy of everything else serves all
// activations.
template <class T>
struct Rule {
  T alpha = 0;
  void (*values)(const T* x, T alpha, std::int64_t n, T* f) = nullptr;
  void (*slopes)(const T* x, T alpha, std::int64_t n, T* d) = nullptr;
  void (*linearize)(T* x, T alpha, std::int64_t n, T* f) = nullptr;
  void (*both)(const T* x, T alpha, std::int64_t n, T* d, T* dd) = nullptr;

  Rule() = default;
  explicit Rule(const kernels::Activation& a);
};

// See kernels::Epilogue.
template <class T>
struct Finish {
  kernels::Epilogue::Kind kind = kernels::Epilogue::none;
  Rule<T> rule;
  T* c = nullptr;
  const T *c2 = nullptr, *x = nullptr;
  T *y = nullptr, *y2 = nullptr;

  void operator()(std::int64_t begin, std::int64_t n) const;  // on numbers begin .. begin+n-1
};

}  // namespace hesscore::cpu::HC_ISA
