// Looking for Ctrl-C while the engine works without the GIL.
#pragma once

#include <nanobind/nanobind.h>

#include <chrono>

namespace hesscore::python {

// True every 50 ms: often enough for Ctrl-C to feel immediate, seldom enough to cost nothing.
class SignalClock {
 public:
  bool due() {
    const auto now = std::chrono::steady_clock::now();
    if (now - last_ < std::chrono::milliseconds(50)) return false;
    last_ = now;
    return true;
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

// Runs pending signal handlers, which may raise KeyboardInterrupt. Needs the GIL.
inline void check_signals() {
  if (PyErr_CheckSignals() != 0) throw nanobind::python_error();
}

// Lets signal handlers run, every 50 ms.
class SignalPoll {
 public:
  void operator()() {
    if (!clock_.due()) return;
    const nanobind::gil_scoped_acquire acquire;
    check_signals();
  }

 private:
  SignalClock clock_;
};

}  // namespace hesscore::python
