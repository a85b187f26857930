// What AddressSanitizer has to know about memory and stacks that it did not hand out.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace emulator {

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kSanitized = true;
inline void allow(const void* p, std::size_t bytes) { __asan_unpoison_memory_region(p, bytes); }
inline void forbid(const void* p, std::size_t bytes) { __asan_poison_memory_region(p, bytes); }
inline void leave_stack(void** mine, const void* bottom, std::size_t bytes) {
  __sanitizer_start_switch_fiber(mine, bottom, bytes);
}
inline void enter_stack(void* mine) { __sanitizer_finish_switch_fiber(mine, nullptr, nullptr); }
#else
inline constexpr bool kSanitized = false;
inline void allow(const void*, std::size_t) {}
inline void forbid(const void*, std::size_t) {}
inline void leave_stack(void**, const void*, std::size_t) {}
inline void enter_stack(void*) {}
#endif

}  // namespace emulator
