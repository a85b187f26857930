// The devices of this process: the CPU, and those of the CUDA plugin once somebody asks for one.
#include "backend/registry.hpp"

#include <charconv>
#include <mutex>

#include "backend/plugin.hpp"

namespace hesscore {

Device::~Device() = default;
Recording::~Recording() = default;

// What a device does that runs work as it is called.
void* Device::use_stream(void*) { return nullptr; }
void Device::lock() {}
void Device::unlock() {}
std::unique_ptr<Recording> Device::record(const std::function<void()>&) { return nullptr; }
std::unique_ptr<Recording> Device::record_loop(const std::function<void()>&, const void*,
                                               std::int64_t) {
  return nullptr;
}
bool Device::recording() const { return false; }
void Device::clear_alarm() {}
bool Device::alarm() { return false; }
void* Device::allocate_host(std::size_t bytes) { return ::operator new(bytes); }
void Device::free_host(void* p) noexcept { ::operator delete(p); }
void Device::upload(void* to, const void* from, std::size_t bytes) { from_host(to, from, bytes); }
void Device::wait_uploads() {}
void Device::set_allocator(std::function<void*(std::size_t)>, std::function<void(void*)>) {
  throw UnsupportedError(name() + " allocates its memory itself");
}

StreamScope::StreamScope(Device& device, void* stream) : device_(device) {
  device_.lock();
  try {
    before_ = device_.use_stream(stream);
  } catch (...) {
    device_.unlock();
    throw;
  }
}

StreamScope::~StreamScope() {
  try {
    device_.use_stream(before_);
  } catch (const DeviceError&) {
    // the device is lost; whoever uses it next is told why
  }
  device_.unlock();
}

namespace {

// Never destroyed: vectors that outlive main() still have a device to be freed on.
struct Registry {
  std::mutex mutex;
  std::unique_ptr<Device> cpu;
  std::vector<std::unique_ptr<Device>> cuda;

  static Registry& get() {
    static Registry* const registry = new Registry;
    return *registry;
  }
};

[[noreturn]] void reject(std::string_view name, const std::string& expected) {
  throw DeviceError("device", expected, '\'' + std::string(name) + '\'');
}

// The N of "cuda:N", 0 for "cuda", or -1.
int cuda_index(std::string_view name) {
  constexpr std::string_view kPrefix = "cuda";
  if (!name.starts_with(kPrefix)) return -1;
  name.remove_prefix(kPrefix.size());
  if (name.empty()) return 0;
  if (name[0] != ':' || name.size() == 1 || name[1] == '-') return -1;
  int index = -1;
  const char* const end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + 1, end, index);
  return error == std::errc() && stop == end ? index : -1;
}

Device& cuda_device(std::string_view name, int index) {
  const LoadedPlugin& loaded = cuda_plugin();
  if (loaded.plugin == nullptr) throw DeviceError(loaded.status);
  if (index >= loaded.devices) {
    reject(name, "one of " + std::to_string(loaded.devices) + " CUDA devices");
  }
  Registry& registry = Registry::get();
  const std::lock_guard lock(registry.mutex);
  registry.cuda.resize(static_cast<std::size_t>(loaded.devices));
  std::unique_ptr<Device>& device = registry.cuda[static_cast<std::size_t>(index)];
  if (!device) device = loaded.plugin->make_device(index);
  return *device;
}

Device& cpu_device() {
  Registry& registry = Registry::get();
  const std::lock_guard lock(registry.mutex);
  if (!registry.cpu) registry.cpu = make_cpu_device();
  return *registry.cpu;
}

}  // namespace

Device& device(std::string_view name) {
  if (name == "cpu") return cpu_device();
  const int index = cuda_index(name);
  if (index < 0) reject(name, "'cpu', 'cuda' or 'cuda:N'");
  return cuda_device(name, index);
}

std::vector<std::string> devices() {
  std::vector<std::string> names{"cpu"};
  for (int i = 0; i < cuda_plugin().devices; ++i) names.push_back("cuda:" + std::to_string(i));
  return names;
}

std::string cuda_status() { return cuda_plugin().status; }

void set_num_threads(int n) {
  if (n < 1) throw OptionError("n", "at least one thread", std::to_string(n));
  cpu::set_num_threads(n);
}

int num_threads() { return cpu::num_threads(); }

}  // namespace hesscore
