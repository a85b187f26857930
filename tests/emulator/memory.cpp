// Regions of memory with guards, poison, and a door.
#include "memory.hpp"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

#include "report.hpp"
#include "sanitizers.hpp"
#include "threads.hpp"

namespace emulator {

namespace {

constexpr std::size_t kAlignment = 256, kGuard = 256, kPage = 4096;
constexpr unsigned char kMark = 0xa5;

std::size_t rounded(std::size_t bytes, std::size_t to) { return (bytes + to - 1) / to * to; }
std::size_t footprint(std::size_t bytes) { return rounded(bytes, kAlignment) + kGuard; }

bool marked(const char* from, const char* to) {
  return std::all_of(from, to, [](char c) { return static_cast<unsigned char>(c) == kMark; });
}

// Says why, then leaves the rest to whoever handles it otherwise.
struct sigaction handler_before;
void explain(int signal, siginfo_t* info, void*) {
  static constexpr char kText[] = "emulator: the host touched memory of the device\n";
  if (device_memory().contains(info->si_addr)) {
    static_cast<void>(!write(STDERR_FILENO, kText, sizeof kText - 1));
  }
  sigaction(signal, &handler_before, nullptr);  // and the access is tried again
}

Region* make_device_memory() {
  const bool hidden = std::getenv("HESSCORE_EMULATOR_OPEN") == nullptr;
  auto* const region = new Region("device memory", std::size_t{2} << 30, hidden);
  struct sigaction action{};
  action.sa_sigaction = explain;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(SIGSEGV, &action, &handler_before);
  return region;
}

}  // namespace

void poison(void* p, std::size_t bytes) { std::memset(p, 0xff, bytes); }

void poison_ends(void* p, std::size_t bytes) {
  constexpr std::size_t kFront = 512 * 1024, kBack = 64 * 1024;
  if (bytes <= kFront + kBack) return poison(p, bytes);
  poison(p, kFront);
  poison(static_cast<char*>(p) + bytes - kBack, kBack);
}

Region::Region(const char* what, std::size_t capacity, bool hidden)
    : what_(what), capacity_(capacity), hidden_(hidden) {
  const int protection = hidden ? PROT_NONE : PROT_READ | PROT_WRITE;
  void* const p =
      mmap(nullptr, capacity, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) throw std::bad_alloc();
  base_ = top_ = static_cast<char*>(p);
}

void Region::protect(int protection) const {
  if (top_ > base_) mprotect(base_, static_cast<std::size_t>(top_ - base_), protection);
}

void Region::open() {
  if (opened_++ == 0 && hidden_) protect(PROT_READ | PROT_WRITE);
}

void Region::close() {
  if (--opened_ == 0 && hidden_) protect(PROT_NONE);
}

// The first gap that is large enough. A guard lies before the first block, and behind every one.
void* Region::allocate(std::size_t bytes) {
  if (bytes > available()) return nullptr;
  char* at = base_ + kGuard;
  for (const auto& [p, size] : blocks_) {
    if (at + footprint(bytes) <= p) break;
    at = p + footprint(size);
  }
  char* const end = at + footprint(bytes);
  if (end > base_ + capacity_) return nullptr;
  open();
  if (end > top_) {
    top_ = base_ + rounded(static_cast<std::size_t>(end - base_), kPage);
    if (hidden_) protect(PROT_READ | PROT_WRITE);
  }
  allow(at - kGuard, static_cast<std::size_t>(end - at) + kGuard);
  std::memset(at - kGuard, kMark, kGuard);
  poison_ends(at, bytes);
  std::memset(at + bytes, kMark, static_cast<std::size_t>(end - at) - bytes);
  forbid(at - kGuard, kGuard);
  forbid(at + bytes, static_cast<std::size_t>(end - at) - bytes);
  close();
  blocks_.emplace(at, bytes);
  used_ += bytes;
  return at;
}

bool Region::release(void* p) {
  const auto found = blocks_.find(static_cast<char*>(p));
  if (found == blocks_.end()) return false;
  open();
  check_guards(*found);
  poison_ends(p, found->second);
  forbid(p, found->second);
  close();
  used_ -= found->second;
  blocks_.erase(found);
  return true;
}

bool Region::contains(const void* p) const {
  const auto at = reinterpret_cast<std::uintptr_t>(p);
  const auto base = reinterpret_cast<std::uintptr_t>(base_);
  return base <= at && at < base + capacity_;
}

bool Region::owns(const void* p, std::size_t bytes) const {
  char* const at = static_cast<char*>(const_cast<void*>(p));
  auto block = blocks_.upper_bound(at);
  if (block == blocks_.begin()) return false;
  --block;
  return at + bytes <= block->first + block->second;
}

void Region::check_guards(const Blocks::value_type& block) const {
  if constexpr (kSanitized) return;  // says so itself, and earlier
  const auto [p, bytes] = block;
  if (!marked(p - kGuard, p)) die("wrote before a block of %zu bytes of %s", bytes, what_);
  if (!marked(p + bytes, p + footprint(bytes))) {
    die("wrote behind a block of %zu bytes of %s", bytes, what_);
  }
}

void Region::check_guards() const {
  for (const auto& block : blocks_) check_guards(block);
}

Region& device_memory() {
  static Region* const region = make_device_memory();
  return *region;
}

Region& pinned_memory() {
  static Region* const region = new Region("page-locked memory", std::size_t{1} << 30, false);
  return *region;
}

}  // namespace emulator
