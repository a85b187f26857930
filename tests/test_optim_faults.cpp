// Optimizers on a device whose copies and recordings fail now and then: what was done is counted.
#include "optim_problems.hpp"

namespace {

// Another device, which throws when the countdown ends.
class Flaky final : public Device {
 public:
  explicit Flaky(Device& d) : d_(d) {}

  int copies = -1, recordings = -1;  // this many go well; negative: all

  std::string name() const override { return d_.name(); }
  std::string description() const override { return d_.description(); }
  const KernelTable& kernels(Precision p) const override { return d_.kernels(p); }
  void* allocate(std::size_t bytes) override { return d_.allocate(bytes); }
  void free(void* p) noexcept override { d_.free(p); }
  void copy(void* to, const void* from, std::size_t bytes) override {
    count(copies);
    d_.copy(to, from, bytes);
  }
  void from_host(void* to, const void* from, std::size_t n) override { d_.from_host(to, from, n); }
  void to_host(void* to, const void* from, std::size_t n) override { d_.to_host(to, from, n); }
  void* stream() const override { return d_.stream(); }
  void synchronize() override { d_.synchronize(); }
  bool is_host() const override { return d_.is_host(); }
  void* use_stream(void* s) override { return d_.use_stream(s); }
  void lock() override { d_.lock(); }
  void unlock() override { d_.unlock(); }
  std::unique_ptr<Recording> record(const std::function<void()>& work) override {
    count(recordings);
    return d_.record(work);
  }
  bool recording() const override { return d_.recording(); }
  void clear_alarm() override { d_.clear_alarm(); }
  bool alarm() override { return d_.alarm(); }
  void* allocate_host(std::size_t bytes) override { return d_.allocate_host(bytes); }
  void free_host(void* p) noexcept override { d_.free_host(p); }
  void upload(void* to, const void* from, std::size_t n) override { d_.upload(to, from, n); }
  void wait_uploads() override { d_.wait_uploads(); }

 private:
  static void count(int& left) {
    if (left == 0) throw OutOfMemoryError("flaky");
    if (left > 0) --left;
  }
  Device& d_;
};

constexpr std::int64_t kBatches = 75;  // launched as 32 + 32 + 8 + 1 + 1 + 1
const RunOptions kOptions{
    .batch_size = 1, .shuffle = false, .steps_per_launch = kBatches, .every_step = false};

struct Run {
  Optimizer opt;
  Vector w;
  Numbers losses;

  explicit Run(const Problem& p) : opt(p.f, Adam{.lr = 0.01}), w(p.start()) {}
  void go(const Problem& p, std::int64_t epoch, std::int64_t first = 0) {
    opt.run(w, p.batch(), kOptions, epoch, first, kBatches,
            [&](const StepInfo& i) { return losses.push_back(i.loss), false; });
  }
};

}  // namespace

TEST("steps that were done before a launch failed are counted, and the run goes on") {
  for (const std::string& name : devices()) {
    if (name == "cpu") continue;
    Flaky flaky(device(name));
    check::device_now = &flaky;
    const Problem p(DType::f64, 0, kBatches);
    Run good(p);
    for (int epoch = 0; epoch < 3; ++epoch) good.go(p, epoch);

    for (int copies = 0; copies < 10; copies += 3) {
      Run run(p);
      for (int epoch = 0; epoch < 3; ++epoch) {
        flaky.copies = copies;
        run.go(p, epoch);
      }
      flaky.copies = -1;
      CHECK(run.losses == good.losses && run.w.to_host() == good.w.to_host());
      CHECK(same(run.opt.state(), good.opt.state()));
    }

    Run run(p);
    int failures = 0;
    for (std::int64_t done = 0; done < 3 * kBatches; done = std::ssize(run.losses)) {
      flaky.recordings = failures < 30 ? failures % 2 : -1;
      try {
        run.go(p, done / kBatches, done % kBatches);
      } catch (const OutOfMemoryError&) {
        ++failures;
        CHECK(run.opt.state().scalars.at("step") == static_cast<double>(run.losses.size()));
      }
    }
    CHECK(failures > 0 && failures < 30);
    CHECK(run.losses == good.losses && run.w.to_host() == good.w.to_host());
    check::device_now = nullptr;
  }
}
