// The CPU's thread pool. Work is cut into tasks by the problem alone, never by the thread count,
// and tasks write disjoint results, so every number is bitwise the same for any number of threads.
#pragma once

#include <cstdint>
#include <type_traits>

#include "backend/kernel_table.hpp"

namespace hesscore::cpu {

using Task = void (*)(void* context, std::int64_t task);

// Runs task(context, i) for 0 <= i < tasks on the pool and the calling thread. Nested or concurrent
// calls run their tasks on the calling thread alone.
void parallel_run(std::int64_t tasks, Task task, void* context);

template <class F>
void parallel_for(std::int64_t tasks, F&& body) {
  using Body = std::remove_reference_t<F>;
  parallel_run(
      tasks, [](void* c, std::int64_t i) { (*static_cast<Body*>(c))(i); },
      const_cast<std::remove_const_t<Body>*>(&body));
}

// body(begin, end) over [0, n) in chunks of `grain`.
template <class F>
void parallel_chunks(std::int64_t n, std::int64_t grain, F&& body) {
  const std::int64_t tasks = (n + grain - 1) / grain;
  parallel_for(tasks, [&](std::int64_t i) {
    const std::int64_t begin = i * grain;
    body(begin, begin + grain < n ? begin + grain : n);
  });
}

void set_num_threads(int n);
int num_threads();

// 64-byte aligned scratch of the calling thread, kept and grown. Contents are undefined, but the
// first 64 bytes of fresh memory are zero: a header there says whether it is one. `which` < 16
// separates buffers that are alive together.
void* scratch(int which, std::int64_t bytes);

// Where the kernel that is called notes its need of scratch memory instead of running, or null.
// Tasks do not run meanwhile.
Workspace* rehearsal();
void rehearse(AnyKernel kernel, const void* args, Workspace& needed);

}  // namespace hesscore::cpu
