// Products of float32 numbers to float32 accuracy.
#include "product/single.cuh"

namespace hesscore::cuda {

template void run_single<Tf32x3>(const Context&, const Problem<float>&);

}  // namespace hesscore::cuda
