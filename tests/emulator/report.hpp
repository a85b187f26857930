// Mistakes of a kernel end the process, with the kernel's name.
#pragma once

#include <string>

namespace emulator {

// The kernel that runs, or nothing.
void set_running(const std::string* kernel);

[[noreturn]] __attribute__((format(printf, 1, 2))) void die(const char* format, ...);

}  // namespace emulator
