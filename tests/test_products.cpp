// The product kernels of every instruction set against plain float64 loops: odd shapes, every
// option, nothing written outside the result, and the same bits for any number of threads.
#include <array>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "cpu/parallel.hpp"
#include "kernel_tables.hpp"

namespace {

using namespace hesscore;
using check::Array;
using kernels::DualProduct;
using kernels::GroupedSquare;
using kernels::Product;

std::mt19937 random_bits(7);

std::int64_t any_size() {
  static const std::int64_t special[] = {1, 2, 7, 16, 47, 48, 49, 97, 127, 128, 129};
  const unsigned draw = random_bits() % 3;
  return draw == 0 ? special[random_bits() % 11]
                   : 1 + static_cast<std::int64_t>(random_bits() % 70);
}
bool coin() { return random_bits() & 1; }

template <class T>
Array<T> normals(std::int64_t n) {
  std::normal_distribution<double> draw;
  Array<T> x(static_cast<std::size_t>(n));
  for (T& v : x) v = static_cast<T>(draw(random_bits));
  return x;
}

// An output between guard words, off the vector alignment.
template <class T>
struct Guarded {
  static constexpr std::int64_t kGuard = 67;
  Array<T> all;
  explicit Guarded(std::int64_t n) : all(normals<T>(n + 2 * kGuard)) {}
  T* data() { return all.data() + kGuard; }
  std::int64_t size() const { return static_cast<std::int64_t>(all.size()) - 2 * kGuard; }
  bool intact(const Guarded& before) const {
    const std::size_t bytes = kGuard * sizeof(T);
    const std::size_t end = all.size() - kGuard;
    return std::memcmp(all.data(), before.all.data(), bytes) == 0 &&
           std::memcmp(all.data() + end, before.all.data() + end, bytes) == 0;
  }
};

// |got - expected| against the rounding of a sum whose terms' absolute values add up to `size`.
template <class T>
bool matches(double got, double expected, double size, std::int64_t terms) {
  // operands of 11 bits: 2^-10 for a product, twice that for its square
  if (check::precision_now == Precision::tf32) return std::abs(got - expected) <= 2e-3 * size;
  const double epsilon = sizeof(T) == 4 ? 1.2e-7 : 2.3e-16;
  return std::abs(got - expected) <= epsilon * (8 + std::sqrt(double(terms)) * 4) * (size + 1e-30);
}

double power(double x, bool square) { return square ? x * x : x; }

// Runs `call(outputs)` for 1, 2 and 3 threads, or twice on a GPU, from the same start and compares
// the bits.
template <class T, class Call>
void run_threads(std::vector<Guarded<T>>& outputs, const Call& call) {
  const std::vector<Guarded<T>> start = outputs;
  const int runs = check::device().is_host() ? 3 : 2;
  for (int threads = runs; threads >= 1; --threads) {
    std::vector<Guarded<T>> mine = start;
    cpu::set_num_threads(threads);
    call(mine);
    for (std::size_t i = 0; i < mine.size(); ++i) {
      CHECK(mine[i].intact(start[i]));
      if (threads < runs) {
        CHECK(std::memcmp(mine[i].all.data(), outputs[i].all.data(),
                          mine[i].all.size() * sizeof(T)) == 0);
      }
    }
    outputs = mine;
  }
}

template <class T>
void check_product(const KernelTable& table, Product::Args p, bool with_bias, bool accumulate) {
  const std::int64_t items_a = p.stride_a ? p.batch : 1, items_b = p.stride_b ? p.batch : 1;
  const Array<T> a = normals<T>(items_a * p.m * p.k), b = normals<T>(items_b * p.k * p.n);
  const Array<T> bias = normals<T>(p.batch * p.n);
  p.a = In(a.data());
  p.b = In(b.data());
  if (with_bias) p.bias = In(bias.data());
  std::vector<Guarded<T>> c(1, Guarded<T>(p.batch * p.m * p.n));
  const std::vector<T> before(c[0].data(), c[0].data() + c[0].size());
  run_threads(c, [&](std::vector<Guarded<T>>& out) {
    p.c = Out(out[0].data(), accumulate);
    check::run<Product, T>(table, p);
  });
  std::int64_t wrong = 0;
  for (std::int64_t r = 0; r < p.batch; ++r) {
    for (std::int64_t i = 0; i < p.m; ++i) {
      for (std::int64_t j = 0; j < p.n; ++j) {
        const std::int64_t at = (r * p.m + i) * p.n + j;
        const double start = accumulate ? before[at] : 0;
        const double shift = with_bias ? bias[r * p.stride_bias + j] : 0;
        double sum = start + shift, size = std::abs(start) + std::abs(shift);
        for (std::int64_t t = 0; t < p.k; ++t) {
          const double x = a[r * p.stride_a + (p.trans_a ? t * p.m + i : i * p.k + t)];
          const double y = b[r * p.stride_b + (p.trans_b ? j * p.k + t : t * p.n + j)];
          const double term = power(x, p.square_a) * power(y, p.square_b);
          sum += term;
          size += std::abs(term);
        }
        wrong += !matches<T>(c[0].data()[at], sum, size, p.k);
      }
    }
  }
  CHECK(wrong == 0);
}

template <class T>
void check_dual(const KernelTable& table, DualProduct::Args p, bool accumulate1, bool accumulate2) {
  const Array<T> a1 = normals<T>(p.m * p.k), a2 = normals<T>(p.m * p.k);
  const Array<T> b = normals<T>(p.k * p.n);
  p.a1 = In(a1.data());
  p.a2 = In(a2.data());
  p.b = In(b.data());
  std::vector<Guarded<T>> c(2, Guarded<T>(p.m * p.n));
  const std::vector<T> before(c[0].data(), c[0].data() + c[0].size());
  run_threads(c, [&](std::vector<Guarded<T>>& out) {
    p.c1 = Out(out[0].data(), accumulate1);
    p.c2 = Out(out[1].data(), accumulate2);
    check::run<DualProduct, T>(table, p);
  });
  std::int64_t wrong = 0;
  for (int part = 0; part < 2; ++part) {
    const Array<T>& s = part ? a2 : a1;
    for (std::int64_t i = 0; i < p.m; ++i) {
      for (std::int64_t j = 0; j < p.n; ++j) {
        double sum = (part ? accumulate2 : accumulate1) ? before[i * p.n + j] : 0;
        double size = std::abs(sum);
        for (std::int64_t t = 0; t < p.k; ++t) {
          const double term =
              double(s[p.trans_a ? t * p.m + i : i * p.k + t]) * power(b[t * p.n + j], part == 1);
          sum += term;
          size += std::abs(term);
        }
        wrong += !matches<T>(c[part].data()[i * p.n + j], sum, size, p.k);
      }
    }
  }
  CHECK(wrong == 0);
}

template <class T>
void check_grouped(const KernelTable& table, GroupedSquare::Args p, bool accumulate) {
  const Array<T> a = normals<T>(p.groups * p.positions * p.m);
  const Array<T> b = normals<T>(p.groups_b * p.positions * p.n);
  p.a = In(a.data());
  p.b = In(b.data());
  std::vector<Guarded<T>> c(1, Guarded<T>(p.m * p.n));
  const std::vector<T> before(c[0].data(), c[0].data() + c[0].size());
  run_threads(c, [&](std::vector<Guarded<T>>& out) {
    p.c = Out(out[0].data(), accumulate);
    check::run<GroupedSquare, T>(table, p);
  });
  std::int64_t wrong = 0;
  for (std::int64_t i = 0; i < p.m; ++i) {
    for (std::int64_t j = 0; j < p.n; ++j) {
      double sum = 0, size = accumulate ? std::abs(before[i * p.n + j]) : 0;
      for (std::int64_t g = 0; g < p.groups; ++g) {
        double inner = 0, inner_size = 0;
        for (std::int64_t t = 0; t < p.positions; ++t) {
          const double term = double(a[(g * p.positions + t) * p.m + i]) *
                              double(b[(g % p.groups_b * p.positions + t) * p.n + j]);
          inner += term;
          inner_size += std::abs(term);
        }
        sum += inner * inner;
        size += p.scale * inner_size * inner_size;
      }
      sum = p.scale * sum + (accumulate ? double(before[i * p.n + j]) : 0);
      wrong += !matches<T>(c[0].data()[i * p.n + j], sum, size, p.groups * p.positions);
    }
  }
  CHECK(wrong == 0);
}

Product::Args product(std::int64_t m, std::int64_t n, std::int64_t k, int options) {
  Product::Args p{.m = m, .n = n, .k = k};
  p.trans_a = options & 1;
  p.trans_b = options & 2;
  p.square_a = options & 4;
  p.square_b = options & 8;
  return p;
}

void spread(Product::Args& p, std::int64_t batch) {
  p.batch = batch;
  p.stride_a = coin() ? p.m * p.k : 0;
  p.stride_b = coin() ? p.k * p.n : 0;
  p.stride_bias = coin() ? p.n : 0;
  p.stride_c = p.m * p.n;
}

TEST("products of every kind") {
  check::for_product_tables([](const KernelTable& table, auto type) {
    for (int options = 0; options < 16; ++options) {
      for (int repeat = 0; repeat < 12; ++repeat) {
        Product::Args p = product(any_size(), any_size(), any_size(), options);
        if (repeat % 2) spread(p, 1 + random_bits() % 5);
        check_product<decltype(type)>(table, p, coin(), coin());
      }
    }
  });
}

TEST("products cut into several blocks") {
  check::for_product_tables([](const KernelTable& table, auto type) {
    for (int options = 0; options < 16; options += 3) {
      check_product<decltype(type)>(table, product(131, 67, 1531, options), coin(), coin());
      check_product<decltype(type)>(table, product(67, 301, 513, options ^ 1), coin(), coin());
    }
    check_product<decltype(type)>(table, product(9, 4001, 600, 0), true, true);
    check_product<decltype(type)>(table, product(4001, 9, 600, 7), true, false);
    Product::Args p = product(33, 65, 129, 2);
    spread(p, 70);
    check_product<decltype(type)>(table, p, true, false);
  });
}

TEST("products of one row, plain, squared and dual") {
  check::for_product_tables([](const KernelTable& table, auto type) {
    using Size = std::array<std::int64_t, 2>;
    for (const auto& [n, k] : {Size{1, 1}, Size{3, 300}, Size{16, 7}, Size{509, 1}, Size{512, 6},
                               Size{1031, 517}, Size{5000, 83}}) {
      for (const int options : {0, 1, 8, 9}) {
        check_product<decltype(type)>(table, product(1, n, k, options), coin(), coin());
      }
      const DualProduct::Args dual{.m = 1, .n = n, .k = k, .trans_a = coin()};
      check_dual<decltype(type)>(table, dual, coin(), coin());
    }
  });
}

TEST("outer products of a batch, within the caches and past them") {
  check::for_product_tables([](const KernelTable& table, auto type) {
    using Size = std::array<std::int64_t, 3>;
    for (const auto& [batch, m, n] : {Size{1, 1, 1}, Size{7, 5, 3}, Size{3, 70, 131},
                                      Size{41, 20, 64}, Size{9, 1, 45}, Size{9, 511, 487}}) {
      if (m == 511 && !check::device().is_host()) continue;
      for (const bool accumulate : {false, true}) {
        Product::Args p{.m = m, .n = n, .k = 1};
        p.trans_a = m % 2 == 0;
        p.trans_b = !p.trans_a;
        p.batch = batch;
        p.stride_a = m, p.stride_b = n, p.stride_c = m * n;
        p.square_a = coin(), p.square_b = coin();
        check_product<decltype(type)>(table, p, false, accumulate);
        const DualProduct::Args dual{.m = m, .n = n, .k = 1, .trans_a = coin()};
        check_dual<decltype(type)>(table, dual, accumulate, coin());
      }
    }
  });
}

TEST("dual products") {
  check::for_product_tables([](const KernelTable& table, auto type) {
    for (int repeat = 0; repeat < 40; ++repeat) {
      DualProduct::Args p{.m = any_size(), .n = any_size(), .k = any_size()};
      p.trans_a = repeat & 1;
      check_dual<decltype(type)>(table, p, coin(), coin());
    }
    check_dual<decltype(type)>(table, {.m = 61, .n = 333, .k = 1100}, false, true);
    check_dual<decltype(type)>(table, {.m = 333, .n = 61, .k = 700, .trans_a = true}, true, false);
  });
}

TEST("grouped squares") {
  check::for_product_tables([](const KernelTable& table, auto type) {
    for (int repeat = 0; repeat < 40; ++repeat) {
      GroupedSquare::Args p;
      p.m = any_size();
      p.n = any_size();
      p.positions = repeat % 4 == 0 ? 1 : 1 + random_bits() % 20;
      p.groups_b = 1 + random_bits() % 9;
      p.groups = repeat % 5 == 0 ? 1 + random_bits() % 20 : p.groups_b * (1 + random_bits() % 3);
      p.scale = coin() ? 0.25 : 1;
      check_grouped<decltype(type)>(table, p, coin());
    }
    check_grouped<decltype(type)>(
        table, {.groups = 9, .groups_b = 9, .positions = 150, .m = 33, .n = 50}, true);
  });
}

}  // namespace
