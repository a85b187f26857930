// Losses (math/losses.hpp). z (N, C, D); see LossSpec for the meaning of the other arrays.
// The reduced loss is  sum_{n,d} scale * s_n * l(z_nd, y_nd), s the sample weights (1 if absent).
#pragma once

#include "backend/keys/operands.hpp"
#include "math/loss_spec.hpp"

namespace hesscore::kernels {

struct LossScale {  // out[0] = scale: 1 for sum; for mean one over the summed weights
  static constexpr std::string_view name = "loss_scale";
  struct Args {
    In y, sample_weight, class_weight;
    Out out;
    math::LossSpec spec;
    HC_OPERANDS(y, sample_weight, class_weight, out)
  };
};

// loss[0] = value; g = gradient; h = Hessian diagonal; b = BL89's diagonal; f = the gradient of
// each sample over sqrt(c_n), c_n its weight in the mean, so that sum_n f f' is the empirical
// Fisher. Absent outputs are skipped. g, h, b, f have z's shape.
struct LossSeed {
  static constexpr std::string_view name = "loss_seed";
  struct Args {
    In z, y, sample_weight, class_weight, scale;
    Out loss, g, h, b, f;
    math::LossSpec spec;
    HC_OPERANDS(z, y, sample_weight, class_weight, scale, loss, g, h, b, f)
  };
};

struct LossHessian {  // for r < reps: dg[r] = H_L dz[r], H_L the Hessian of the reduced loss in z
  static constexpr std::string_view name = "loss_hessian";
  struct Args {
    In z, y, sample_weight, class_weight, scale, dz;
    Out dg;
    std::int64_t reps = 1;
    math::LossSpec spec;
    HC_OPERANDS(z, y, sample_weight, class_weight, scale, dz, dg)
  };
};

// Columns first .. first+count-1 of the math::column_count(spec) columns of S with
// H_L = S diag(sign) S': out (count, N, C, D). Column c * D + d is non-zero at position d only; its
// sign is math::column_sign(spec, column).
struct LossColumns {
  static constexpr std::string_view name = "loss_columns";
  struct Args {
    In z, y, sample_weight, class_weight, scale;
    Out out;
    std::int64_t first = 0, count = 1;
    math::LossSpec spec;
    HC_OPERANDS(z, y, sample_weight, class_weight, scale, out)
  };
};

// out (samples, N, C, D): u_s / sqrt(samples), E[u u'] = H_L for likelihood losses, from labels
// drawn from the model's own distribution with counter (seed, sample, n, d).
struct LossSample {
  static constexpr std::string_view name = "loss_sample";
  struct Args {
    In z, y, sample_weight, class_weight, scale, clock;  // clock: uint64 {seed}
    Out out;
    std::int64_t samples = 1;
    math::LossSpec spec;
    HC_OPERANDS(z, y, sample_weight, class_weight, scale, clock, out)
  };
};

// For r < reps: out[r, n, :] (+)= sum_s u[s, n, :] <u[s, n, :], dz[r, n, :]>, rows of length m:
// the Fisher products.
struct RowProject {
  static constexpr std::string_view name = "row_project";
  struct Args {
    In u, dz;
    Out out;
    std::int64_t samples, rows, m, reps = 1;
    HC_OPERANDS(u, dz, out)
  };
};

}  // namespace hesscore::kernels
