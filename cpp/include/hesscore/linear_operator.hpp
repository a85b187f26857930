// LinearMap: a matrix known by its products. LinearOperator: a symmetric one, which is all that a
// Krylov solver knows of the curvature matrix.
#pragma once

#include <memory>

#include "hesscore/vector.hpp"

namespace hesscore {

// Coordinates for the Krylov vectors of an operator A and one vector b, where they are shorter or
// cheaper to multiply than the vectors themselves. Coordinates are linear in the vectors, so sums
// and multiples are taken on the arrays; products and inner products are these.
class HESSCORE_API KrylovCoordinates {
 public:
  virtual ~KrylovCoordinates();
  virtual std::int64_t size() const = 0;                       // elements of an array
  virtual void rebase(const void* b) = 0;                      // from now on, those of this b
  virtual void start(void* c) const = 0;                       // of b
  virtual void apply(const void* c, void* out) const = 0;      // of A v, from those of v
  virtual double dot(const void* c, const void* d) const = 0;  // <v, u>
  virtual void to_vector(const void* c, void* v) const = 0;    // v itself
};

// Conjugate gradients on an operator as work that a device repeats by itself: iterations take no
// word from the host. What they work on lies here and stays where it is, so that work recorded once
// serves every solve.
class HESSCORE_API ResidentCg {
 public:
  virtual ~ResidentCg();
  virtual void start() = 0;  // the first direction, from r
  virtual void run() = 0;    // iterations until the state says stop, or at least one of them

  Vector x, r, p;  // iterate, residual, direction
  Vector d;        // diagonal preconditioner; empty: none
  Buffer state;    // a math::CgState, scale and shift of the operator in it
  Buffer records;  // that it points to
};

class HESSCORE_API LinearMap {
 public:
  virtual ~LinearMap();
  virtual std::int64_t rows() const = 0;
  virtual std::int64_t cols() const = 0;
  virtual DType dtype() const = 0;
  virtual Device& device() const = 0;

  // out[k] = A v[k] for k < count; `v` is (count, cols), `out` (count, rows), row-major, and they
  // do not overlap.
  virtual void apply(const void* v, void* out, std::int64_t count = 1) const = 0;
  // out[k] = A' u[k]; `u` is (count, rows), `out` (count, cols).
  virtual void apply_adjoint(const void* u, void* out, std::int64_t count = 1) const = 0;
};

class HESSCORE_API LinearOperator : public LinearMap {
 public:
  ~LinearOperator() override;
  virtual std::int64_t size() const = 0;
  std::int64_t rows() const final { return size(); }
  std::int64_t cols() const final { return size(); }
  void apply_adjoint(const void* u, void* out, std::int64_t count = 1) const final {
    apply(u, out, count);
  }

  // result[k] = <v[k], A v[k]> for k < count, float64 numbers on the device, without A v; false
  // where there is no such way.
  virtual bool forms(const void* v, double* result, std::int64_t count) const;

  // Null where there is nothing to gain. `b` must stay unchanged as long as the result is used.
  virtual std::unique_ptr<KrylovCoordinates> krylov_coordinates(const void* b) const;

  // Such work for an operator A of which this one is scale A + shift I; null where there is none,
  // or a solve has it.
  struct Resident {
    std::shared_ptr<ResidentCg> cg;
    double scale = 1, shift = 0;
  };
  virtual Resident resident_cg(bool preconditioned) const;
};

}  // namespace hesscore
