// Clipping and the mean of w in steps that a device takes by itself.
#include "backend/algebra.hpp"
#include "optim_device_problems.hpp"

TEST("steps by the device are clipped, and their mean is kept") {
  on_devices([](Device& device) {
    const Classification p(device, DType::f32, net(0));
    const Algebra algebra(device, DType::f32);
    for (const StepOptions& options : {kByNorm, kByValue}) {
      const Vector w = p.start(), v = p.start();
      Vector g = p.f.zeros();
      Optimizer device_takes(p.f, Sgd{.lr = 0.1}, options);
      Vector mean = p.f.zeros();
      for (int t = 1; t <= 5; ++t) {
        p.f.evaluate(v, p.data(), {.grad = &g}, {.train = true});
        const double norm = algebra.norm(g.data(), g.size());
        Numbers x = v.to_host(), slope = g.to_host(), average = mean.to_host();
        bool clipped = false;
        for (std::size_t i = 0; i < x.size(); ++i) {
          double part = slope[i];
          if (options.clip_norm > 0) part *= std::min(1.0, options.clip_norm / norm);
          if (options.clip_value > 0)
            part = std::clamp(part, -options.clip_value, options.clip_value);
          clipped = clipped || part != slope[i];
          x[i] -= 0.1 * part;
          average[i] = t == 1 ? x[i] : 0.75 * average[i] + 0.25 * x[i];
        }
        CHECK(clipped);
        device_takes.step(w, p.data());
        const Numbers got = w.to_host(), kept = device_takes.ema().to_host();
        for (std::size_t i = 0; i < x.size(); ++i) {
          CHECK_CLOSE(got[i], x[i], 1e-6);
          CHECK_CLOSE(kept[i], average[i], 1e-6);
        }
        algebra.copy(w.data(), v.data(), v.size());
        mean = device_takes.ema();
      }
    }
  });
}

TEST("a gradient whose norm overflows is not clipped by it") {
  on_devices([](Device& device) {
    Classification p(device, DType::f64, linear_net());
    Numbers large = p.host_x.to_host();
    large[3 * kBatch * kWidth] = 1e160;
    p.x.from_host(large);
    Optimizer opt(p.f, Sgd{.lr = 1e-3}, kByNorm);
    const Vector w = p.start(), v = p.start();
    CHECK_THROWS(NonFiniteError, opt.run(w, p.data(), in_order(32), 0, 0, 99));
    Optimizer careful(p.f, Sgd{.lr = 1e-3}, kByNorm);
    for (int i = 0; i < 3; ++i) careful.step(v, p.batch(i * kBatch, kBatch));
    CHECK(w.to_host() == v.to_host() && same(opt.state(), careful.state()));
  });
}
