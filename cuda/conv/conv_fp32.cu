// Convolutions of float32 numbers to float32 accuracy.
#include "conv/instances.cuh"

namespace hesscore::cuda {

template void run_images<Tf32x3>(const Context&, const ConvProblem<float>&, bool);
template void run_weights<Tf32x3>(const Context&, const ConvProblem<float>&, bool);
template void run_squares<Tf32x3>(const Context&, const ConvProblem<float>&);

}  // namespace hesscore::cuda
