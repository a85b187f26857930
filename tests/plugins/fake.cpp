// A stand-in for the CUDA plugin, compiled once for each way it can behave (see CMakeLists.txt).
#include <cstdlib>
#include <cstring>

#include "backend/kernels.hpp"
#include "backend/plugin.hpp"

namespace hesscore {

namespace {

template <class T>
void fill(void*, const kernels::Fill::Args& args) {
  for (std::int64_t i = 0; i < args.n; ++i) args.y.as<T>()[i] = static_cast<T>(args.value);
}

class FakeDevice : public Device {
 public:
  explicit FakeDevice(int index) : name_("cuda:" + std::to_string(index)) {
    table_.add<kernels::Fill>(DType::f64, &fill<double>);
  }
  std::string name() const override { return name_; }
  std::string description() const override { return "host memory behind the plugin seam"; }
  const KernelTable& kernels(Precision) const override { return table_; }
  void* allocate(std::size_t bytes) override {
    if (bytes > std::size_t{1} << 40) throw OutOfMemoryError("the fake device is full");
    return std::malloc(bytes);
  }
  void free(void* p) noexcept override { std::free(p); }
  void copy(void* to, const void* from, std::size_t n) override { std::memcpy(to, from, n); }
  void from_host(void* to, const void* from, std::size_t n) override { std::memcpy(to, from, n); }
  void to_host(void* to, const void* from, std::size_t n) override { std::memcpy(to, from, n); }
  void* stream() const override { return nullptr; }
  void synchronize() override {}
  bool is_host() const override { return false; }

 private:
  std::string name_;
  KernelTable table_;
};

int device_count() {
#if defined(FAKE_NO_DRIVER)
  throw DeviceError("there is no CUDA driver");
#elif defined(FAKE_NO_DEVICE)
  return 0;
#else
  return 2;
#endif
}

std::unique_ptr<Device> make_device(int index) { return std::make_unique<FakeDevice>(index); }

}  // namespace

}  // namespace hesscore

#if defined(FAKE_MISSING_LIBRARY)
extern "C" int fake_library();
#define FAKE_ABI hesscore::kPluginAbi + static_cast<unsigned>(fake_library())
#elif defined(FAKE_WRONG_ABI)
#define FAKE_ABI 0xdeadbeef
#else
#define FAKE_ABI hesscore::kPluginAbi
#endif

#if defined(FAKE_NO_ENTRY)
#define FAKE_ENTRY another_name
#else
#define FAKE_ENTRY hesscore_cuda_plugin
#endif

extern "C" HESSCORE_API const hesscore::Plugin* FAKE_ENTRY() {
  static const hesscore::Plugin plugin{FAKE_ABI, &hesscore::device_count, &hesscore::make_device};
  return &plugin;
}
