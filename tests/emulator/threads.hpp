// The threads of a block: fibers that wait for one another at barriers and in exchanges of a warp.
#pragma once

#include <cstddef>

#include "cuda_runtime_api.h"

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
inline constexpr int warpSize = 32;

namespace emulator {

inline constexpr int kWarp = 32;

struct Place {  // in the sources
  const char* file;
  int line;
};

int lane();
void* shared_memory();
void poison(void* p, std::size_t bytes);  // all bits set: NaN in every precision, -1 as an integer

// All threads of the block arrive at the same place before any goes on.
void block_barrier(Place place);
int block_count(Place place, bool counted);  // how many brought `counted`

// The lanes in `mask` arrive with the same `combine`; the last one calls it for all of them, with
// what each of them brought.
using Combine = void (*)(void* const* lanes, unsigned mask);
void warp_exchange(unsigned mask, void* mine, Combine combine, Place place);

// cp.async: the bytes move when they are waited for, and hold NaN until then.
void copy_begin(void* shared, const void* global, int bytes, bool inside);
void copy_close();
void copy_finish(int pending);

}  // namespace emulator
