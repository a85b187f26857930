// Who may use an optimizer, and when: one call at a time, and looks at its state between calls.
#pragma once

#include <atomic>
#include <mutex>
#include <thread>

#include "hesscore/core.hpp"

namespace hesscore {

class Turns {
 public:
  // A call that changes the state. A second one is refused; looks that have begun come first.
  class Call {
   public:
    explicit Call(Turns& turns) : turns_(turns) {
      std::thread::id nobody;
      if (!turns.owner_.compare_exchange_strong(nobody, std::this_thread::get_id())) refuse();
      const std::lock_guard wait(turns.looking_);
    }
    ~Call() { turns_.owner_ = std::thread::id(); }
    Call(const Call&) = delete;

   private:
    Turns& turns_;
  };

  // Reads the state. Within a call that is for its own thread alone, from what it calls back.
  class Look {
   public:
    explicit Look(Turns& turns) : looking_(turns.looking_) {
      const std::thread::id owner = turns.owner_;
      if (owner != std::thread::id() && owner != std::this_thread::get_id()) refuse();
    }

   private:
    std::lock_guard<std::mutex> looking_;
  };

 private:
  [[noreturn]] static void refuse() { throw StateError("the optimizer is in a run"); }

  std::atomic<std::thread::id> owner_ = std::thread::id();
  std::mutex looking_;
};

}  // namespace hesscore
