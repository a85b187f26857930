// The CUDA device, real or emulated: recordings and loops, streams, uploads, the alarm, memory.
// Does nothing where there is none.
#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <thread>

#include "backend/kernels.hpp"
#include "check.hpp"
#include "hesscore/device.hpp"
#include "math/activations.hpp"
#include "test_device.hpp"

namespace hc = hesscore;

namespace {

bool absent() {
  static const bool none = hc::cuda_status() != "available";
  static const bool told = (none ? std::printf("skipped: %s\n", hc::cuda_status().c_str()) : 0) > 0;
  static_cast<void>(told);
  return none;
}

[[maybe_unused]] const int two_devices = setenv("HESSCORE_EMULATOR_DEVICES", "2", 1);

hc::Device& cuda() { return hc::device("cuda"); }

template <class Key>
void call(const typename Key::Args& args) {
  cuda().kernels().get<Key>(hc::DType::f32)(cuda().stream(), args);
}

// Floats on the device.
class Array {
 public:
  explicit Array(std::vector<float> values)
      : size_(values.size()), buffer_(cuda(), values.size() * sizeof(float)) {
    set(values);
  }
  void set(const std::vector<float>& values) const {
    cuda().from_host(data(), values.data(), values.size() * sizeof(float));
  }
  std::vector<float> get() const {
    std::vector<float> values(size_);
    cuda().to_host(values.data(), data(), size_ * sizeof(float));
    return values;
  }
  float* data() const { return static_cast<float*>(buffer_.data()); }
  std::int64_t size() const { return static_cast<std::int64_t>(size_); }
  hc::In in(std::int64_t from = 0) const { return hc::In(data() + from); }
  hc::Out out(bool accumulate = false) const { return hc::Out(data(), accumulate); }

 private:
  std::size_t size_;
  hc::Buffer buffer_;
};

std::vector<float> wave(std::size_t n, int seed) {
  std::vector<float> values(n);
  for (std::size_t i = 0; i < n; ++i) {
    values[i] = static_cast<float>(2 * std::sin(1.3 * static_cast<double>(i) + 7.1 * seed));
  }
  return values;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  const auto bits = [](float x) { return std::bit_cast<std::uint32_t>(x); };
  return std::ranges::equal(a, b, {}, bits, bits);
}

// y (+)= x
void add(const Array& x, const Array& y) {
  call<hc::kernels::Axpby>({.x = x.in(), .y = y.out(), .n = y.size()});
}

// z = tanh(x y) + 2 x, by way of t
struct Chain {
  Array x{wave(1000, 1)}, y{wave(1000, 2)}, t{wave(1000, 3)}, z{wave(1000, 4)};

  void operator()() const {
    const std::int64_t n = x.size();
    call<hc::kernels::Multiply>({.a = x.in(), .b = y.in(), .y = t.out(), .n = n});
    call<hc::kernels::MapForward>({.x = t.in(),
                                   .y = t.out(),
                                   .n = n,
                                   .act = {.id = static_cast<std::int32_t>(hc::math::Act::tanh)}});
    cuda().copy(z.data(), t.data(), static_cast<std::size_t>(n) * sizeof(float));
    call<hc::kernels::Axpby>({.x = x.in(), .y = z.out(), .n = n, .a = 2, .b = 1});
  }
};

// A loop whose condition is a row of ones that moves down by one each time; once it has passed,
// nothing changes but `runs`.
struct Countdown {
  Array ones{std::vector<float>(64)}, moved{std::vector<float>(64)}, passed{{0}}, runs{{0}};
  Array one{{1}};

  void start(std::size_t count) const {
    std::vector<float> row(64);
    std::fill_n(row.begin(), count, 1.0f);
    ones.set(row);
    passed.set({0});
    runs.set({0});
  }
  void operator()() const {
    call<hc::kernels::Axpby>({.x = ones.in(), .y = passed.out(), .n = 1});
    add(one, runs);
    call<hc::kernels::Copy>({.x = ones.in(1),
                             .y = moved.out(),
                             .outer = 1,
                             .inner = 63,
                             .stride_x = 63,
                             .stride_y = 63});
    cuda().copy(ones.data(), moved.data(), 64 * sizeof(float));
  }
};

float value(const Array& a) { return a.get().front(); }

}  // namespace

TEST("a recording gives what eager calls give, bit for bit, and follows its data") {
  if (absent()) return;
  const Chain work;
  work();
  const std::vector<float> eager = work.z.get();
  work.z.set(wave(1000, 9));
  const std::unique_ptr<hc::Recording> recording = cuda().record(std::cref(work));
  CHECK(recording != nullptr);
  if (!recording) return;
  CHECK(same_bits(work.z.get(), wave(1000, 9)));  // recording runs nothing
  recording->launch();
  CHECK(same_bits(work.z.get(), eager));

  work.x.set(wave(1000, 5));
  recording->launch();
  const std::vector<float> replayed = work.z.get();
  CHECK(!same_bits(replayed, eager));
  work();
  CHECK(same_bits(work.z.get(), replayed));
}

TEST("loops run while their condition holds, and at most so often") {
  if (absent()) return;
  const Countdown work;
  for (const bool unrolled : {false, true}) {
    setenv("HESSCORE_CUDA_UNROLL", unrolled ? "1" : "0", 1);
    work.start(3);
    work();
    const auto loop = cuda().record_loop(std::cref(work), work.ones.data(), 40);
    CHECK(loop != nullptr);
    if (!loop) return;
    for (const std::size_t count : {5, 1, 0, 17, 40, 60}) {
      work.start(count);
      loop->launch();
      const float expected = static_cast<float>(count < 40 ? count : 40);
      CHECK(value(work.passed) == expected);
      const float runs = value(work.runs);
      CHECK(unrolled ? runs >= expected && runs <= expected + 16 : runs == expected);
    }
  }
  unsetenv("HESSCORE_CUDA_UNROLL");
}

TEST("work that cannot be recorded leaves the device as it was") {
  if (absent()) return;
  const Chain work;
  work();
  const std::vector<float> before = work.z.get();
  double sum = 0;
  const auto dot = [&] {
    work();
    call<hc::kernels::Dot>({.x = work.x.in(), .y = work.y.in(), .n = 1000, .result = &sum});
  };
  dot();
  CHECK(cuda().record(dot) == nullptr);
  CHECK(cuda().record_loop(dot, work.x.data(), 3) == nullptr);
  CHECK(cuda().record([] { hc::Buffer(cuda(), 100); }) == nullptr);
  CHECK(cuda().record([&] { work.z.get(); }) == nullptr);
  CHECK(cuda().record([&] { static_cast<void>(cuda().record(std::cref(work))); }) == nullptr);
  CHECK_THROWS(hc::OptionError, cuda().record([&] {
    work();
    throw hc::OptionError("ours");
  }));
  CHECK(!cuda().recording());
  CHECK(same_bits(work.z.get(), before));
  const auto recording = cuda().record([&] {
    CHECK(cuda().recording());
    work();
  });
  CHECK(recording != nullptr);
  if (recording) recording->launch();
  CHECK(same_bits(work.z.get(), before));
}

TEST("uploads arrive before the work that waits for them, and wait for their targets") {
  if (absent()) return;
  constexpr std::size_t kSize = 50000, kBytes = kSize * sizeof(float);
  const Array a(wave(kSize, 0)), b(wave(kSize, 0)), total{std::vector<float>(kSize)};
  float* const host[2] = {static_cast<float*>(cuda().allocate_host(kBytes)),
                          static_cast<float*>(cuda().allocate_host(kBytes))};
  cuda().wait_uploads();
  for (int batch = 0; batch < 20; ++batch) {
    float* const from = host[batch % 2];
    const Array& to = batch % 2 == 0 ? a : b;
    std::fill_n(from, kSize, static_cast<float>(batch));
    cuda().upload(to.data(), from, kBytes);
    cuda().wait_uploads();
    add(to, total);
  }
  CHECK(total.get() == std::vector<float>(kSize, 190));
  for (float* const p : host) cuda().free_host(p);
}

TEST("memory that an upload still writes goes to nobody else") {
  if (absent()) return;
  constexpr std::size_t kSize = 50000, kBytes = kSize * sizeof(float);
  auto* const host = static_cast<float*>(cuda().allocate_host(kBytes));
  std::fill_n(host, kSize, 7.0f);
  cuda().upload(Array(wave(kSize, 1)).data(), host, kBytes);
  cuda().synchronize();
  const Array next(wave(kSize, 2));
  cuda().wait_uploads();
  CHECK(same_bits(next.get(), wave(kSize, 2)));
  cuda().free_host(host);
}

TEST("work on one stream waits for the work before it on another") {
  if (absent()) return;
  void* const per_thread = reinterpret_cast<void*>(2);  // CUDA's name for the thread's own stream
  void* const legacy = reinterpret_cast<void*>(1);
  const Array x(wave(100000, 1)), y{std::vector<float>(100000)};
  const std::vector<float> once = x.get();
  for (void* const stream : {per_thread, static_cast<void*>(nullptr), legacy, per_thread}) {
    const hc::StreamScope scope(cuda(), stream);
    add(x, y);
    void* const before = cuda().use_stream(per_thread);
    CHECK(before == (stream == legacy ? nullptr : stream));
    add(x, y);
    cuda().use_stream(before);
  }
  CHECK(cuda().use_stream(nullptr) == nullptr);
  std::vector<float> expected = once;
  for (float& v : expected) v *= 8;
  const std::vector<float> sums = y.get();
  for (std::size_t i = 0; i < sums.size(); ++i) {
    if (check::close(sums[i], expected[i], 1e-6)) continue;
    CHECK_CLOSE(sums[i], expected[i], 1e-6);
    break;
  }
}

TEST("a stream that there is not changes nothing") {
  if (absent() || check::tests_real()) return;  // a driver may crash
  const Array one{{1}}, sum{{0}};
  int no_stream = 0;
  CHECK_THROWS(hc::DeviceError, hc::StreamScope(cuda(), &no_stream));
  add(one, sum);
  CHECK(value(sum) == 1);
  CHECK(cuda().use_stream(nullptr) == nullptr);
}

TEST("threads take turns") {
  if (absent()) return;
  const Array one{{1}}, sum{{0}};
  const auto count = [&] {
    for (int i = 0; i < 50; ++i) {
      const hc::StreamScope scope(cuda(), i % 2 == 0 ? nullptr : reinterpret_cast<void*>(2));
      add(one, sum);
    }
  };
  std::thread other(count);
  count();
  other.join();
  CHECK(value(sum) == 100);
}

TEST("the alarm is raised by what is watched and not moderate") {
  if (absent()) return;
  const Array y{std::vector<float>(10)};
  const auto fill = [&](double x, bool watch) {
    cuda().clear_alarm();
    hc::Out out = y.out();
    out.watch = watch;
    call<hc::kernels::Fill>({.y = out, .n = 10, .value = x});
    return cuda().alarm();
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(!fill(1e17, true));
  CHECK(fill(1e19, true));
  CHECK(fill(-1e19, true));
  CHECK(fill(nan, true));
  CHECK(!fill(nan, false));
}

TEST("copies of every size, also of nothing") {
  if (absent()) return;
  for (const std::size_t n : {0, 1, 255, 256, 257, 10000}) {
    const Array a(wave(n, 3)), b(wave(n, 4));
    cuda().copy(b.data(), a.data(), n * sizeof(float));
    CHECK(same_bits(b.get(), wave(n, 3)));
  }
}

TEST("memory that there is not, and memory of somebody else") {
  if (absent()) return;
  try {
    hc::Buffer(cuda(), std::size_t{1} << 50);
    CHECK(false);
  } catch (const hc::OutOfMemoryError& error) {
    const std::string text = error.what();
    CHECK(text.find("1125899906842624 bytes on cuda:0") != std::string::npos);
  }
  const Array ours(wave(100, 1));
  int allocated = 0, freed = 0;
  const auto free = [&freed](void* p) {
    ++freed;
    cuda().free_host(p);
  };
  cuda().set_allocator(
      [&allocated](std::size_t bytes) {
        return bytes > 1000 ? nullptr : (++allocated, cuda().allocate_host(bytes));
      },
      free);
  {
    const Array theirs(wave(100, 2));
    add(ours, theirs);
    CHECK(allocated == 1 && freed == 0);
    CHECK_THROWS(hc::OutOfMemoryError, hc::Buffer(cuda(), 1001));
    cuda().set_allocator({}, {});
    const Array again(wave(100, 3));
    CHECK(theirs.get()[7] == wave(100, 1)[7] + wave(100, 2)[7]);
  }
  CHECK(allocated == 1 && freed == 1);
}

TEST("an error that nobody is told of is forgotten") {
  if (absent() || check::tests_real()) return;
  int not_page_locked = 0;
  cuda().free_host(&not_page_locked);
  cuda().free(&not_page_locked);  // the emulator looks at the end of the process
}

TEST("callers keep their current device") {
  if (absent()) return;
  const char* const plugin = std::getenv("HESSCORE_CUDA_PLUGIN");
  void* const library = plugin ? dlopen(plugin, RTLD_NOW | RTLD_NOLOAD) : nullptr;
  void* const symbol = library ? dlsym(library, "hesscore_emulator_device") : nullptr;
  if (symbol == nullptr) return;
  const auto current = reinterpret_cast<int (*)()>(symbol);
  hc::Device& second = hc::device("cuda:1");
  CHECK(current() == 0);
  {
    const hc::StreamScope scope(second, nullptr);
    const hc::Buffer inside(second, 100);
    CHECK(current() == 1);
  }
  CHECK(current() == 0);
  {
    const hc::Buffer buffer(second, 100);
    CHECK(current() == 0);
    second.from_host(buffer.data(), &second, 4);
    CHECK(current() == 0);
    second.free_host(second.allocate_host(100));
    CHECK(current() == 0);
  }
  CHECK(current() == 0);
}

TEST("a forked child is told, and does not hang") {
  if (absent()) return;
  cuda().synchronize();
  const pid_t child = fork();
  if (child == 0) {
    ::alarm(20);
    try {
      const hc::StreamScope scope(cuda(), nullptr);
    } catch (const hc::DeviceError& error) {
      _exit(std::strstr(error.what(), "spawn") != nullptr ? 0 : 2);
    }
    _exit(1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
