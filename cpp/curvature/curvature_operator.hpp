// A curvature matrix as an operator that can move to another point: what was planned, allocated and
// recorded for batches of one shape is used again, by the next operator too.
#pragma once

#include <map>
#include <mutex>

#include "curvature/resident_product.hpp"
#include "hesscore/curvature.hpp"

namespace hesscore {

class CurvatureOperator final : public LinearOperator {
 public:
  CurvatureOperator(const Objective& f, Product kind, int samples = 1, std::uint64_t seed = 0)
      : CurvatureOperator(f.impl(), kind, samples, seed) {}
  CurvatureOperator(const Objective::Impl& f, Product kind, int samples, std::uint64_t seed);
  ~CurvatureOperator() override;

  // To be called before anything else. With `snapshot`, and always on a device, where recorded work
  // wants its arrays to stay, it copies w and the batch; else they must outlive its use there.
  void move_to(const View& w, const Batch& batch, const Mode& mode, bool snapshot);

  void reseed(std::uint64_t seed) { seed_ = seed; }  // from the next move on
  // Bytes that one linearisation needs.
  std::int64_t memory(const View& w, const Batch& batch, const Mode& mode) const;

  std::int64_t size() const override { return impl_.graph().num_params(); }
  DType dtype() const override { return here_->request.dtype; }
  Device& device() const override { return impl_.device(); }
  void apply(const void* v, void* out, std::int64_t count = 1) const override;
  bool forms(const void* v, double* result, std::int64_t count) const override;
  std::unique_ptr<KrylovCoordinates> krylov_coordinates(const void* b) const override;
  Resident resident_cg(bool preconditioned) const override;

 private:
  template <class Work>
  struct Linearised {
    Work work;
    bool current = false;  // is it so at this point?
  };
  struct Place {  // for batches of one shape
    Request request;
    Bindings point;
    std::vector<Buffer> copies;
    Buffer clock;
    using Plans = std::map<std::int64_t, Linearised<std::unique_ptr<Plan>>>;
    Plans plans, forms;                                        // by the number of vectors
    Linearised<std::shared_ptr<ResidentProduct>> resident[2];  // plain, preconditioned
  };

  Request request(const View& w, const Batch& batch, const Mode& mode, Bindings& point) const;
  View keep(const View& v, Buffer& copy) const;
  Plan& plan(std::int64_t reps) const;
  Plan& plan(Request::What what, std::int64_t reps, typename Place::Plans& plans) const;
  void run(bool forms, const void* v, void* out, std::size_t out_bytes, std::int64_t count) const;

  void leave();

  const Objective::Impl& impl_;
  std::shared_ptr<Pool> pool_;
  Product kind_;
  int samples_;
  std::uint64_t seed_;
  std::map<Request, std::shared_ptr<Place>> places_;
  Place* here_ = nullptr;
  mutable std::mutex mutex_;  // plans are of one thread at a time
};

}  // namespace hesscore
