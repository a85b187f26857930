// HC_HD: a formula compiled for the CPU and, by nvcc, for the GPU too.
#pragma once

#if defined(__CUDACC__)
#define HC_HD __host__ __device__ __forceinline__
#else
#define HC_HD inline __attribute__((always_inline))
#endif
