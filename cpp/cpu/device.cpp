// The CPU as a Device: host memory and the kernels its processor runs best.
#if __has_include(<sys/mman.h>)
#include <sys/mman.h>
#endif

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>

#include "backend/registry.hpp"
#include "cpu/kernels_for.hpp"
#include "cpu/parallel.hpp"

namespace hesscore {
namespace cpu {
namespace {

constexpr std::size_t kAlignment = 64;
constexpr std::size_t kHugePage = std::size_t{1} << 21;
// From here on a partly used huge page at the end hardly matters.
constexpr std::size_t kLarge = 16 * kHugePage;

// Fewer faults when memory is first touched, and fewer misses in tables of pages.
void prefer_huge_pages([[maybe_unused]] void* p, [[maybe_unused]] std::size_t bytes) {
#ifdef MADV_HUGEPAGE
  madvise(p, bytes, MADV_HUGEPAGE);  // where the system has none, as it was
#endif
}

std::string processor() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    const std::size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "CPU";
}

class CpuDevice final : public Device {
 public:
  CpuDevice() : isa_(supported_isas().front()), kernels_(make_kernel_table(isa_)) {}

  std::string name() const override { return "cpu"; }

  std::string description() const override {
    const int threads = cpu::num_threads();
    return processor() + ", " + std::string(isa_) + " kernels, " + std::to_string(threads) +
           (threads == 1 ? " thread" : " threads");
  }

  const KernelTable& kernels(Precision) const override { return kernels_; }

  void* allocate(std::size_t bytes) override {
    const std::size_t alignment = bytes < kLarge ? kAlignment : kHugePage;
    const bool too_large = bytes > std::numeric_limits<std::size_t>::max() - alignment;
    const std::size_t rounded = (bytes / kAlignment + 1) * kAlignment;
    void* p = too_large ? nullptr : std::aligned_alloc(alignment, rounded);
    if (p == nullptr) {
      throw OutOfMemoryError("cannot allocate " + std::to_string(bytes) + " bytes on cpu");
    }
    if (alignment == kHugePage) prefer_huge_pages(p, bytes);
    return p;
  }
  void free(void* p) noexcept override { std::free(p); }

  void copy(void* to, const void* from, std::size_t bytes) override {
    if (bytes > 0) std::memmove(to, from, bytes);
  }
  void from_host(void* to, const void* from, std::size_t bytes) override { copy(to, from, bytes); }
  void to_host(void* to, const void* from, std::size_t bytes) override { copy(to, from, bytes); }

  void* stream() const override { return nullptr; }
  void synchronize() override {}
  bool is_host() const override { return true; }

 private:
  std::string_view isa_;
  KernelTable kernels_;
};

}  // namespace
}  // namespace cpu

std::unique_ptr<Device> make_cpu_device() { return std::make_unique<cpu::CpuDevice>(); }

}  // namespace hesscore
