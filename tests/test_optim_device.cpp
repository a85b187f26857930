// Optimizers on devices that take many steps by themselves: they are bitwise those taken one by
// one, a failing step is told and undone exactly, and data may come from the host.
#include <cstring>

#include "backend/algebra.hpp"
#include "optim_device_problems.hpp"

TEST("steps launched together are those taken one by one, bit for bit") {
  on_devices([](Device& device) {
    for (const DType dtype : {DType::f32, DType::f64}) {
      const Classification p(device, dtype);
      for (const Method& method : element_wise_methods()) {
        if (dtype == DType::f64 && !std::holds_alternative<AdaHesScale>(method)) continue;
        for (const StepOptions& options : {StepOptions{}, kByNorm, kByValue}) {
          Optimizer single(p.f, method, options), together(p.f, method, options);
          const Vector w = p.start(), v = p.start();
          Reports seen;
          Numbers losses;
          for (int epoch = 0; epoch < 2; ++epoch) {
            for (const double loss : p.epoch_by_steps(single, w)) losses.push_back(loss);
            CHECK(together.run(v, p.data(), in_order(40), epoch, 0, 99, std::ref(seen)) == 36);
          }
          CHECK(seen.losses == losses && seen.steps.back() == 72);
          CHECK(v.to_host() == w.to_host() && same(together.state(), single.state()));
        }
      }
    }
  });
}

TEST("a step by the device is an evaluation and an update") {
  on_devices([](Device& device) {
    const Classification p(device, DType::f32, net(0));
    const Algebra algebra(device, DType::f32);
    const Vector w = p.start(), v = p.start(), m = p.f.zeros(), u = p.f.zeros();
    Vector g = p.f.zeros(), d = p.f.zeros();
    Optimizer opt(p.f, AdaHesScale{.lr = 0.01});
    math::UpdateSpec spec{.kind = math::UpdateKind::adam, .lr = 0.01};
    for (int t = 1; t <= 3; ++t) {
      const double loss =
          p.f.evaluate(v, p.data(), {.grad = &g, .diag = {Diag::hesscale, &d}}, {.train = true});
      spec.correction1 = 1 - std::pow(spec.beta1, t);
      spec.correction2 = 1 - std::pow(spec.beta2, t);
      spec.first = t == 1;
      algebra.update(spec,
                     {.w = v.data(), .m = m.data(), .u = u.data(), .g = g.data(), .d = d.data()},
                     v.size());
      CHECK(opt.step(w, p.data()).loss == loss);
      CHECK(w.to_host() == v.to_host());
    }
  });
}

TEST("shuffled runs do not depend on how they are launched, nor on where the data lie") {
  on_devices([](Device& device) {
    const Classification p(device, DType::f32), elsewhere(device, DType::f32);
    const auto train = [&](std::int64_t steps_per_launch, bool move, bool host) {
      Optimizer opt(p.f, AdaHesScale{.lr = 0.01});
      const Vector w = p.start();
      RunOptions options{.batch_size = kBatch, .shuffle_seed = 5, .dropout_seed = 7};
      options.steps_per_launch = steps_per_launch;
      options.host_data = host;
      for (int epoch = 0; epoch < 3; ++epoch) {
        const Classification& from = move && epoch == 1 ? elsewhere : p;
        opt.run(w, host ? from.host_data() : from.data(), options, epoch, 0, 99);
      }
      return w.to_host();
    };
    const Numbers expected = train(1, false, false);
    CHECK(train(40, false, false) == expected);
    CHECK(train(0, true, false) == expected);
    CHECK(train(20, true, true) == expected);
    CHECK(train(1, false, true) == expected);
  });
}

TEST("data in host memory come in chunks") {
  on_devices([](Device& device) {
    const Classification p(device, DType::f64, net(0), 150);
    const auto train = [&](const Method& method, std::int64_t steps, bool shuffle, bool host) {
      Optimizer opt(p.f, method);
      const Vector w = p.start();
      const RunOptions options{.batch_size = 1, .shuffle = shuffle, .host_data = host};
      for (int epoch = 0; epoch < 2; ++epoch) {
        opt.run(w, host ? p.host_data() : p.data(), options, epoch, 0, steps);
      }
      return w.to_host();
    };
    for (const bool shuffle : {false, true}) {
      const Method sgd = Sgd{.lr = 0.1}, newton = GaussNewton{.cg_iterations = 2};
      CHECK(train(sgd, 140, shuffle, true) == train(sgd, 140, shuffle, false));
      CHECK(train(newton, 3, shuffle, true) == train(newton, 3, shuffle, false));
    }
  });
}

TEST("a step that fails among many is told, and w is that of the steps before it") {
  on_devices([](Device& device) {
    for (const Method& method : {Method(Sgd{.lr = 0.1, .momentum = 0.9}), Method(AdaHessian{}),
                                 Method(AdaHesScale{.lr = 0.01})}) {
      Classification p(device, DType::f32);
      Numbers poisoned = p.host_x.to_host();
      poisoned[4 * kBatch * kWidth + 2] = kInf;  // of the fifth batch
      p.x.from_host(poisoned);
      Optimizer opt(p.f, method), careful(p.f, method);
      const Vector w = p.start(), v = p.start();
      for (int i = 0; i < 4; ++i) careful.step(v, p.batch(i * kBatch, kBatch));
      Reports seen;
      try {
        opt.run(w, p.data(), in_order(32), 0, 0, 99, std::ref(seen));
        CHECK(false);
      } catch (const NonFiniteError& error) {
        CHECK(std::strstr(error.what(), "in step 5;") != nullptr);
      }
      CHECK(seen.steps == std::vector<std::int64_t>({1, 2, 3, 4}));
      CHECK(w.to_host() == v.to_host() && same(opt.state(), careful.state()));
      CHECK_THROWS(NonFiniteError, careful.step(v, p.batch(4 * kBatch, kBatch)));
      CHECK(w.to_host() == v.to_host());

      p.epoch_by_steps(careful, v, 5);
      CHECK(opt.run(w, p.data(), in_order(32), 0, 5, 99) == 31);
      CHECK(w.to_host() == v.to_host() && same(opt.state(), careful.state()));
    }
  });
}

TEST("large but finite numbers are taken with care, and change nothing else") {
  on_devices([](Device& device) {
    Classification p(device, DType::f32, linear_net());
    Numbers large = p.host_x.to_host();
    large[7 * kBatch * kWidth] = 1e25;
    p.x.from_host(large);
    Optimizer a(p.f, Sgd{.lr = 1e-30, .momentum = 0.9}), b(p.f, Sgd{.lr = 1e-30, .momentum = 0.9});
    const Vector w = p.start(), v = p.start();
    CHECK(a.run(w, p.data(), in_order(32), 0, 0, 99) == 36);
    p.epoch_by_steps(b, v);
    CHECK(w.to_host() == v.to_host() && same(a.state(), b.state()));
  });
}

TEST("updates that overflow and schedules that fail do so at their step") {
  on_devices([](Device& device) {
    const Classification p(device, DType::f32);
    const auto check_at = [&](double rate, auto told) {
      const Rate schedule([&](std::int64_t k) { return k == 6 ? rate : 0.1 / (1.0 + double(k)); });
      Optimizer opt(p.f, Adam{.lr = schedule}), careful(p.f, Adam{.lr = schedule});
      const Vector w = p.start(), v = p.start();
      for (int i = 0; i < 6; ++i) careful.step(v, p.batch(i * kBatch, kBatch));
      Reports seen;
      CHECK_THROWS(decltype(told), opt.run(w, p.data(), in_order(32), 0, 0, 99, std::ref(seen)));
      CHECK(seen.steps.size() == 6 && w.to_host() == v.to_host());
      CHECK(same(opt.state(), careful.state()));
    };
    check_at(1e39, NonFiniteError(""));
    check_at(kNaN, OptionError(""));
  });
}

TEST("a schedule that is interrupted ahead of its step stops the run there") {
  on_devices([](Device& device) {
    const Classification p(device, DType::f32);
    int calls = 0;
    const Rate interrupted([&](std::int64_t k) {
      if (k == 6 && calls++ == 0) throw std::runtime_error("interrupted");
      return 0.1;
    });
    Optimizer opt(p.f, Adam{.lr = interrupted}), careful(p.f, Adam{.lr = 0.1});
    const Vector w = p.start(), v = p.start();
    Reports seen;
    CHECK_THROWS(std::runtime_error, opt.run(w, p.data(), in_order(32), 0, 0, 99, std::ref(seen)));
    for (int i = 0; i < 6; ++i) careful.step(v, p.batch(i * kBatch, kBatch));
    CHECK(seen.steps.size() == 6 && w.to_host() == v.to_host());
    CHECK(opt.run(w, p.data(), in_order(32), 0, 6, 99) == 30);
  });
}

TEST("a stop counts after its step, or after its launch") {
  on_devices([](Device& device) {
    const Classification p(device);
    Optimizer opt(p.f, Sgd{}), other(p.f, Sgd{});
    const Vector w = p.start(), v = p.start();
    RunOptions options = in_order(8);
    options.every_step = true;
    CHECK(opt.run(w, p.data(), options, 0, 0, 99, [](const StepInfo& i) { return i.step == 3; }) ==
          3);
    options.every_step = false;
    CHECK(opt.run(w, p.data(), options, 0, 3, 99, [](const StepInfo& i) { return i.step == 5; }) ==
          8);
    for (int i = 0; i < 11; ++i) other.step(v, p.batch(i * kBatch, kBatch));
    CHECK(w.to_host() == v.to_host());
    options.steps_per_launch = -1;
    CHECK_THROWS(OptionError, opt.run(w, p.data(), options, 0, 0, 1));
  });
}

TEST("a saved state goes on bit for bit, and labels out of range are told") {
  on_devices([](Device& device) {
    Classification p(device);
    Optimizer whole(p.f, AdaHessian{.lr = 0.02}), first(p.f, AdaHessian{.lr = 0.02}),
        second(p.f, AdaHessian{.lr = 0.02});
    const Vector w = p.start(), v = p.start();
    const RunOptions options{.batch_size = kBatch, .dropout_seed = 3, .steps_per_launch = 32};
    for (int epoch = 0; epoch < 2; ++epoch) whole.run(w, p.data(), options, epoch, 0, 99);
    first.run(v, p.data(), options, 0, 0, 99);
    second.load_state(first.state());
    first.load_state(second.state());  // its vectors have moved
    const Vector u = p.moved(v);
    first.run(u, p.data(), options, 1, 0, 99);
    second.run(v, p.data(), options, 1, 0, 99);
    CHECK(v.to_host() == w.to_host() && u.to_host() == w.to_host());
    CHECK(same(second.state(), whole.state()) && same(first.state(), whole.state()));

    p.labels[9] = 4;
    device.from_host(p.y.data(), p.labels.data(), p.y.bytes());
    CHECK_THROWS(LabelError, first.step(u, p.data()));
    CHECK(u.to_host() == w.to_host());
  });
}

TEST("gauss_newton runs over device data as it steps") {
  on_devices([](Device& device) {
    const Classification p(device, DType::f64, net(0), 12);
    Optimizer a(p.f, GaussNewton{.cg_iterations = 4}), b(p.f, GaussNewton{.cg_iterations = 4});
    const Vector w = p.start(), v = p.start();
    CHECK(a.run(w, p.data(), in_order(0), 0, 0, 99) == 3);
    p.epoch_by_steps(b, v);
    CHECK(w.to_host() == v.to_host());
  });
}
