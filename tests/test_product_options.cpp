// What products do besides multiplying: sums that ride along, the alarm, splits along k, terms
// there are none of.
#include <algorithm>
#include <array>

#include "kernel_tables.hpp"

using namespace hesscore;
using check::device_now;
using check::Guarded;
using check::run;
using kernels::DualProduct;
using kernels::Product;

namespace {

template <class T>
double tolerance(std::int64_t k) {
  if (check::precision_now == Precision::tf32 && sizeof(T) == 4) return 2e-3;
  return check::kTolerance<T> * std::sqrt(double(k));
}

struct Size {
  std::int64_t m, n, k, batch;
};
// Narrow ones, ones that are cut along k, ones with rests in every direction.
constexpr std::array<Size, 7> kShapes{{{1, 1, 1, 1},
                                       {10, 128, 70, 1},
                                       {10, 33, 500, 2},
                                       {65, 10, 300, 1},
                                       {33, 47, 129, 3},
                                       {64, 16, 900, 1},
                                       {128, 72, 96, 1}}};

// The largest error of y against sum(i), over the largest possible sum.
template <class T, class F>
double error(const Guarded<T>& y, std::int64_t first, std::int64_t n, double size, F sum) {
  double worst = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    worst = std::max(worst, std::abs(double(y[first + i]) - sum(i)) / size);
  }
  return worst;
}

// Weight gradients: c = a' b for each of the batch, and the sums of a.
template <class T>
void check_sum(const KernelTable& table, Size s, bool square_b, bool accumulate) {
  const std::int64_t mk = s.m * s.k, nk = s.n * s.k, gap = s.m * s.n + s.m;
  Guarded<T> a(mk * s.batch, 1), b(nk * s.batch, 2), out(gap * s.batch, 3);
  const Guarded<T> before = out;
  Product::Args p{a.in(), b.in(), {}, out.out(accumulate), s.m, s.n, s.k};
  p.trans_a = true;
  p.square_b = square_b;
  p.batch = s.batch;
  p.stride_a = mk, p.stride_b = nk, p.stride_c = p.stride_sum = gap;
  p.sum = Out(out.data() + s.m * s.n, accumulate);
  run<Product, T>(table, p);
  for (std::int64_t item = 0; item < s.batch; ++item) {
    const std::int64_t first = item * gap;
    const auto old = [&](std::int64_t i) { return accumulate ? double(before[first + i]) : 0; };
    const double size = 8.0 * double(s.k);
    CHECK(error(out, first, s.m * s.n, size, [&](std::int64_t i) {
            double sum = old(i);
            for (std::int64_t t = 0; t < s.k; ++t) {
              const double y = b[item * nk + t * s.n + i % s.n];
              sum += double(a[item * mk + t * s.m + i / s.n]) * (square_b ? y * y : y);
            }
            return sum;
          }) < tolerance<T>(s.k));
    CHECK(error(out, first + s.m * s.n, s.m, size, [&](std::int64_t i) {
            double sum = old(s.m * s.n + i);
            for (std::int64_t t = 0; t < s.k; ++t) sum += a[item * mk + t * s.m + i];
            return sum;
          }) < check::kTolerance<T> * std::sqrt(double(s.k)));
  }
}

template <class T>
void check_dual_sums(const KernelTable& table, Size s, bool first, bool second) {
  Guarded<T> a1(s.m * s.k, 1), a2(s.m * s.k, 2), b(s.n * s.k, 3);
  Guarded<T> c1(s.m * s.n, 4), c2(s.m * s.n, 5), sum1(s.m, 6), sum2(s.m, 7);
  const Guarded<T> before1 = sum1, before2 = sum2;
  DualProduct::Args p{a1.in(), a2.in(), b.in(), c1.out(), c2.out(), s.m, s.n, s.k, true};
  if (first) p.sum1 = sum1.out();
  if (second) p.sum2 = sum2.out(true);
  run<DualProduct, T>(table, p);
  const auto close = [&](const Guarded<T>& sum, const Guarded<T>& a, const Guarded<T>* start) {
    return error(sum, 0, s.m, 2.0 * double(s.k), [&](std::int64_t i) {
             double total = start ? double((*start)[i]) : 0;
             for (std::int64_t t = 0; t < s.k; ++t) total += a[t * s.m + i];
             return total;
           }) < check::kTolerance<T> * std::sqrt(double(s.k));
  };
  if (first) CHECK(close(sum1, a1, nullptr));
  if (second) CHECK(close(sum2, a2, &before2));
  if (!first) CHECK(std::equal(sum1.data(), sum1.data() + s.m, Guarded<T>(before1).data()));
}

}  // namespace

TEST("the sums of op(a) ride along with a product") {
  check::for_product_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    for (std::size_t i = 0; i < kShapes.size(); ++i) {
      check_sum<T>(table, kShapes[i], i % 2 == 1, i % 3 == 2);
      check_dual_sums<T>(table, kShapes[i], i % 3 != 2, i % 3 != 0);
    }
  });
}

TEST("a product of no terms is its bias") {
  check::for_product_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    Guarded<T> a(1, 1), b(1, 2), bias(5, 3), c(15, 4);
    if (device_now == nullptr) return;  // the CPU leaves c alone
    run<Product, T>(table, {a.in(), b.in(), bias.in(), c.out(), 3, 5, 0});
    for (std::int64_t i = 0; i < 15; ++i) CHECK(c[i] == bias[i % 5]);
  });
}

TEST("a bias may begin anywhere") {
  check::for_product_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    const std::int64_t m = 65, n = 67, k = 20, batch = 2;
    for (const std::int64_t offset : {0, 1}) {
      for (const std::int64_t stride : {std::int64_t{0}, n, n + 1}) {
        Guarded<T> a(batch * m * k, 1), b(batch * k * n, 2), c(batch * m * n, 3);
        Guarded<T> bias(offset + stride + n, 4);
        Product::Args p{a.in(), b.in(), In(bias.data() + offset), c.out(), m, n, k};
        p.batch = batch;
        p.stride_a = m * k, p.stride_b = k * n, p.stride_c = m * n, p.stride_bias = stride;
        run<Product, T>(table, p);
        CHECK(error(c, 0, batch * m * n, 8.0 * double(k), [&](std::int64_t i) {
                const std::int64_t item = i / (m * n), row = i / n, column = i % n;
                double sum = bias[offset + item * stride + column];
                for (std::int64_t t = 0; t < k; ++t) {
                  sum += double(a[row * k + t]) * double(b[(item * k + t) * n + column]);
                }
                return sum;
              }) < tolerance<T>(k));
      }
    }
  });
}

TEST("products raise the alarm where they are watched") {
  check::for_product_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    if (device_now == nullptr) return;
    const std::int64_t m = 40, n = 50, k = 300;
    for (const bool large : {false, true}) {
      for (int which = 0; which < 4; ++which) {  // c, sum, c2, y2
        Guarded<T> a(m * k, 1), a2(m * k, 2), b(k * n, 3), c(m * n, 4), c2(m * n, 5), x(m * n, 6);
        Guarded<T> y(m * n, 7), y2(m * n, 8), sum(m, 9);
        if (large) (which == 2 || which == 3 ? a2 : a)[37] = T(sizeof(T) == 4 ? 1e30 : 1e200);
        Out out[] = {c.out(), sum.out(), c2.out(), y2.out()};
        out[which].watch = true;
        device_now->clear_alarm();
        if (which < 2) {
          Product::Args p{a.in(), b.in(), {}, out[0], m, n, k, true};
          p.sum = out[1];
          run<Product, T>(table, p);
        } else {
          DualProduct::Args p{a.in(), a2.in(), b.in(), c.out(), out[2], m, n, k, true};
          p.then = {kernels::Epilogue::diagonal, {9, 0}, x.in(), y.out(), out[3]};
          run<DualProduct, T>(table, p);
        }
        CHECK(device_now->alarm() == large);
      }
    }
    device_now->clear_alarm();
  });
}
