// The plugin seam, with fake plugins: every reason of absence, and objects and exceptions crossing.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "backend/kernels.hpp"
#include "backend/plugin.hpp"
#include "check.hpp"
#include "hesscore/vector.hpp"

namespace hc = hesscore;

namespace {

std::string fake(const std::string& kind) { return FAKES + kind + ".so"; }

bool contains(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return true;
  std::printf("'%s' is not in: %s\n", part.c_str(), text.c_str());
  return false;
}

// cuda_status() of a new process in which the environment variable is set.
std::string status_with(const char* variable, const std::string& value) {
  int ends[2];
  if (pipe(ends) != 0) return "no pipe";
  const pid_t child = fork();
  if (child == 0) {
    setenv(variable, value.c_str(), 1);
    const std::string status = hc::cuda_status();
    _exit(write(ends[1], status.data(), status.size()) < 0 ? 1 : 0);
  }
  close(ends[1]);
  std::string text(4096, '\0');
  const ssize_t n = read(ends[0], text.data(), text.size());
  close(ends[0]);
  waitpid(child, nullptr, 0);
  text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  return text;
}

void check_absent(const std::string& file, const std::string& reason) {
  const hc::LoadedPlugin loaded = hc::load_plugin({file});
  CHECK(loaded.plugin == nullptr && loaded.devices == 0);
  CHECK(contains(loaded.status, reason));
}

}  // namespace

TEST("a file that is not there") {
  check_absent("/nowhere/libhesscore_cuda.so", "there is no /nowhere/libhesscore_cuda.so");
  CHECK(contains(hc::load_plugin({"/a/x.so", "/b/x.so"}).status, "/a/x.so or /b/x.so"));
}

TEST("no entry point") { check_absent(fake("no_entry"), "has no entry point"); }

TEST("a file that is no library") {
  check_absent(fake("good") + "/../CMakeCache.txt", "there is no");
  check_absent("/etc/passwd", "could not be loaded");
}

TEST("another ABI: both numbers are told") {
  char ours[9];
  std::snprintf(ours, sizeof ours, "%08x", hc::kPluginAbi);
  check_absent(fake("wrong_abi"), "deadbeef");
  check_absent(fake("wrong_abi"), ours);
}

TEST("a library that the plugin needs is missing") {
  check_absent(fake("missing_library"), "libfake_library.so: cannot open shared object file");
  check_absent(fake("missing_library"), "pip install hesscore[cuda]");
}

TEST("no driver, no device") {
  check_absent(fake("no_driver"), "there is no CUDA driver");
  check_absent(fake("no_device"), "no CUDA device");
}

TEST("the first file that exists counts") {
  CHECK(hc::load_plugin({"/nowhere.so", fake("good"), fake("no_entry")}).status == "available");
  CHECK(hc::load_plugin({fake("no_entry"), fake("good")}).plugin == nullptr);
}

TEST("the environment chooses the file, or switches CUDA off") {
  CHECK(contains(status_with("HESSCORE_NO_CUDA", "1"), "switched off by HESSCORE_NO_CUDA"));
  CHECK(contains(status_with("HESSCORE_CUDA_PLUGIN", "/nowhere.so"), "there is no /nowhere.so"));
  CHECK(status_with("HESSCORE_CUDA_PLUGIN", fake("good")) == "available");
}

TEST("devices of a plugin work, and its exceptions are caught by type") {
  setenv("HESSCORE_CUDA_PLUGIN", fake("good").c_str(), 1);
  CHECK(hc::devices() == std::vector<std::string>{"cpu", "cuda:0", "cuda:1"});
  hc::Device& device = hc::device("cuda");
  CHECK(device.name() == "cuda:0" && &device == &hc::device("cuda:0"));
  CHECK(hc::device("cuda:1").name() == "cuda:1");

  hc::Vector v(device, hc::DType::f64, 3);
  CHECK(v.to_host() == std::vector<double>{0, 0, 0});
  v.from_host({1, 2, 3});
  CHECK(v.to_host() == std::vector<double>{1, 2, 3});

  CHECK_THROWS(hc::OutOfMemoryError, hc::Vector(device, hc::DType::f64, std::int64_t{1} << 40));
  CHECK_THROWS(hc::UnsupportedError, device.kernels().get<hc::kernels::Fill>(hc::DType::f32));
  CHECK_THROWS(hc::DeviceError, hc::device("cuda:2"));
}

TEST("names of devices") {
  for (const char* name : {"", "gpu", "cuda:", "cuda:-1", "cuda:x", "cuda:1x", "cuda1", "CPU"}) {
    CHECK_THROWS(hc::DeviceError, hc::device(name));
  }
}
