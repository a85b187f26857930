// Memory of the emulated device: out of the host's reach unless device work runs.
#pragma once

#include <cstddef>
#include <map>

namespace emulator {

// A piece of address space from which blocks are cut. Fresh and freed blocks hold NaN, and guard
// words lie before and behind every block.
class Region {
 public:
  Region(const char* what, std::size_t capacity, bool hidden);

  void* allocate(std::size_t bytes);  // 256-byte aligned; null if there is no room
  bool release(void* p);              // false if p is not a block
  bool contains(const void* p) const;
  // Do these bytes lie in one block?
  bool owns(const void* p, std::size_t bytes) const;
  std::size_t available() const { return capacity_ - used_; }
  std::size_t capacity() const { return capacity_; }

  // The host may touch a hidden region only between these two, which nest.
  void open();
  void close();
  // Aborts if somebody wrote beside a block.
  void check_guards() const;

 private:
  using Blocks = std::map<char*, std::size_t>;  // in bytes
  void check_guards(const Blocks::value_type& block) const;
  void protect(int protection) const;

  const char* what_;
  std::size_t capacity_, used_ = 0;
  bool hidden_;
  int opened_ = 0;
  char *base_, *top_;
  Blocks blocks_;
};

Region& device_memory();
Region& pinned_memory();

// Poisons a block, but leaves the middle of a large one: opening and closing memory takes time for
// every page that was ever touched.
void poison_ends(void* p, std::size_t bytes);

class Opened {  // device memory, for its lifetime
 public:
  Opened() { device_memory().open(); }
  ~Opened() { device_memory().close(); }
  Opened(const Opened&) = delete;
};

}  // namespace emulator
