// Threads that share a CUDA device and do not care. Does nothing where there is none.
#include <atomic>
#include <chrono>
#include <memory>
#include <thread>

#include "check.hpp"
#include "hesscore/hesscore.hpp"
#include "plan/recordings.hpp"

namespace hc = hesscore;

namespace {

bool absent() { return hc::cuda_status() != "available"; }

hc::Device& cuda() { return hc::device("cuda"); }

using Numbers = std::vector<double>;

hc::Vector on_device(const Numbers& values) {
  hc::Vector v(cuda(), hc::DType::f32, static_cast<std::int64_t>(values.size()));
  v.from_host(values);
  return v;
}

void copy(const hc::Vector& from, hc::Vector& to) {
  cuda().copy(to.data(), from.data(), static_cast<std::size_t>(from.size()) * sizeof(float));
}

// 6 - 5 - 3 with tanh; eight samples, some more for every number.
struct Problem {
  hc::Objective f{graph(), cuda()};
  std::int64_t samples;
  hc::Vector x;
  hc::Buffer y;

  explicit Problem(int number)
      : samples(8 + number),
        x(cuda(), hc::DType::f32, 6 * samples),
        y(cuda(), static_cast<std::size_t>(samples) * sizeof(std::int64_t)) {
    Numbers values;
    for (std::int64_t i = 0; i < x.size(); ++i) values.push_back(std::sin(double(i + number)));
    x.from_host(values);
    std::vector<std::int64_t> labels;
    for (std::int64_t i = 0; i < samples; ++i) labels.push_back(i % 3);
    cuda().from_host(y.data(), labels.data(), y.bytes());
  }
  static hc::Graph graph() {
    hc::GraphBuilder b;
    const int in = b.input({6});
    return b.finish(b.linear(b.tanh(b.linear(in, 5)), 3), hc::CrossEntropyLoss{});
  }

  // Losses, a solution and trained parameters.
  Numbers work() const {
    const hc::Batch batch{hc::Inputs(hc::View(x.data(), hc::DType::f32, {samples, 6})),
                          hc::View(y.data(), hc::DType::i64, {samples})};
    hc::Vector w = f.init(), g = f.zeros(), step = f.zeros();
    Numbers results;
    hc::Optimizer optimizer(f, hc::Adam{});
    for (int i = 0; i < 4; ++i) {
      results.push_back(f.evaluate(w, batch, {.grad = &g}));
      const auto ggn = hc::ggn(f, w, batch);
      hc::cg(hc::ShiftedOperator(*ggn, 0.1), g, step, {.maxiter = 4});
      for (const double v : step.to_host()) results.push_back(v);
      optimizer.run(w, batch, {.batch_size = 3}, i, 0, 100);
    }
    for (const double v : w.to_host()) results.push_back(v);
    return results;
  }
};

}  // namespace

TEST("what other threads do meanwhile is no part of a recording") {
  if (absent()) return;
  const hc::Vector one = on_device({1, 1}), two = on_device({2, 2});
  hc::Vector a = on_device({0, 0}), b = on_device({0, 0});
  copy(one, a);
  std::atomic<bool> begun = false;
  std::thread other([&] {
    while (!begun) std::this_thread::yield();
    const hc::Buffer memory(cuda(), 100);  // which nobody minds
    b.from_host({3, 3});
    copy(two, b);
    cuda().synchronize();
  });
  const auto recording = cuda().record([&] {
    begun = true;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    copy(one, a);
  });
  other.join();
  CHECK(recording != nullptr);
  CHECK(b.to_host() == Numbers({2, 2}));
  b.from_host({5, 5});
  a.from_host({5, 5});
  if (recording) recording->launch();
  CHECK(a.to_host() == Numbers({1, 1}));
  CHECK(b.to_host() == Numbers({5, 5}));
}

TEST("work that is refused is offered again, but not for ever") {
  if (absent()) return;
  const hc::Vector one = on_device({1, 1});
  hc::Vector a = on_device({0, 0});
  for (const int refusals : {2, 3}) {
    hc::Recordings recordings(cuda());
    int calls = 0, tries = 0;
    for (int i = 0; i < 6; ++i) {
      recordings.run({a.data()}, [&] {
        cuda().recording() ? ++tries : ++calls;
        copy(one, a);
        if (cuda().recording() && tries <= refusals) cuda().synchronize();
      });
    }
    CHECK(tries == 3);
    CHECK(calls == (refusals == 2 ? 3 : 6));
  }
}

TEST("memory that another thread lets go of outlives the work on this thread's own stream") {
  if (absent()) return;
  void* const per_thread = reinterpret_cast<void*>(2);  // CUDA's name for the thread's own stream
  hc::Vector sum = on_device({0, 0});
  {
    const hc::StreamScope scope(cuda(), per_thread);
    hc::Vector x = on_device({3, 4});
    copy(x, sum);
    std::thread([gone = std::move(x)] {}).join();
  }
  CHECK(sum.to_host() == Numbers({3, 4}));
}

TEST("threads get what each would get alone") {
  if (absent()) return;
  constexpr int kThreads = 3;
  std::vector<std::unique_ptr<Problem>> problems;
  std::vector<Numbers> expected, found(kThreads);
  for (int i = 0; i < kThreads; ++i) {
    problems.push_back(std::make_unique<Problem>(i));
    expected.push_back(problems.back()->work());
  }
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] { found[i] = problems[i]->work(); });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(found == expected);
}
