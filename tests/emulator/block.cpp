// Threads of a block as fibers. One of them runs; the others are ready, or wait at a barrier or in
// an exchange. Nobody ready while somebody waits is a deadlock on a GPU, and an error here.
#include "block.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <numeric>
#include <random>
#include <string_view>
#include <vector>

#include "fiber.hpp"
#include "memory.hpp"
#include "report.hpp"
#include "sanitizers.hpp"
#include "threads.hpp"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace emulator {

namespace {

struct Copy {
  void* to;
  const void* from;
  int bytes;
  bool inside;
  int group;
};

struct Thread {
  uint3 index;
  int number = 0;
  Fiber* fiber = nullptr;  // null: not begun, or finished
  bool finished = false;
  Place waits{nullptr, 0};
  int result = 0;
  std::vector<Copy> copies;
  int groups = 0;  // that were closed
};

struct Exchange {
  unsigned mask = 0, missing = 0;
  Combine combine = nullptr;
  Place place{nullptr, 0};
  void* lanes[kWarp];
  Thread* threads[kWarp];
};

// The one that waits for this lane, else one that is over and free.
Exchange& exchange_of(std::deque<Exchange>& warp, unsigned lane) {
  Exchange* unused = nullptr;
  for (Exchange& each : warp) {
    if (each.missing & lane) return each;
    if (each.missing == 0) unused = &each;
  }
  return unused ? *unused : warp.emplace_back();
}

bool same(const Place& a, const Place& b) {
  return a.line == b.line && (a.file == b.file || std::strcmp(a.file, b.file) == 0);
}

class Block {
 public:
  static Block& get() {
    static Block* const block = new Block;
    return *block;
  }

  void begin(const Kernel& kernel, const std::vector<int>& order);
  void run();

  int barrier(Place place, bool counted);
  void exchange(unsigned mask, void* mine, Combine combine, Place place);
  Thread& self() { return *current_; }
  char* shared() { return shared_; }

 private:
  Block() : shared_(static_cast<char*>(std::aligned_alloc(256, kMaxSharedBytes + kSharedGuard))) {}
  static void fiber_main() { get().run_threads(); }
  void run_threads();
  void wait(Place place);
  Fiber& fiber_to_resume();
  [[noreturn]] void report_deadlock() const;

  static constexpr std::size_t kSharedGuard = 256;
  static constexpr unsigned char kMark = 0xa5;

  const Kernel* kernel_ = nullptr;
  const std::vector<int>* order_ = nullptr;
  char* shared_;
  std::vector<Thread> threads_;
  std::deque<Thread*> ready_;
  Thread* current_ = nullptr;
  int finished_ = 0;

  Place barrier_{nullptr, 0};
  int arrived_ = 0, counted_ = 0;
  std::vector<std::deque<Exchange>> exchanges_;  // of each warp

  Fiber* caller_ = nullptr;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> idle_;
};

void Block::begin(const Kernel& kernel, const std::vector<int>& order) {
  kernel_ = &kernel;
  order_ = &order;
  const dim3 n = kernel.block;
  threads_.resize(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    const auto at = static_cast<unsigned>(i);
    threads_[i].number = static_cast<int>(i);
    threads_[i].index = {at % n.x, at / n.x % n.y, at / n.x / n.y};
  }
  exchanges_.resize((order.size() + kWarp - 1) / kWarp);
}

void Block::run() {
  allow(shared_, kMaxSharedBytes + kSharedGuard);
  poison(shared_, kernel_->shared_bytes);
  std::memset(shared_ + kernel_->shared_bytes, kMark, kSharedGuard);
  forbid(shared_ + kernel_->shared_bytes, kMaxSharedBytes + kSharedGuard - kernel_->shared_bytes);
  finished_ = 0;
  for (const int i : *order_) {
    Thread& thread = threads_[static_cast<std::size_t>(i)];
    thread.finished = false;
    thread.copies.clear();
    thread.groups = 0;
    ready_.push_back(&thread);
  }
  Fiber caller;
  caller_ = &caller;
  caller.switch_to(fiber_to_resume());
  if (finished_ < static_cast<int>(threads_.size())) report_deadlock();
  if constexpr (kSanitized) return;
  for (std::size_t i = 0; i < kSharedGuard; ++i) {
    if (static_cast<unsigned char>(shared_[kernel_->shared_bytes + i]) != kMark) {
      die("wrote behind its %zu bytes of shared memory", kernel_->shared_bytes);
    }
  }
}

// What every fiber does: runs a thread, then one that has not begun, or lets others go on.
void Block::run_threads() {
  Fiber* const mine = current_->fiber;
  mine->begin();
  for (;;) {
    kernel_->thread();
    current_->finished = true;
    current_->fiber = nullptr;
    ++finished_;
    idle_.push_back(mine);
    Fiber& next = fiber_to_resume();
    if (&next != mine) mine->switch_to(next);
  }
}

// The fiber of the thread that comes next, or the caller's if nobody is ready.
Fiber& Block::fiber_to_resume() {
  if (ready_.empty()) return *caller_;
  Thread& thread = *ready_.front();
  ready_.pop_front();
  if (thread.fiber == nullptr) {
    if (idle_.empty()) {
      fibers_.push_back(std::make_unique<Fiber>(&fiber_main));
      idle_.push_back(fibers_.back().get());
    }
    thread.fiber = idle_.back();
    idle_.pop_back();
  }
  current_ = &thread;
  threadIdx = thread.index;
  return *thread.fiber;
}

void Block::wait(Place place) {
  Thread& mine = *current_;
  mine.waits = place;
  mine.fiber->switch_to(fiber_to_resume());
  mine.waits = {nullptr, 0};
}

int Block::barrier(Place place, bool counted) {
  if (arrived_ == 0) barrier_ = place;
  if (!same(barrier_, place)) {
    die("thread %d is at the barrier of %s:%d while others are at that of %s:%d", current_->number,
        place.file, place.line, barrier_.file, barrier_.line);
  }
  counted_ += counted;
  Thread& mine = *current_;
  if (++arrived_ < static_cast<int>(threads_.size())) {
    wait(place);
    return mine.result;
  }
  for (const int i : *order_) {
    Thread& thread = threads_[static_cast<std::size_t>(i)];
    thread.result = counted_;
    if (&thread != &mine) ready_.push_back(&thread);
  }
  arrived_ = counted_ = 0;
  return mine.result;
}

void Block::exchange(unsigned mask, void* mine, Combine combine, Place place) {
  const int lane = current_->number % kWarp, warp = current_->number / kWarp;
  const unsigned bit = 1u << lane;
  if (!(mask & bit)) die("lane %d is not in its own mask, %s:%d", lane, place.file, place.line);
  const int lanes = std::min(static_cast<int>(threads_.size()) - warp * kWarp, kWarp);
  if (lanes < kWarp) mask &= (1u << lanes) - 1;
  Exchange& joined = exchange_of(exchanges_[static_cast<std::size_t>(warp)], bit);
  if (joined.missing == 0) {
    joined.mask = joined.missing = mask;
    joined.combine = combine;
    joined.place = place;
  }
  if (joined.mask != mask || joined.combine != combine || !same(joined.place, place)) {
    die("lane %d of warp %d is at %s:%d with mask %08x; others wait for it at %s:%d with %08x",
        lane, warp, place.file, place.line, mask, joined.place.file, joined.place.line,
        joined.mask);
  }
  joined.lanes[lane] = mine;
  joined.threads[lane] = current_;
  joined.missing &= ~bit;
  if (joined.missing != 0) return wait(place);
  combine(joined.lanes, mask);
  for (int i = 0; i < kWarp; ++i) {
    if (mask >> i & 1 && joined.threads[i] != current_) ready_.push_back(joined.threads[i]);
  }
}

void Block::report_deadlock() const {
  int begun = 0;
  const Thread* waiting = nullptr;
  for (const Thread& thread : threads_) {
    if (thread.finished) continue;
    ++begun;
    if (waiting == nullptr || thread.waits.line < waiting->waits.line) waiting = &thread;
  }
  die("%d of %zu threads have finished, but %d wait for others, thread %d at %s:%d", finished_,
      threads_.size(), begun, waiting->number, waiting->waits.file, waiting->waits.line);
}

// ---- orders -------------------------------------------------------------------------------------

enum class Order { forward, backward, random };

Order order_of_launch(unsigned launch) {
  static const char* const set = std::getenv("HESSCORE_EMULATOR_ORDER");
  const std::string_view name = set == nullptr ? "" : set;
  if (name == "forward") return Order::forward;
  if (name == "backward") return Order::backward;
  if (name == "random") return Order::random;
  return static_cast<Order>(launch % 3);
}

std::vector<int> ordered(std::size_t n, Order order, unsigned seed) {
  std::vector<int> list(n);
  std::iota(list.begin(), list.end(), 0);
  if (order == Order::backward) std::reverse(list.begin(), list.end());
  if (order == Order::random) std::shuffle(list.begin(), list.end(), std::minstd_rand(seed + 1));
  return list;
}

}  // namespace

void run_kernel(const Kernel& kernel) {
  static unsigned launches = 0;
  const unsigned launch = launches++;
  const Order order = order_of_launch(launch);
  const dim3 grid = kernel.grid, block = kernel.block;
  const auto threads = ordered(std::size_t{block.x} * block.y * block.z, order, launch);
  const auto blocks = ordered(std::size_t{grid.x} * grid.y * grid.z, order, launch);
  gridDim = grid;
  blockDim = block;
  Block::get().begin(kernel, threads);
  for (const int i : blocks) {
    const auto at = static_cast<unsigned>(i);
    blockIdx = {at % grid.x, at / grid.x % grid.y, at / grid.x / grid.y};
    Block::get().run();
  }
}

// ---- what kernels call --------------------------------------------------------------------------

int lane() { return Block::get().self().number % kWarp; }
void* shared_memory() { return Block::get().shared(); }
void block_barrier(Place place) { Block::get().barrier(place, false); }
int block_count(Place place, bool counted) { return Block::get().barrier(place, counted); }
void warp_exchange(unsigned mask, void* mine, Combine combine, Place place) {
  Block::get().exchange(mask, mine, combine, place);
}

void copy_begin(void* shared, const void* global, int bytes, bool inside) {
  const auto size = static_cast<std::uintptr_t>(bytes);
  const auto to = reinterpret_cast<std::uintptr_t>(shared);
  if (to % size != 0 || (inside && reinterpret_cast<std::uintptr_t>(global) % size != 0)) {
    die("an asynchronous copy of %d bytes from %p to %p is not aligned", bytes, global, shared);
  }
  poison(shared, size);
  Thread& self = Block::get().self();
  self.copies.push_back({shared, global, bytes, inside, self.groups});
}

void copy_close() { ++Block::get().self().groups; }

void copy_finish(int pending) {
  Thread& self = Block::get().self();
  const auto last =
      std::stable_partition(self.copies.begin(), self.copies.end(),
                            [&](const Copy& copy) { return copy.group < self.groups - pending; });
  for (auto copy = self.copies.begin(); copy != last; ++copy) {
    const auto size = static_cast<std::size_t>(copy->bytes);
    if (copy->inside) {
      std::memcpy(copy->to, copy->from, size);
    } else {
      std::memset(copy->to, 0, size);
    }
  }
  self.copies.erase(self.copies.begin(), last);
}

}  // namespace emulator
