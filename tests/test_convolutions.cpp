// The convolution kernels of every instruction set against plain float64 loops: odd shapes, every
// option, nothing written outside the results, and the same bits for any number of threads.
#include "conv_checks.hpp"

namespace {

using namespace conv_checks;

// Of `n` draws, those that are made where tests are: few on a device, which may be an emulated one.
int draws(int n) { return check::device().is_host() ? n : n / 5; }

}  // namespace

TEST("convolutions of random geometries") {
  check::for_product_tables([](const KernelTable& table, auto zero) {
    for (int i = 0; i < draws(60); ++i) check_all<decltype(zero)>(table, draw(Kind::plain));
  });
}

TEST("convolutions in groups") {
  check::for_product_tables([](const KernelTable& table, auto zero) {
    for (int i = 0; i < draws(20); ++i) check_all<decltype(zero)>(table, draw(Kind::grouped, 20));
    for (int i = 0; i < draws(20); ++i)
      check_all<decltype(zero)>(table, draw(Kind::by_channel, 60));
  });
}

TEST("convolutions of usual geometries") {
  check::for_product_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    check_all<T>(table, geometry(5, 28, 1, 6, 5, 2));
    check_all<T>(table, geometry(3, 14, 6, 16, 5));
    check_all<T>(table, geometry(2, 16, 16, 33, 3, 1));
    check_all<T>(table, geometry(2, 9, 20, 50, 3, 1, 2));
    check_all<T>(table, geometry(1, 7, 600, 10, 1));     // a product
    check_all<T>(table, geometry(2, 3, 300, 20, 3, 1));  // several blocks of k
    check_all<T>(table, geometry(3, 4, 1100, 5, 2));
    check_all<T>(table, geometry(19, 4, 40, 33, 3, 1));  // taps on zeros are left out
    check_all<T>(table, geometry(11, 5, 33, 40, 4, 2, 2));
    check_all<T>(table, geometry(9, 2, 530, 3, 3, 2));
    check_all<T>(table, geometry(2, 1, 5, 7, 3, 3));  // most taps on zeros
    check_all<T>(table, geometry(2, 8, 48, 48, 3, 1, 1, 48));
    check_all<T>(table, geometry(7, 1, 30, 40, 1));
  });
}

// 3x3 windows over many channels, which float32 takes to fewer multiplications.
TEST("small windows over many channels") {
  check::for_product_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    shared_errors = sizeof(T) == sizeof(float);
    for (int i = 0; i < draws(8); ++i) {
      ConvGeometry g;
      g.kh = g.kw = 3;
      g.c = 16 * (1 + upto(3)), g.o = 16 * (1 + upto(3));
      g.h = upto(9), g.w = upto(13);
      g.pad_h = static_cast<std::int64_t>(random_bits() % 4);
      g.pad_w = static_cast<std::int64_t>(random_bits() % 4);
      fit(g, static_cast<std::int64_t>(random_bits() % 4),
          static_cast<std::int64_t>(random_bits() % 4));
      g.n = 1 + 64 / ((g.oh + 1) / 2 * ((g.ow + 1) / 2)) + upto(2);
      check_map<Convolve, T>(table, g, 1 + coin());
      check_map<ConvolveTransposed, T>(table, g, 1 + coin());
      check_dual<Convolve, T>(table, g);
      check_dual<ConvolveTransposed, T>(table, g);
      check_weights<T>(table, g, 1 + coin());
      check_dual_weights<T>(table, g);
      check_epilogue<Convolve, T>(table, g, coin());
      check_epilogue<ConvolveTransposed, T>(table, g, coin());
    }
    if (check::device().is_host()) {
      check_dual<Convolve, T>(table, geometry(3, 10, 80, 64, 3, 1));  // several tasks and blocks
      check_dual_weights<T>(table, geometry(5, 8, 64, 80, 3, 1));
      check_map<ConvolveTransposed, T>(table, geometry(17, 4, 160, 96, 3, 1), 1);
    }
    shared_errors = false;
  });
}

TEST("maps of many images with few channels") {
  check::for_product_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    for (int i = 0; i < draws(40); ++i) {
      ConvGeometry g = draw(Kind::plain, 8);
      g.n = upto(40);
      check_map<Convolve, T>(table, g, coin() ? 1 : 2);
      check_map<ConvolveTransposed, T>(table, g, coin() ? 1 : 2);
      check_dual<Convolve, T>(table, g);
      check_dual<ConvolveTransposed, T>(table, g);
      check_epilogue<Convolve, T>(table, g, coin());
      check_epilogue<ConvolveTransposed, T>(table, g, coin());
    }
  });
}

TEST("weights of few channels") {
  check::for_product_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    const auto check_one = [&](const ConvGeometry& g) {
      check_weights<T>(table, g, coin() ? 1 : upto(3));
      check_dual_weights<T>(table, g);
      check_squares<T>(table, g, upto(3), coin(), coin());
    };
    for (int i = 0; i < draws(30); ++i) check_one(draw_large());
    if (!check::device().is_host()) return;
    check_one(geometry(3, 70, 3, 8, 3, 1));  // an image in several blocks
    check_one(geometry(40, 28, 1, 6, 5, 2));
  });
}

TEST("a convolution's epilogue equals the map after it") {
  check::for_product_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    for (int i = 0; i < draws(40); ++i) {
      const ConvGeometry g = draw(static_cast<Kind>(i % 3), 60);
      check_epilogue<Convolve, T>(table, g, i % 2);
      check_epilogue<ConvolveTransposed, T>(table, g, i % 2);
    }
    check_epilogue<Convolve, T>(table, geometry(3, 5, 7, 9, 1), false);
    check_epilogue<ConvolveTransposed, T>(table, geometry(3, 5, 7, 9, 1), false);
  });
}
