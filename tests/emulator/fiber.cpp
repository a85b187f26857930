// Switching stacks: 20 instructions on x86-64, ucontext elsewhere.
#include "fiber.hpp"

#include <pthread.h>
#include <sys/mman.h>

#include <cstdint>
#include <new>

#include "sanitizers.hpp"

#if defined(__x86_64__)
extern "C" void hesscore_emulator_switch(void** save, void* load);
asm(R"(
.pushsection .text
.p2align 4
.hidden hesscore_emulator_switch
.globl hesscore_emulator_switch
.type hesscore_emulator_switch, @function
hesscore_emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size hesscore_emulator_switch, .-hesscore_emulator_switch
.popsection
)");
#endif

namespace emulator {

namespace {

constexpr std::size_t kPage = 4096, kStack = (kSanitized ? 256 : 64) * std::size_t{1024};

char* make_stack() {  // with a page below that nothing may touch
  void* const p = mmap(nullptr, kStack + kPage, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) throw std::bad_alloc();
  mprotect(p, kPage, PROT_NONE);
  return static_cast<char*>(p) + kPage;
}

}  // namespace

Fiber::Fiber() {
  if constexpr (!kSanitized) return;
  pthread_attr_t attributes;
  void* bottom = nullptr;
  pthread_getattr_np(pthread_self(), &attributes);
  pthread_attr_getstack(&attributes, &bottom, &bytes_);
  pthread_attr_destroy(&attributes);
  bottom_ = static_cast<char*>(bottom);
}

Fiber::Fiber(void (*run)()) : bottom_(make_stack()), bytes_(kStack) {
#if defined(__x86_64__)
  auto* top = reinterpret_cast<std::uintptr_t*>(bottom_ + bytes_);
  *--top = 0;  // the frame of run() is aligned as after a call, and has no caller
  *--top = reinterpret_cast<std::uintptr_t>(run);
  for (int saved = 0; saved < 6; ++saved) *--top = 0;
  top_ = top;
#else
  getcontext(&context_);
  context_.uc_stack.ss_sp = bottom_;
  context_.uc_stack.ss_size = bytes_;
  context_.uc_link = nullptr;
  makecontext(&context_, run, 0);
#endif
}

void Fiber::switch_to(Fiber& next) {
  leave_stack(&asan_, next.bottom_, next.bytes_);
#if defined(__x86_64__)
  hesscore_emulator_switch(&top_, next.top_);
#else
  swapcontext(&context_, &next.context_);
#endif
  enter_stack(asan_);
}

void Fiber::begin() { enter_stack(nullptr); }

}  // namespace emulator
