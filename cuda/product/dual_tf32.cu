// Dual products and grouped squares of float32 numbers rounded to TF32.
#include "product/dual.cuh"

namespace hesscore::cuda {

template void run_dual<Tf32>(const Context&, const Problem<float>&);
template void run_grouped<Tf32>(const Context&, const Problem<float>&);

}  // namespace hesscore::cuda
