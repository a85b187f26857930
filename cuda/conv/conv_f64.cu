// Convolutions of float64 numbers.
#include "conv/instances.cuh"

namespace hesscore::cuda {

template void run_images<Simt<double>>(const Context&, const ConvProblem<double>&, bool);
template void run_weights<Simt<double>>(const Context&, const ConvProblem<double>&, bool);
template void run_squares<Simt<double>>(const Context&, const ConvProblem<double>&);

}  // namespace hesscore::cuda
