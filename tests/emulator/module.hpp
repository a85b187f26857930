// The library or program that kernels were linked into: their names, and their shared variables.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace emulator {

class Module {
 public:
  static Module& of(const void* address);

  const std::string& name(const void* function);
  // Fills the variables that kernels declare __shared__ with NaN.
  void poison_shared() const;

 private:
  explicit Module(const char* file, char* base);
  void read(const char* file);

  char* base_;
  std::map<std::size_t, std::string> functions_;             // by offset
  std::vector<std::pair<std::size_t, std::size_t>> shared_;  // offset in thread storage, bytes
};

}  // namespace emulator
