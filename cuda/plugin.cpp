// The plugin's entry point.
#include "backend/plugin.hpp"

#include "device.hpp"

namespace hesscore::cuda {

namespace {

int device_count() {
  check_process();
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess || error == cudaErrorNoDevice) return count;
  if (error == cudaErrorInsufficientDriver) {
    throw DeviceError("the CUDA driver is missing or too old (" + describe(error) + ")");
  }
  throw DeviceError("CUDA could not be started (" + describe(error) + ")");
}

std::unique_ptr<Device> make_device(int index) { return std::make_unique<CudaDevice>(index); }

}  // namespace

}  // namespace hesscore::cuda

extern "C" HESSCORE_API const hesscore::Plugin* hesscore_cuda_plugin() {
  static const hesscore::Plugin plugin{hesscore::kPluginAbi, &hesscore::cuda::device_count,
                                       &hesscore::cuda::make_device};
  return &plugin;
}
