// Dual products and grouped squares of float32 numbers to float32 accuracy.
#include "product/dual.cuh"

namespace hesscore::cuda {

template void run_dual<Tf32x3>(const Context&, const Problem<float>&);
template void run_grouped<Tf32x3>(const Context&, const Problem<float>&);

}  // namespace hesscore::cuda
