// Products that end with an activation against the product followed by the map, on sizes that take
// every path: dot products, panels read in place and packed, transposed tiles, several blocks of k.
// The activation's result has its own array, or takes the product's place.
#include <array>

#include "epilogues.hpp"
#include "math/activations.hpp"

namespace {

using namespace hesscore::kernels;
using check::Guarded;
using hesscore::KernelTable;

struct Size {
  std::int64_t m, n, k;
};
constexpr std::array<Size, 9> kSizes{{{1, 1, 1},
                                      {5, 3, 7},
                                      {33, 10, 70},
                                      {128, 10, 256},
                                      {10, 130, 128},
                                      {127, 129, 5},
                                      {128, 256, 10},
                                      {130, 200, 600},
                                      {64, 512, 300}}};

Activation activation(hesscore::math::Act act) {
  const auto id = static_cast<std::int32_t>(act);
  return {id, hesscore::math::kActivations[id].alpha};
}

// The two paths round alike but for contractions of a multiplication and an addition.
template <class T>
void equal(const Guarded<T>& a, const Guarded<T>& b) {
  double worst = 0;
  for (std::int64_t i = 0; i < a.size(); ++i) {
    worst = std::fmax(worst, std::abs(double(a[i]) - double(b[i])) / (1 + std::abs(double(b[i]))));
  }
  CHECK(worst < (sizeof(T) == 4 ? 1e-5 : 1e-14));
}

template <class T>
void check_product(const KernelTable& table, Size s, int form, Activation act) {
  const std::int64_t mn = s.m * s.n;
  Guarded<T> a(s.m * s.k, 1), b(s.k * s.n, 2), bias(s.n, 3), x(mn, 4);
  for (const auto kind : check::single_epilogues<T>(table)) {
    for (const bool add : {false, true}) {
      Guarded<T> c(mn, 5), plain(mn, 5), y(mn, 6), z(mn, 7), place(mn, 5);
      Product::Args p{a.in(), b.in(), bias.in(), plain.out(add), s.m, s.n, s.k};
      p.trans_a = form == 1;
      p.trans_b = form == 2;
      check::run<Product, T>(table, p);
      check::finish(table, kind, act, x, plain, z);
      p.c = c.out(add);
      p.then = {kind, act, x.in(), y.out(), {}};
      check::run<Product, T>(table, p);
      equal(y, z);
      if (kind == Epilogue::value_and_slope) {
        equal(c, plain);
        continue;
      }
      p.c = place.out(add);
      p.then.y = place.out();
      check::run<Product, T>(table, p);
      equal(place, z);
    }
  }
}

template <class T>
void check_dual(const KernelTable& table, Size s, bool trans, Activation act) {
  const std::int64_t mn = s.m * s.n;
  Guarded<T> a1(s.m * s.k, 1), a2(s.m * s.k, 2), b(s.k * s.n, 3), x(mn, 4);
  for (const auto kind : {Epilogue::diagonal, Epilogue::diagonal_gauss_newton}) {
    Guarded<T> c1(mn, 5), c2(mn, 6), y1(mn, 7), y2(mn, 8), z1(mn, 9), z2(mn, 10);
    Guarded<T> place1(mn, 5), place2(mn, 6);
    DualProduct::Args p{a1.in(), a2.in(), b.in(), c1.out(), c2.out(), s.m, s.n, s.k, trans};
    p.then = {kind, act, x.in(), y1.out(), y2.out()};
    check::run<DualProduct, T>(table, p);
    const bool gauss_newton = kind == Epilogue::diagonal_gauss_newton;
    check::run<MapDiagonal, T>(
        table, {x.in(), c1.in(), c2.in(), z1.out(), z2.out(), mn, gauss_newton, act});
    equal(y1, z1);
    equal(y2, z2);
    p.c1 = p.then.y = place1.out();
    p.c2 = p.then.y2 = place2.out();
    check::run<DualProduct, T>(table, p);
    equal(place1, z1);
    equal(place2, z2);
  }
}

}  // namespace

TEST("a product's epilogue equals the map after it") {
  check::for_product_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    for (const Size s : kSizes) {
      for (int form = 0; form < 3; ++form) {
        for (const auto act : {hesscore::math::Act::tanh, hesscore::math::Act::relu}) {
          check_product<T>(table, s, form, activation(act));
        }
      }
    }
  });
}

TEST("a dual product's epilogue equals the map after it") {
  check::for_product_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    for (const Size s : kSizes) {
      for (const bool trans : {false, true}) {
        check_dual<T>(table, s, trans, activation(hesscore::math::Act::tanh));
      }
    }
  });
}
