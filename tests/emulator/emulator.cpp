// Launches: checks them, records them, and runs them when their turn comes.
#include "emulator.hpp"

#include <sys/mman.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "block.hpp"
#include "launches.hpp"
#include "memory.hpp"
#include "module.hpp"
#include "report.hpp"
#include "sanitizers.hpp"
#include "stream.hpp"

namespace emulator {

namespace {

const std::string* running = nullptr;

bool possible(dim3 grid, dim3 block, std::size_t shared_bytes) {
  constexpr unsigned kMostBlocks = 0x7fffffff, kMostRows = 65535;
  return grid.x > 0 && grid.y > 0 && grid.z > 0 && grid.x <= kMostBlocks && grid.y <= kMostRows &&
         grid.z <= kMostRows && block.x > 0 && block.y > 0 && block.z > 0 && block.z <= 64 &&
         std::size_t{block.x} * block.y * block.z <= 1024 && shared_bytes <= kMaxSharedBytes;
}

// An address of the host's own memory, and no number that looks like one? AddressSanitizer maps
// all low addresses for itself.
bool pageable(std::uintptr_t word) {
  constexpr std::uintptr_t kLowest = kSanitized ? 0x1000'7fff'8000 : std::uintptr_t{1} << 32;
  constexpr std::uintptr_t kHighest = std::uintptr_t{1} << 47;
  constexpr std::uintptr_t kPage = 4096;
  void* const p = reinterpret_cast<void*>(word);
  if (word < kLowest || word >= kHighest) return false;
  if (device_memory().contains(p) || pinned_memory().contains(p)) return false;
  return msync(reinterpret_cast<void*>(word / kPage * kPage), kPage, MS_ASYNC) == 0;
}

struct Launched {
  std::string name;
  dim3 grid, block;
  std::size_t shared_bytes;
};

std::vector<Launched>& launched() {
  static auto* const all = new std::vector<Launched>;
  return *all;
}

}  // namespace

void set_running(const std::string* kernel) { running = kernel; }

void die(const char* format, ...) {
  std::fprintf(stderr, "emulator: %s", running ? running->c_str() : "");
  std::fprintf(stderr, running ? ", block (%u, %u, %u): " : "", blockIdx.x, blockIdx.y, blockIdx.z);
  va_list arguments;
  va_start(arguments, format);
  std::vfprintf(stderr, format, arguments);
  va_end(arguments);
  std::fputc('\n', stderr);
  std::abort();
}

void record_launch(const std::string& name, dim3 grid, dim3 block, std::size_t shared_bytes) {
  launched().push_back({name, grid, block, shared_bytes});
}

void check_argument(const void* kernel, const void* argument, std::size_t bytes) {
  const Lock lock(mutex());
  for (std::size_t at = 0; at + sizeof(std::uintptr_t) <= bytes; at += sizeof(std::uintptr_t)) {
    std::uintptr_t word;
    std::memcpy(&word, static_cast<const char*>(argument) + at, sizeof word);
    if (!pageable(word)) continue;
    set_running(&Module::of(kernel).name(kernel));
    die("an argument holds the address %p of memory of the host", reinterpret_cast<void*>(word));
  }
}

cudaError_t launch(cudaStream_t stream, const void* address, dim3 grid, dim3 block,
                   std::size_t shared_bytes, std::function<void()> thread) {
  const Lock lock(mutex());
  if (!possible(grid, block, shared_bytes)) return noted(cudaErrorInvalidConfiguration);
  Kernel kernel{address, grid, block, shared_bytes, std::move(thread)};
  return noted(issue(stream, [kernel = std::move(kernel)] {
    Module& module = Module::of(kernel.address);
    const std::string& name = module.name(kernel.address);
    record_launch(name, kernel.grid, kernel.block, kernel.shared_bytes);
    set_running(&name);
    module.poison_shared();
    run_kernel(kernel);
    device_memory().check_guards();
    pinned_memory().check_guards();
    set_running(nullptr);
  }));
}

void vote(void* const* lanes, unsigned mask) {
  unsigned ballot = 0;
  for (int i = 0; i < kWarp; ++i) {
    if (mask >> i & 1 && static_cast<Vote*>(lanes[i])->value) ballot |= 1u << i;
  }
  for (int i = 0; i < kWarp; ++i) {
    if (mask >> i & 1) static_cast<Vote*>(lanes[i])->ballot = ballot;
  }
}

// The operands lose their last 13 bits, as in the tensor cores.
void multiply_fragments(void* const* lanes, unsigned mask) {
  if (mask != 0xffffffffu) die("a matrix product by fewer than 32 lanes");
  const auto number = [](std::uint32_t bits) { return std::bit_cast<float>(bits & ~0x1fffu); };
  float a[16][8], b[8][8];
  for (int i = 0; i < kWarp; ++i) {
    const auto& mine = *static_cast<Fragments*>(lanes[i]);
    const int g = i / 4, t = i % 4;
    a[g][t] = number(mine.a[0]);
    a[g + 8][t] = number(mine.a[1]);
    a[g][t + 4] = number(mine.a[2]);
    a[g + 8][t + 4] = number(mine.a[3]);
    b[t][g] = number(mine.b[0]);
    b[t + 4][g] = number(mine.b[1]);
  }
  for (int i = 0; i < kWarp; ++i) {
    const auto& mine = *static_cast<Fragments*>(lanes[i]);
    for (int e = 0; e < 4; ++e) {
      const int row = i / 4 + e / 2 * 8, column = i % 4 * 2 + e % 2;
      float sum = 0;
      for (int k = 0; k < 8; ++k) sum += a[row][k] * b[k][column];
      mine.d[e] += sum;
    }
  }
}

}  // namespace emulator

#define HC_EXPORT extern "C" __attribute__((visibility("default")))

HC_EXPORT long hesscore_emulator_launches() {
  const emulator::Lock lock(emulator::mutex());
  emulator::run_everything();
  return static_cast<long>(emulator::launched().size());
}

HC_EXPORT void hesscore_emulator_reset() {
  hesscore_emulator_launches();
  emulator::launched().clear();
}

HC_EXPORT const char* hesscore_emulator_name(long i) {
  return emulator::launched().at(static_cast<std::size_t>(i)).name.c_str();
}

HC_EXPORT void hesscore_emulator_shape(long i, unsigned (&shape)[7]) {
  const auto& one = emulator::launched().at(static_cast<std::size_t>(i));
  const unsigned values[] = {one.grid.x,
                             one.grid.y,
                             one.grid.z,
                             one.block.x,
                             one.block.y,
                             one.block.z,
                             static_cast<unsigned>(one.shared_bytes)};
  for (int k = 0; k < 7; ++k) shape[k] = values[k];
}
