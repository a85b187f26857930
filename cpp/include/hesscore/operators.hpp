// Operators made of other operators, without forming anything. The others must outlive them.
#pragma once

#include <mutex>
#include <utility>
#include <vector>

#include "hesscore/linear_operator.hpp"

namespace hesscore {

// Device memory that an operator needs while it works; one thread at a time.
class HESSCORE_API Scratch {
 public:
  // At least `elements` numbers. New memory is zero; the rest is what it was.
  void* reserve(const LinearMap& like, std::int64_t elements);
  std::mutex mutex;

 private:
  Vector memory_;
};

// a A + b B of one shape, dtype and device, or a A alone.
class HESSCORE_API SumMap : public LinearMap {
 public:
  SumMap(const LinearMap& A, double a, const LinearMap& B, double b);
  SumMap(const LinearMap& A, double a) : A_(A), a_(a) {}
  std::int64_t rows() const override { return A_.rows(); }
  std::int64_t cols() const override { return A_.cols(); }
  DType dtype() const override { return A_.dtype(); }
  Device& device() const override { return A_.device(); }
  void apply(const void* v, void* out, std::int64_t count = 1) const override;
  void apply_adjoint(const void* u, void* out, std::int64_t count = 1) const override;

 private:
  void finish(const void* second, void* out, std::int64_t n) const;

  const LinearMap& A_;
  const LinearMap* B_ = nullptr;
  double a_, b_ = 0;
  mutable Scratch scratch_;
};

// A B
class HESSCORE_API ProductMap : public LinearMap {
 public:
  ProductMap(const LinearMap& A, const LinearMap& B);
  std::int64_t rows() const override { return A_.rows(); }
  std::int64_t cols() const override { return B_.cols(); }
  DType dtype() const override { return A_.dtype(); }
  Device& device() const override { return A_.device(); }
  void apply(const void* v, void* out, std::int64_t count = 1) const override;
  void apply_adjoint(const void* u, void* out, std::int64_t count = 1) const override;

 private:
  const LinearMap &A_, &B_;
  mutable Scratch scratch_;
};

// A'
class HESSCORE_API TransposedMap : public LinearMap {
 public:
  explicit TransposedMap(const LinearMap& A) : A_(A) {}
  std::int64_t rows() const override { return A_.cols(); }
  std::int64_t cols() const override { return A_.rows(); }
  DType dtype() const override { return A_.dtype(); }
  Device& device() const override { return A_.device(); }
  void apply(const void* v, void* out, std::int64_t count = 1) const override {
    A_.apply_adjoint(v, out, count);
  }
  void apply_adjoint(const void* u, void* out, std::int64_t count = 1) const override {
    A_.apply(u, out, count);
  }

 private:
  const LinearMap& A_;
};

// Rows or columns of a matrix: ranges (first, length) one after another.
using Ranges = std::vector<std::pair<std::int64_t, std::int64_t>>;

// The rows and columns of A in these ranges: a product is one with A, of a vector that is zero
// elsewhere.
class HESSCORE_API BlockMap : public LinearMap {
 public:
  BlockMap(const LinearMap& A, Ranges rows, Ranges cols);  // throws ShapeError
  std::int64_t rows() const override { return row_count_; }
  std::int64_t cols() const override { return col_count_; }
  DType dtype() const override { return A_.dtype(); }
  Device& device() const override { return A_.device(); }
  void apply(const void* v, void* out, std::int64_t count = 1) const override;
  void apply_adjoint(const void* u, void* out, std::int64_t count = 1) const override;

 private:
  // One side of a product: how many numbers there are in the block, in A, and where.
  struct Side {
    const Ranges& ranges;
    std::int64_t count, whole;
  };
  void run(bool adjoint, const void* v, void* out, std::int64_t count) const;

  const LinearMap& A_;
  Ranges rows_, cols_;
  std::int64_t row_count_, col_count_;
  mutable Scratch input_[2], output_;  // input: by side, zero outside the ranges
};

// A map that is symmetric, for solvers of symmetric systems.
class HESSCORE_API SymmetricOperator : public LinearOperator {
 public:
  explicit SymmetricOperator(const LinearMap& A);  // throws ShapeError unless square
  std::int64_t size() const override { return A_.rows(); }
  DType dtype() const override { return A_.dtype(); }
  Device& device() const override { return A_.device(); }
  void apply(const void* v, void* out, std::int64_t count = 1) const override {
    A_.apply(v, out, count);
  }

 private:
  const LinearMap& A_;
};

// a I
class HESSCORE_API IdentityOperator : public LinearOperator {
 public:
  IdentityOperator(Device& device, DType dtype, std::int64_t size, double factor = 1)
      : device_(device), dtype_(dtype), size_(size), factor_(factor) {}
  std::int64_t size() const override { return size_; }
  DType dtype() const override { return dtype_; }
  Device& device() const override { return device_; }
  void apply(const void* v, void* out, std::int64_t count = 1) const override;

 private:
  Device& device_;
  DType dtype_;
  std::int64_t size_;
  double factor_;
};

}  // namespace hesscore
