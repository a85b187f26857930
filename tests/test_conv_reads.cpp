// The index maps of convolutions: what positions read, both ways, and division by multiplication.
#include <cstdint>
#include <initializer_list>
#include <set>
#include <utility>

#include "check.hpp"
#include "math/conv_reads.hpp"
#include "math/divide.hpp"

namespace {

using namespace hesscore::math;

ConvAxis axis(int y, int kernel, int stride, int pad, int dilation, int beyond) {
  const int x = (y - 1) * stride + dilation * (kernel - 1) + 1 + beyond - pad;
  return {x, y, kernel, stride, pad, dilation};
}

// f(axis) for many of them, the kernel sometimes smaller than the stride.
template <class F>
void each_axis(F f) {
  for (int stride = 1; stride <= 6; ++stride) {
    for (int dilation = 1; dilation <= 4; ++dilation) {
      for (int kernel = 1; kernel <= 5; ++kernel) {
        for (int pad = 0; pad <= 3; ++pad) {
          for (int beyond = 0; beyond < stride; ++beyond) {
            const ConvAxis a = axis(4, kernel, stride, pad, dilation, beyond);
            if (a.x > 0) f(a);
          }
        }
      }
    }
  }
}

// (y, x) of the pairs that meet at each tap, by the definition
using Pairs = std::set<std::pair<int, std::pair<int, int>>>;
Pairs pairs(const ConvAxis& a) {
  Pairs all;
  for (int tap = 0; tap < a.kernel; ++tap) {
    for (int i = 0; i < a.y; ++i) {
      const int r = i * a.stride - a.pad + tap * a.dilation;
      if (r >= 0 && r < a.x) all.insert({tap, {i, r}});
    }
  }
  return all;
}

}  // namespace

TEST("positions of y read their patches") {
  each_axis([](const ConvAxis& a) {
    const ConvReads reads = reads_of_y(a);
    CHECK(reads.count == a.y);
    Pairs found;
    for (int u = 0; u < reads.count; ++u) {
      for (int t = 0; t < reads.taps; ++t) {
        const int from = reads.start(u) + t * reads.reach;
        const bool inside = from >= 0 && from < a.x;
        if (inside) found.insert({reads.tap(t), {reads.place(u), from}});
        const int read = read_of_y(a, reads.place(u), reads.tap(t));
        CHECK(inside ? read == from : read < 0);
      }
    }
    CHECK(found == pairs(a));
  });
}

TEST("the phases of x's positions share the taps among them") {
  each_axis([](const ConvAxis& a) {
    Pairs found;
    std::set<int> places;
    for (int phase = 0; phase < a.stride; ++phase) {
      const ConvReads reads = reads_of_x(a, phase);
      for (int u = 0; u < reads.count; ++u) {
        CHECK(places.insert(reads.place(u)).second);
        for (int t = 0; t < reads.taps; ++t) {
          CHECK(reads.tap(t) < a.kernel);
          const int from = reads.start(u) + t * reads.reach;
          if (from >= 0 && from < a.y) found.insert({reads.tap(t), {from, reads.place(u)}});
        }
      }
    }
    CHECK(static_cast<int>(places.size()) == a.x);
    CHECK(places.empty() || (*places.begin() == 0 && *places.rbegin() == a.x - 1));
    CHECK(found == pairs(a));
    for (int r = 0; r < a.x; ++r) {
      for (int tap = 0; tap < a.kernel; ++tap) {
        const int from = read_of_x(a, r, tap);
        CHECK((from >= 0) == (from < a.y && found.contains({tap, {from, r}})));
      }
    }
  });
}

TEST("division by multiplication") {
  constexpr int kMost = 2147483647;
  for (const int by : {1, 2, 3, 5, 7, 9, 25, 64, 96, 641, 4096, 65537, 1 << 30, kMost - 1, kMost}) {
    const Divider divider(by);
    for (const int n :
         {0, 1, 2, 3, by - 1, by, by / 4 * 3, 1 << 20, kMost - by, kMost - 1, kMost}) {
      CHECK(divider.divide(n) == n / by);
      int rest = n;
      CHECK(divider.split(rest) == n / by && rest == n % by);
    }
    for (std::int64_t n = by; n < kMost; n += by + std::int64_t{n} / 3) {
      const int multiple = static_cast<int>(n / by * by);
      CHECK(divider.divide(multiple) == multiple / by);
      CHECK(divider.divide(multiple - 1) == multiple / by - 1);
    }
  }
}
