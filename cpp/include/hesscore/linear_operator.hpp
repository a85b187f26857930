// LinearOperator: all that a Krylov solver knows of the curvature matrix.
#pragma once

#include "hesscore/vector.hpp"

namespace hesscore {

class HESSCORE_API LinearOperator {
 public:
  virtual ~LinearOperator();
  virtual std::int64_t size() const = 0;
  virtual DType dtype() const = 0;
  virtual Device& device() const = 0;

  // out[k] = A v[k] for k < count; `v` and `out` are (count, size) row-major and do not overlap.
  virtual void apply(const void* v, void* out, std::int64_t count = 1) const = 0;
};

}  // namespace hesscore
