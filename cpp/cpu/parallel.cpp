// The CPU's thread pool: workers spin for a moment after a job, then sleep on a futex; a forked
// child starts over with a pool of its own.
#include "cpu/parallel.hpp"

#include <pthread.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

#include "hesscore/core.hpp"

namespace hesscore::cpu {
namespace {

// Longer than the gaps between the kernels of one step, shorter than it takes to be in the way of
// another library's threads.
constexpr std::chrono::microseconds kSpin{30};

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Spins, then sleeps, until `value` differs from `old`.
void wait_for_change(const std::atomic<int>& value, int old) {
  const auto end = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 16; ++i) {
      if (value.load(std::memory_order_acquire) != old) return;
      pause();
    }
  } while (std::chrono::steady_clock::now() < end);
  value.wait(old, std::memory_order_acquire);
}

// A range of tasks fits a pair of 32-bit numbers.
constexpr std::int64_t kMostTasks = INT32_MAX;

thread_local bool inside_task = false;

class Pool {
 public:
  explicit Pool(int threads) : threads_(threads), ranges_(static_cast<std::size_t>(threads)) {
    try {
      for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { work(i); });
    } catch (const std::system_error&) {  // the system grants no more threads: go on with fewer
    }
  }

  ~Pool() {
    stop_.store(true, std::memory_order_relaxed);
    publish();
    for (std::thread& worker : workers_) worker.join();
  }

  int threads() const { return threads_; }

  void run(std::int64_t tasks, Task task, void* context) {
    task_ = task;
    context_ = context;
    failure_ = nullptr;
    failed_.store(false, std::memory_order_relaxed);
    unfinished_.store(tasks, std::memory_order_relaxed);
    done_.store(0, std::memory_order_relaxed);
    for (int i = 0; i < threads_; ++i) {
      const auto begin = static_cast<std::uint64_t>(tasks * i / threads_);
      const auto end = static_cast<std::uint64_t>(tasks * (i + 1) / threads_);
      ranges_[i].unclaimed.store(end << 32 | begin, std::memory_order_release);
    }
    publish();
    claim(0);
    while (done_.load(std::memory_order_acquire) == 0) wait_for_change(done_, 0);
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  void publish() {
    epoch_.fetch_add(1, std::memory_order_release);
    epoch_.notify_all();
  }

  // The tasks begin .. end-1 of one thread, as end << 32 | begin: one addition claims a task.
  struct alignas(64) Range {
    std::atomic<std::uint64_t> unclaimed{0};
  };

  // Every thread has its own range of tasks, the same in every job of the same size, so that what a
  // task reads and writes is still in the cache of the core that had it before; then it helps the
  // others. Whoever claims a task owns a piece of the present job, which cannot end before that
  // task is counted: a worker that comes late finds nothing, or helps with the next job.
  void claim(int self) {
    inside_task = true;
    std::int64_t finished = 0;
    for (int i = 0; i < threads_; ++i) {
      std::atomic<std::uint64_t>& unclaimed = ranges_[(self + i) % threads_].unclaimed;
      for (;;) {
        const std::uint64_t range = unclaimed.fetch_add(1, std::memory_order_acq_rel);
        const std::uint64_t task = range & 0xffffffff;
        if (task >= range >> 32) break;
        perform(static_cast<std::int64_t>(task));
        ++finished;
      }
    }
    if (finished > 0 && unfinished_.fetch_sub(finished, std::memory_order_acq_rel) == finished) {
      done_.store(1, std::memory_order_release);
      done_.notify_one();
    }
    inside_task = false;
  }

  void perform(std::int64_t task) {
    try {
      task_(context_, task);
    } catch (...) {
      if (!failed_.exchange(true)) failure_ = std::current_exception();
    }
  }

  void work(int self) {
    for (int seen = 0;;) {
      wait_for_change(epoch_, seen);
      seen = epoch_.load(std::memory_order_acquire);
      if (stop_.load(std::memory_order_relaxed)) return;
      claim(self);
    }
  }

  const int threads_;
  std::vector<Range> ranges_;
  std::vector<std::thread> workers_;
  Task task_ = nullptr;
  void* context_ = nullptr;
  std::exception_ptr failure_;
  std::atomic<bool> failed_{false}, stop_{false};
  alignas(64) std::atomic<int> epoch_{0};
  alignas(64) std::atomic<std::int64_t> unfinished_{0};
  alignas(64) std::atomic<int> done_{0};
};

// Trivially destructible, so that calls from other static destructors still find it: after the end
// `stopped` makes them run on the calling thread.
struct State {
  Pool* pool = nullptr;
  std::atomic<bool> busy{false}, stopped{false};
  std::atomic<int> wanted{0};  // 0: not chosen yet
};
constinit State state;

struct EndOfProcess {
  ~EndOfProcess() {
    state.stopped = true;
    if (!state.busy.exchange(true)) delete state.pool;
  }
};

// The parent's threads do not exist in the child; its pool is left behind.
void forget_pool() {
  state.pool = nullptr;
  state.busy = false;
  inside_task = false;
}

Pool& pool() {
  static const int fork_guard = pthread_atfork(nullptr, nullptr, forget_pool);
  static const EndOfProcess end_of_process;
  static_cast<void>(fork_guard);
  const int wanted = num_threads();
  if (state.pool == nullptr || state.pool->threads() != wanted) {
    delete state.pool;
    state.pool = nullptr;
    state.pool = new Pool(wanted);
  }
  return *state.pool;
}

struct BusyGuard {
  ~BusyGuard() { state.busy.store(false, std::memory_order_release); }
};

struct Scratch {
  struct Block {
    void* data = nullptr;
    std::int64_t bytes = 0;
  };
  Block blocks[16];
  ~Scratch() {
    for (Block& block : blocks) std::free(block.data);
  }
};
thread_local Scratch thread_scratch;
thread_local Workspace* rehearsed = nullptr;

}  // namespace

void parallel_run(std::int64_t tasks, Task task, void* context) {
  if (rehearsed != nullptr) return;
  if (tasks <= 1 || tasks > kMostTasks || inside_task || num_threads() == 1 || state.stopped ||
      state.busy.exchange(true, std::memory_order_acquire)) {
    for (std::int64_t i = 0; i < tasks; ++i) task(context, i);
    return;
  }
  const BusyGuard guard;
  pool().run(tasks, task, context);
}

void set_num_threads(int n) { state.wanted = n < 1 ? 1 : n; }

int num_threads() {
  const int wanted = state.wanted.load(std::memory_order_relaxed);
  if (wanted > 0) return wanted;
  const int all = static_cast<int>(std::thread::hardware_concurrency());
  set_num_threads(all);
  return all < 1 ? 1 : all;
}

Workspace* rehearsal() { return rehearsed; }

void rehearse(AnyKernel kernel, const void* args, Workspace& needed) {
  rehearsed = &needed;
  try {
    kernel(nullptr, args);
  } catch (...) {
    rehearsed = nullptr;
    throw;
  }
  rehearsed = nullptr;
}

void* scratch(int which, std::int64_t bytes) {
  Scratch::Block& block = thread_scratch.blocks[which];
  if (block.bytes < bytes) {
    std::free(block.data);
    block = {};
    const std::size_t rounded = (static_cast<std::size_t>(bytes) / 64 + 1) * 64;
    block.data = std::aligned_alloc(64, rounded);
    if (block.data == nullptr) {
      throw OutOfMemoryError("cannot allocate " + std::to_string(rounded) +
                             " bytes of scratch memory");
    }
    std::memset(block.data, 0, 64);
    block.bytes = static_cast<std::int64_t>(rounded);
  }
  return block.data;
}

}  // namespace hesscore::cpu
