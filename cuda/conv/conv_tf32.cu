// Convolutions of float32 numbers that are rounded to TF32.
#include "conv/instances.cuh"

namespace hesscore::cuda {

template void run_images<Tf32>(const Context&, const ConvProblem<float>&, bool);
template void run_weights<Tf32>(const Context&, const ConvProblem<float>&, bool);
template void run_squares<Tf32>(const Context&, const ConvProblem<float>&);

}  // namespace hesscore::cuda
