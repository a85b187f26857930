// Operators made of other operators.
#include "backend/algebra.hpp"
#include "hesscore/solve.hpp"

namespace hesscore {

KrylovCoordinates::~KrylovCoordinates() = default;
ResidentCg::~ResidentCg() = default;
LinearMap::~LinearMap() = default;
LinearOperator::~LinearOperator() = default;

bool LinearOperator::forms(const void*, double*, std::int64_t) const { return false; }

std::unique_ptr<KrylovCoordinates> LinearOperator::krylov_coordinates(const void*) const {
  return nullptr;
}

LinearOperator::Resident LinearOperator::resident_cg(bool) const { return {}; }

namespace {

// a A + b I in the coordinates of A.
class ShiftedCoordinates final : public KrylovCoordinates {
 public:
  ShiftedCoordinates(std::unique_ptr<KrylovCoordinates> inner, const LinearOperator& a,
                     double shift, double scale)
      : inner_(std::move(inner)), algebra_(a.device(), a.dtype()), shift_(shift), scale_(scale) {}
  std::int64_t size() const override { return inner_->size(); }
  void rebase(const void* b) override { inner_->rebase(b); }
  void start(void* c) const override { inner_->start(c); }
  void apply(const void* c, void* out) const override {
    inner_->apply(c, out);
    algebra_.axpby(shift_, c, scale_, out, size());
  }
  double dot(const void* c, const void* d) const override { return inner_->dot(c, d); }
  void to_vector(const void* c, void* v) const override { inner_->to_vector(c, v); }

 private:
  std::unique_ptr<KrylovCoordinates> inner_;
  Algebra algebra_;
  double shift_, scale_;
};

}  // namespace

ShiftedOperator::ShiftedOperator(const LinearOperator& a, double shift, double scale)
    : a_(a), shift_(shift), scale_(scale) {}

void ShiftedOperator::apply(const void* v, void* out, std::int64_t count) const {
  a_.apply(v, out, count);
  Algebra(device(), dtype()).axpby(shift_, v, scale_, out, count * size());
}

std::unique_ptr<KrylovCoordinates> ShiftedOperator::krylov_coordinates(const void* b) const {
  auto inner = a_.krylov_coordinates(b);
  if (!inner) return nullptr;
  return std::make_unique<ShiftedCoordinates>(std::move(inner), a_, shift_, scale_);
}

LinearOperator::Resident ShiftedOperator::resident_cg(bool preconditioned) const {
  Resident inner = a_.resident_cg(preconditioned);
  inner.scale *= scale_;
  inner.shift = scale_ * inner.shift + shift_;
  return inner;
}

void DiagonalOperator::apply(const void* v, void* out, std::int64_t count) const {
  Algebra(device(), dtype()).multiply(d_.data(), v, out, size(), count);
}

}  // namespace hesscore
