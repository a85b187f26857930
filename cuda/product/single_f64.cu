// Products of float64 numbers.
#include "product/single.cuh"

namespace hesscore::cuda {

template void run_single<Simt<double>>(const Context&, const Problem<double>&);

}  // namespace hesscore::cuda
