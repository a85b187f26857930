// What both convolution kernels share: their place in the batch, and the choice of their tiles.
#pragma once

#include "conv/problem.hpp"
#include "product/kernel.cuh"

namespace hesscore::cuda {

// A number of the batch taken apart.
struct ConvItem {
  int number, group, phase;

  template <class T>
  __device__ ConvItem(const ConvProblem<T>& p, int item)
      : number(item / (p.phases() * p.groups)),
        group(item / p.phases() % p.groups),
        phase(item % p.phases()) {}
};

template <class Tr, class T>
void launch_tiles(const Context& ctx, void (*kernel)(ConvProblem<T>), std::size_t shared_bytes,
                  const ConvProblem<T>& p) {
  constexpr TileShape tile = Tr::tile;
  const std::int64_t tiles = detail::pieces(p.m, tile.m) * detail::pieces(p.n, tile.n) * p.batch;
  launch(ctx, kernel, dim3(static_cast<unsigned>(tiles), static_cast<unsigned>(p.splits)),
         Tr::kThreads, shared_bytes, p);
}

// run<tile>(p) for the tile, among these, that takes the least time.
template <Form form, TileShape... tiles, class T, class Run>
void run_tiles(const Context& ctx, ConvProblem<T> p, const Rate& rate, const Run& run) {
  const int segments = p.steps > 0 ? p.segments() : 1, parts = form == Form::dual ? 2 : 1;
  const Workload work{p.m, p.n, p.batch, segments, p.length, parts, form == Form::grouped};
  const Machine machine{ctx.multiprocessors, ctx.workspace_bytes - p.reserved, Context::kTickets};
  const Choice choice = choose(machine, work, rate, tiles...);
  p.splits = choice.splits;
  p.chunks_per_split = choice.chunks_per_split;
  p.partials = reinterpret_cast<T*>(static_cast<char*>(ctx.workspace) + p.reserved);
  p.tickets = ctx.tickets;
  ((choice.tile == tiles ? run.template operator()<tiles>(p) : void()), ...);
}

}  // namespace hesscore::cuda
