// Fibers: stacks that one thread of the host switches between.
#pragma once

#include <cstddef>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace emulator {

class Fiber {
 public:
  Fiber();                        // the stack that calls; others come back to it
  explicit Fiber(void (*run)());  // starts in run(), which never returns
  Fiber(const Fiber&) = delete;

  void switch_to(Fiber& next);
  void begin();  // the first thing run() does

 private:
  char* bottom_ = nullptr;
  std::size_t bytes_ = 0;
  void* asan_ = nullptr;
#if defined(__x86_64__)
  void* top_ = nullptr;  // of the stack, while it waits
#else
  ucontext_t context_;
#endif
};

}  // namespace emulator
