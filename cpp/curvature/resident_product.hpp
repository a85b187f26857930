// Conjugate gradients on a curvature matrix as recorded work (objective/cg_plan.hpp).
#pragma once

#include "hesscore/linear_operator.hpp"
#include "objective/impl.hpp"

namespace hesscore {

class ResidentProduct final : public ResidentCg {
 public:
  ResidentProduct(const Objective::Impl& f, const Request& request, bool preconditioned);

  // Takes the matrix at the point whose arrays these are. A loop recorded for the same addresses
  // stays valid.
  void linearise(const Bindings& point);
  Plan& plan() { return *plan_; }  // its phase 1 is the product

  void start() override;
  void run() override;

 private:
  void iterate();

  Device& device_;
  std::unique_ptr<Plan> plan_;
  Bindings point_;
  std::unique_ptr<Recording> loop_;
  bool warm_ = false;
  int refusals_ = 0;
};

}  // namespace hesscore
