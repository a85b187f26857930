// The thread pool: every task once, nested and concurrent calls, exceptions, forks; and kernels
// whose results do not depend on the number of threads, bit for bit.
#include "cpu/parallel.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

#include "backend/registry.hpp"
#include "kernel_tables.hpp"

using namespace hesscore;

#if defined(__SANITIZE_ADDRESS__)
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1"; }
#endif

namespace {

// Runs `tasks` tasks and says whether each ran exactly once.
bool each_once(std::int64_t tasks) {
  const auto counts = std::make_unique<std::atomic<int>[]>(static_cast<std::size_t>(tasks));
  cpu::parallel_for(tasks, [&](std::int64_t i) { ++counts[static_cast<std::size_t>(i)]; });
  for (std::int64_t i = 0; i < tasks; ++i) {
    if (counts[static_cast<std::size_t>(i)] != 1) return false;
  }
  return true;
}

// Whether the body returns true in a forked child within ten seconds.
template <class F>
bool in_child(F body) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(10);
    _exit(body() ? 0 : 1);
  }
  int status = 1;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

TEST("every task runs once, for any number of threads") {
  for (const int threads : {1, 2, 3, 7, 2}) {
    cpu::set_num_threads(threads);
    CHECK(cpu::num_threads() == threads);
    for (const std::int64_t tasks : {0, 1, 2, 3, 64, 5000}) CHECK(each_once(tasks));
  }
  cpu::set_num_threads(3);
  for (int i = 0; i < 3000; ++i) CHECK(each_once(4));
}

TEST("workers that went to sleep wake up") {
  cpu::set_num_threads(2);
  for (int i = 0; i < 20; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    CHECK(each_once(8));
  }
}

TEST("chunks cover the range") {
  std::vector<int> seen(1003, 0);
  cpu::parallel_chunks(1003, 100, [&](std::int64_t begin, std::int64_t end) {
    CHECK(begin % 100 == 0 && end - begin <= 100);
    for (std::int64_t i = begin; i < end; ++i) ++seen[static_cast<std::size_t>(i)];
  });
  for (const int count : seen) CHECK(count == 1);
}

TEST("nested and concurrent calls") {
  cpu::set_num_threads(2);
  std::atomic<int> failures{0};
  cpu::parallel_for(8, [&](std::int64_t) {
    if (!each_once(10)) ++failures;
  });
  std::vector<std::thread> callers;
  for (int t = 0; t < 3; ++t) {
    callers.emplace_back([&] {
      for (int i = 0; i < 300; ++i) {
        if (!each_once(16)) ++failures;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(failures == 0);
}

TEST("an exception of a task reaches the caller, and the pool goes on") {
  for (const int threads : {1, 3}) {
    cpu::set_num_threads(threads);
    CHECK_THROWS(std::runtime_error, cpu::parallel_for(50, [](std::int64_t i) {
                   if (i == 31) throw std::runtime_error("task 31");
                 }));
    CHECK(each_once(50));
  }
}

TEST("a forked child has a pool of its own") {
  cpu::set_num_threads(3);
  CHECK(each_once(100));
  CHECK(in_child([] { return each_once(100) && in_child([] { return each_once(100); }); }));
  CHECK(each_once(100));
  std::atomic<bool> stop{false};
  std::thread busy([&] {
    while (!stop) each_once(100);
  });
  for (int i = 0; i < 10; ++i) CHECK(in_child([] { return each_once(100) && each_once(7); }));
  stop = true;
  busy.join();
}

TEST("scratch is aligned, kept and grown") {
  void* a = cpu::scratch(2, 100);
  CHECK(reinterpret_cast<std::uintptr_t>(a) % 64 == 0);
  CHECK(cpu::scratch(2, 50) == a);
  CHECK(cpu::scratch(3, 50) != a);
  std::memset(cpu::scratch(2, 1 << 20), 1, 1 << 20);
}

TEST("the CPU device allocates, and says how much it could not") {
  const std::unique_ptr<Device> device = make_cpu_device();
  void* p = device->allocate(1000);
  CHECK(reinterpret_cast<std::uintptr_t>(p) % 64 == 0);
  device->free(p);
  device->free(device->allocate(0));
  for (const std::size_t bytes : {std::size_t{1} << 62, ~std::size_t{0}}) {
    try {
      device->free(device->allocate(bytes));
      CHECK(false);
    } catch (const OutOfMemoryError& error) {
      CHECK(std::string(error.what()).find(std::to_string(bytes)) != std::string::npos);
    }
  }
  CHECK(device->name() == "cpu" && device->is_host());
  CHECK(device->description().find(" kernels, ") != std::string::npos);
  CHECK_THROWS(OptionError, cpu::make_kernel_table("no such"));
}

TEST("kernels give the same bits with 1, 2 and 3 threads") {
  check::for_cpu_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    const DType dtype = check::kDType<T>;
    const std::int64_t n = 200003, samples = 3001, classes = 10;
    std::vector<std::vector<double>> results;
    for (const int threads : {1, 2, 3}) {
      cpu::set_num_threads(threads);
      check::Guarded<T> x(n, 1), y(n, 2), z(n, 3), sums(97, 4);
      std::vector<std::int64_t> labels(static_cast<std::size_t>(samples), 3);
      std::uint64_t clock[2] = {1, 2};
      double dot = 0;
      T loss = 0, scale = 0;
      const math::LossSpec spec{
          .kind = math::LossKind::cross_entropy, .samples = samples, .classes = classes};
      table.get<kernels::Dot>(dtype)(nullptr, {x.in(), y.in(), n, &dot});
      table.get<kernels::LossScale>(dtype)(nullptr,
                                           {In(labels.data()), In(), In(), Out(&scale), spec});
      table.get<kernels::LossSeed>(dtype)(
          nullptr, {x.in(), In(labels.data()), In(), In(), In(&scale), Out(&loss), z.out(), Out(),
                    Out(), Out(), spec});
      table.get<kernels::ColumnSum>(dtype)(nullptr, {x.in(), sums.out(), 2000, 1, 97, true});
      table.get<kernels::Dropout>(dtype)(nullptr, {x.in(), In(clock), y.out(), n, 1, 0.5, 0});
      table.get<kernels::MapForward>(dtype)(nullptr, {y.in(), x.out(), n, {9}});
      std::vector<double> bits{dot, double(loss), double(scale)};
      for (const auto* array : {&x, &y, &z, &sums}) {
        for (std::int64_t i = 0; i < array->size(); ++i) bits.push_back(double((*array)[i]));
      }
      results.push_back(bits);
    }
    const auto same = [&](std::size_t i) {
      return std::memcmp(results[0].data(), results[i].data(), results[0].size() * 8) == 0;
    };
    CHECK(same(1) && same(2));
  });
}
