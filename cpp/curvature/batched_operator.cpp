// Products over many batches: a weighted sum of each batch's own.
#include "curvature/batched_operator.hpp"

#include "backend/algebra.hpp"

namespace hesscore {
namespace {

class ListOfBatches final : public BatchSource {
 public:
  explicit ListOfBatches(std::vector<Batch> batches) : batches_(std::move(batches)) {}
  void rewind() override { next_ = 0; }
  bool next(Batch& batch) override {
    if (next_ == batches_.size()) return false;
    batch = batches_[next_++];
    return true;
  }
  bool stays() const override { return true; }

 private:
  std::vector<Batch> batches_;
  std::size_t next_ = 0;
};

}  // namespace

BatchSource::~BatchSource() = default;

BatchedOperator::BatchedOperator(const Objective& f, Product kind, const View& w,
                                 std::shared_ptr<BatchSource> batches, const Mode& mode,
                                 const BatchesOptions& options)
    : impl_(f.impl()),
      kind_(kind),
      w_(f.device(), w.dtype, f.num_params()),
      batches_(std::move(batches)),
      mode_(mode),
      options_(options),
      moving_(f, kind, options.samples, options.seed) {
  if (options.max_memory < 0) {
    throw OptionError("max_memory", ">= 0", std::to_string(options.max_memory));
  }
  Batch batch;
  batches_->rewind();
  bool any = false;
  while ((!any || batches_->stays()) && batches_->next(batch)) {
    weight_of(w, batch);  // checks all of it
    any = true;
  }
  if (!any) throw ShapeError("x", "at least one batch", "none");
  f.device().copy(w_.data(), w.data, static_cast<std::size_t>(w_.size()) * size_of(w.dtype));
}

double BatchedOperator::weight_of(const View& w, const Batch& batch) const {
  Bindings point;
  Request r = impl_.check_point(w, batch.x, mode_, point);
  impl_.check_target(batch, r, point);
  return impl_.mean_weight(batch, r);
}

const CurvatureOperator* BatchedOperator::move(CurvatureOperator& a, std::size_t k,
                                               const Batch& batch) const {
  Mode mode = mode_;
  mode.seed = batch_seed(mode_.seed, k);
  a.reseed(batch_seed(options_.seed, k));
  a.move_to(w_, batch, mode, /*snapshot=*/false);
  return &a;
}

std::pair<const CurvatureOperator*, double> BatchedOperator::at(std::size_t k, const Batch& batch,
                                                                bool keep) const {
  if (k < kept_.size()) return {kept_[k].a.get(), kept_[k].weight};
  const double weight = weight_of(w_, batch);
  full_ = full_ || !batches_->stays();
  if (!keep || full_) return {move(moving_, k, batch), weight};
  const std::int64_t bytes = moving_.memory(w_, batch, mode_);
  full_ = used_ + bytes > options_.max_memory;
  if (full_) return {move(moving_, k, batch), weight};
  auto a = std::make_unique<CurvatureOperator>(impl_, kind_, options_.samples, options_.seed);
  move(*a, k, batch);
  used_ += bytes;
  kept_.push_back({std::move(a), weight});
  return {kept_.back().a.get(), weight};
}

void BatchedOperator::apply(const void* v, void* out, std::int64_t count) const {
  sum(dtype(), out, count * size(), count == 1,
      [&](const CurvatureOperator& a, void* to) { a.apply(v, to, count); });
}

bool BatchedOperator::forms(const void* v, double* result, std::int64_t count) const {
  sum(DType::f64, result, count, false,
      [&](const CurvatureOperator& a, void* to) { a.forms(v, static_cast<double*>(to), count); });
  return true;
}

// out = sum_k (d_k / d_0) A_k v, times d_0 / sum_k d_k, n numbers of each
void BatchedOperator::sum(DType type, void* out, std::int64_t n, bool keep,
                          const PartOf& part) const {
  const std::lock_guard device_lock(device());  // the first one: callers may have it
  const std::lock_guard lock(mutex_);
  const Algebra algebra(device(), type);
  double first = 0, total = 0;
  std::int64_t done = 0;
  batches_->rewind();
  for (Batch batch; batches_->next(batch); ++done) {
    const auto [a, weight] = at(static_cast<std::size_t>(done), batch, keep);
    if (done == 0) {
      first = weight;
      part(*a, out);
    } else {
      if (part_.size() < n || part_.dtype() != type) part_ = Vector(device(), type, n);
      part(*a, part_.data());
      algebra.axpby(weight / first, part_.data(), 1, out, n);
    }
    total += weight;
    if (options_.watch) options_.watch(done + 1);
  }
  if (done == 0) throw ShapeError("x", "at least one batch", "none");
  const bool mean = impl_.loss().spec.mean;
  if (mean && done > 1) algebra.axpby(first / total, out, 0, out, n);
}

std::unique_ptr<LinearOperator> curvature(const Objective& f, Product kind, View w,
                                          std::shared_ptr<BatchSource> batches, const Mode& mode,
                                          const BatchesOptions& options) {
  return std::make_unique<BatchedOperator>(f, kind, w, std::move(batches), mode, options);
}

std::unique_ptr<LinearOperator> curvature(const Objective& f, Product kind, View w,
                                          std::vector<Batch> batches, const Mode& mode,
                                          const BatchesOptions& options) {
  return curvature(f, kind, std::move(w), std::make_shared<ListOfBatches>(std::move(batches)), mode,
                   options);
}

}  // namespace hesscore
