// The plugin's entry point and its devices: memory, copies and a stream for each GPU.
#include "backend/plugin.hpp"

#include "check.hpp"
#include "register.hpp"

namespace hesscore::cuda {

namespace {

class CudaDevice final : public Device {
 public:
  explicit CudaDevice(int index) : index_(index) {
    select();
    check(cudaStreamCreate(&stream_));
    register_maps(table_);
    register_plumbing(table_);
  }
  ~CudaDevice() override { cudaStreamDestroy(stream_); }

  std::string name() const override { return "cuda:" + std::to_string(index_); }
  std::string description() const override;
  const KernelTable& kernels(Precision) const override { return table_; }

  void* allocate(std::size_t bytes) override;
  void free(void* p) noexcept override { cudaFree(p); }
  void copy(void* to, const void* from, std::size_t bytes) override {
    select();
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_));
  }
  void from_host(void* to, const void* from, std::size_t bytes) override {
    transfer(to, from, bytes, cudaMemcpyHostToDevice);
  }
  void to_host(void* to, const void* from, std::size_t bytes) override {
    transfer(to, from, bytes, cudaMemcpyDeviceToHost);
  }

  // Ordered with the default stream of the process, and, unlike that one, fit for capture.
  void* stream() const override {
    select();
    return stream_;
  }
  void synchronize() override { check(cudaStreamSynchronize(stream_)); }
  bool is_host() const override { return false; }

 private:
  void select() const { check(cudaSetDevice(index_)); }
  void transfer(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
    select();
    check(cudaMemcpyAsync(to, from, bytes, kind, stream_));
    synchronize();
  }

  int index_;
  cudaStream_t stream_ = nullptr;
  KernelTable table_;
};

std::string CudaDevice::description() const {
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, index_));
  return std::string(properties.name) + ", compute capability " + std::to_string(properties.major) +
         '.' + std::to_string(properties.minor);
}

void* CudaDevice::allocate(std::size_t bytes) {
  select();
  void* p = nullptr;
  const cudaError_t error = cudaMalloc(&p, bytes);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // forget it: the next check is about the next call
    throw OutOfMemoryError("cannot allocate " + std::to_string(bytes) + " bytes on " + name());
  }
  check(error);
  return p;
}

int device_count() {
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
