// Sample space: coordinates in which Gauss-Newton products of small batches are cheap.
//
// Let S stack the layers' own contributions to their outputs, S v = {P(v_l, x_l)}: linear in v,
// with the activations fixed. The GGN is J' H_L J with J v = T S v, T the tangent pass through the
// network at fixed parameters, so every product lies in the range of S': A v = S' c with c = T' H_L
// T S v the adjoints at the layers' outputs, N x (sum of the widths) numbers. The Krylov space of b
// is then
//
//   v = S' c + alpha b,    u = S v,    tau = <b, v>,
//
// and (c, alpha | u, tau) are coordinates that are linear in v, with
//
//   A v = S' c',  u' = K c',  tau' = <S b, c'>   where K = S S' (for Linear: X X' + 1),
//   <v, v'> = <c, u'> + alpha tau'.
//
// Conjugate gradients take the same steps in them as on the vectors themselves, in exact
// arithmetic. A layer costs N^2 out multiply-adds in place of 2 N in out: a gain where the batch is
// narrower than twice the layers' inputs.
#pragma once

#include "objective/compose.hpp"

namespace hesscore {

// Phases of the plan: what each reads at kPortV and writes at kPortOut.
enum SamplePhase : std::size_t {
  kLinearise,    // nothing, nothing
  kContribute,   // b; S b in the second half of a coordinate array
  kApply,        // coordinates of v; c' and u' of A v
  kMaterialise,  // coordinates; S' c
};

// Length of c where coordinates pay for this request, else 0.
std::int64_t sample_space_size(const Request& request, const Graph& graph);

void compose_sample_space(const Request& request, const Graph& graph, const LossModel& loss,
                          Emit& e);

}  // namespace hesscore
