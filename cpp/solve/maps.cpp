// Sums, products, transposes and blocks of operators.
#include <algorithm>

#include "backend/algebra.hpp"
#include "hesscore/operators.hpp"

namespace hesscore {
namespace {

constexpr std::int64_t kMostVectors = 16;  // that a block's product embeds at once

std::string shape_text(const LinearMap& A) { return to_string({A.rows(), A.cols()}); }

void check_alike(const LinearMap& A, const LinearMap& B) {
  if (A.dtype() != B.dtype()) {
    throw DTypeError("operators", std::string(name_of(A.dtype())) + ", as the first one",
                     std::string(name_of(B.dtype())));
  }
  if (&A.device() != &B.device()) {
    throw DeviceError("operators", "one on " + A.device().name() + ", as the first one",
                      "one on " + B.device().name());
  }
}

std::int64_t total(const char* name, const Ranges& ranges, std::int64_t whole) {
  std::int64_t sum = 0;
  for (const auto& [first, length] : ranges) {
    if (first < 0 || length < 0 || first > whole || length > whole - first) {
      throw ShapeError(name, "ranges within 0.." + std::to_string(whole),
                       std::to_string(length) + " from " + std::to_string(first) + " on");
    }
    sum += length;
  }
  Ranges sorted = ranges;
  std::sort(sorted.begin(), sorted.end());
  for (std::size_t i = 1; i < sorted.size(); ++i) {
    const auto& [first, length] = sorted[i - 1];
    if (first + length > sorted[i].first) {
      throw ShapeError(name, "ranges that are apart", "some that overlap");
    }
  }
  return sum;
}

}  // namespace

void* Scratch::reserve(const LinearMap& like, std::int64_t elements) {
  if (memory_.size() < elements) memory_ = Vector(like.device(), like.dtype(), elements);
  return memory_.data();
}

SumMap::SumMap(const LinearMap& A, double a, const LinearMap& B, double b)
    : A_(A), B_(&B), a_(a), b_(b) {
  if (A.rows() != B.rows() || A.cols() != B.cols()) {
    throw ShapeError("operators", shape_text(A) + ", as the first one", shape_text(B));
  }
  check_alike(A, B);
}

void SumMap::finish(const void* second, void* out, std::int64_t n) const {
  const Algebra algebra(device(), dtype());
  if (B_ != nullptr) return algebra.axpby(b_, second, a_, out, n);
  if (a_ != 1) algebra.axpby(a_, out, 0, out, n);
}

void SumMap::apply(const void* v, void* out, std::int64_t count) const {
  const std::lock_guard device_lock(device());
  const std::lock_guard lock(scratch_.mutex);
  void* const second = B_ == nullptr ? nullptr : scratch_.reserve(*this, count * rows());
  A_.apply(v, out, count);
  if (B_ != nullptr) B_->apply(v, second, count);
  finish(second, out, count * rows());
}

void SumMap::apply_adjoint(const void* u, void* out, std::int64_t count) const {
  const std::lock_guard device_lock(device());
  const std::lock_guard lock(scratch_.mutex);
  void* const second = B_ == nullptr ? nullptr : scratch_.reserve(*this, count * cols());
  A_.apply_adjoint(u, out, count);
  if (B_ != nullptr) B_->apply_adjoint(u, second, count);
  finish(second, out, count * cols());
}

ProductMap::ProductMap(const LinearMap& A, const LinearMap& B) : A_(A), B_(B) {
  if (A.cols() != B.rows()) {
    throw ShapeError("operators", "a second one with " + std::to_string(A.cols()) + " rows",
                     shape_text(B));
  }
  check_alike(A, B);
}

void ProductMap::apply(const void* v, void* out, std::int64_t count) const {
  const std::lock_guard device_lock(device());
  const std::lock_guard lock(scratch_.mutex);
  void* const between = scratch_.reserve(*this, count * B_.rows());
  B_.apply(v, between, count);
  A_.apply(between, out, count);
}

void ProductMap::apply_adjoint(const void* u, void* out, std::int64_t count) const {
  const std::lock_guard device_lock(device());
  const std::lock_guard lock(scratch_.mutex);
  void* const between = scratch_.reserve(*this, count * A_.cols());
  A_.apply_adjoint(u, between, count);
  B_.apply_adjoint(between, out, count);
}

BlockMap::BlockMap(const LinearMap& A, Ranges rows, Ranges cols)
    : A_(A),
      rows_(std::move(rows)),
      cols_(std::move(cols)),
      row_count_(total("rows", rows_, A.rows())),
      col_count_(total("cols", cols_, A.cols())) {}

void BlockMap::run(bool adjoint, const void* v, void* out, std::int64_t count) const {
  const Side by_row{rows_, row_count_, A_.rows()}, by_col{cols_, col_count_, A_.cols()};
  const Side& in = adjoint ? by_row : by_col;
  const Side& to = adjoint ? by_col : by_row;
  const std::lock_guard device_lock(device());
  const std::lock_guard lock(output_.mutex);
  const Algebra algebra(device(), dtype());
  const auto element = static_cast<std::int64_t>(size_of(dtype()));
  const auto at = [&](const void* p, std::int64_t i) {
    return const_cast<std::byte*>(static_cast<const std::byte*>(p) + i * element);
  };
  for (std::int64_t done = 0; done < count;) {
    const std::int64_t n = std::min(kMostVectors, count - done);
    void* const whole_in = input_[adjoint ? 1 : 0].reserve(*this, n * in.whole);
    void* const whole_out = output_.reserve(*this, n * to.whole);
    std::int64_t from = done * in.count;
    for (const auto& [first, length] : in.ranges) {
      algebra.copy_rows(at(v, from), in.count, at(whole_in, first), in.whole, length, n);
      from += length;
    }
    adjoint ? A_.apply_adjoint(whole_in, whole_out, n) : A_.apply(whole_in, whole_out, n);
    from = done * to.count;
    for (const auto& [first, length] : to.ranges) {
      algebra.copy_rows(at(whole_out, first), to.whole, at(out, from), to.count, length, n);
      from += length;
    }
    done += n;
  }
}

void BlockMap::apply(const void* v, void* out, std::int64_t count) const {
  run(false, v, out, count);
}

void BlockMap::apply_adjoint(const void* u, void* out, std::int64_t count) const {
  run(true, u, out, count);
}

SymmetricOperator::SymmetricOperator(const LinearMap& A) : A_(A) {
  if (A.rows() != A.cols()) throw ShapeError("operator", "a square one", shape_text(A));
}

void IdentityOperator::apply(const void* v, void* out, std::int64_t count) const {
  Algebra(device_, dtype_).scale(factor_, v, out, count * size_);
}

}  // namespace hesscore
