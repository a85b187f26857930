// Dual products and grouped squares of float64 numbers.
#include "product/dual.cuh"

namespace hesscore::cuda {

template void run_dual<Simt<double>>(const Context&, const Problem<double>&);
template void run_grouped<Simt<double>>(const Context&, const Problem<double>&);

}  // namespace hesscore::cuda
