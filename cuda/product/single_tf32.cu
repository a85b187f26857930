// Products of float32 numbers rounded to TF32.
#include "product/single.cuh"

namespace hesscore::cuda {

template void run_single<Tf32>(const Context&, const Problem<float>&);

}  // namespace hesscore::cuda
