// The arena and the phases of a plan.
#include <random>

#include "check.hpp"
#include "plan/plan.hpp"

namespace {

namespace hc = hesscore;
using hc::Slot;

struct PlusOne {  // y = x + 1, one element
  struct Args {
    hc::In x;
    hc::Out y;
    auto operands() const { return std::tie(x, y); }
  };
  static constexpr std::string_view name = "plus_one";
};

void plus_one(void*, const PlusOne::Args& a) { *a.y.as<double>() = *a.x.as<double>() + 1; }

hc::KernelTable table() {
  hc::KernelTable t;
  t.add<PlusOne>(hc::DType::f64, plus_one);
  return t;
}

}  // namespace

TEST("slots that live together never overlap, and dead memory is used again") {
  std::mt19937 random(3);
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<Slot> slots;
    const int n = 1 + static_cast<int>(random() % 40);
    std::int64_t sum = 0;
    for (int i = 0; i < n; ++i) {
      Slot s{Slot::temporary, static_cast<std::int64_t>(1 + random() % 500), 8};
      s.first = static_cast<int>(random() % 60);
      s.last = s.first + static_cast<int>(random() % 8);
      sum += (s.elements * 8 + 63) / 64 * 64;
      slots.push_back(s);
    }
    std::int64_t total = 0;
    const auto at = hc::pack_arena(slots, 1, &total);
    CHECK(total <= sum);
    for (std::size_t i = 0; i < slots.size(); ++i) {
      CHECK(at[i] % 64 == 0 && at[i] + slots[i].elements * 8 <= total);
      for (std::size_t j = 0; j < i; ++j) {
        const bool together = slots[i].first <= slots[j].last && slots[j].first <= slots[i].last;
        const bool overlap =
            at[i] < at[j] + slots[j].elements * 8 && at[j] < at[i] + slots[i].elements * 8;
        CHECK(!(together && overlap));
      }
    }
  }
}

TEST("a chain of temporaries needs two of them") {
  std::vector<Slot> slots;
  for (int i = 0; i < 10; ++i) {
    Slot s{Slot::temporary, 100, 8};
    s.first = i;
    s.last = i + 1;
    slots.push_back(s);
  }
  std::int64_t total = 0;
  hc::pack_arena(slots, 1, &total);
  CHECK(total == 2 * 832);
}

TEST("a later phase runs again on what an earlier one left") {
  const hc::KernelTable kernels = table();
  hc::Emit e(kernels, hc::DType::f64);
  const hc::Operand a = e.external(hc::kPortV), out = e.external(hc::kPortOut);
  const hc::Operand kept = e.temporary(1), scratch = e.temporary(1);
  e.call<PlusOne>({a, kept});
  e.next_phase();
  e.call<PlusOne>({kept, scratch});
  e.call<PlusOne>({scratch, out});
  hc::Plan plan(std::move(e), hc::device("cpu"));
  double x = 1, y = 0, z = 0;
  plan.bind(hc::kPortV, &x);
  plan.bind(hc::kPortOut, &y);
  plan.run_phase(0);
  for (int i = 0; i < 3; ++i) plan.run_phase(1);
  CHECK(y == 4);
  plan.bind(hc::kPortOut, &z);  // arrays may move between runs
  plan.run_phase(1);
  CHECK(z == 4);
}

TEST("constants are there, whatever runs before") {
  const hc::KernelTable kernels = table();
  hc::Emit e(kernels, hc::DType::f64);
  const hc::Operand out = e.external(hc::kPortOut);
  const hc::Operand t = e.temporary(1), c = e.constant({41});
  e.call<PlusOne>({c, t});
  e.call<PlusOne>({c, out});
  hc::Plan plan(std::move(e), hc::device("cpu"));
  double y = 0;
  plan.bind(hc::kPortOut, &y);
  plan.run();
  plan.run();
  CHECK(y == 42);
}

TEST("a kernel that the device lacks is refused when the plan is made") {
  const hc::KernelTable kernels = table();
  hc::Emit e(kernels, hc::DType::f32);
  CHECK_THROWS(hc::UnsupportedError, (e.call<PlusOne>({e.temporary(1), e.temporary(1)}), 0));
}
