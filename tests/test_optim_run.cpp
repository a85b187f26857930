// Runs over a data set: order, coverage, chunks.
#include <thread>

#include "optim_problems.hpp"

TEST("an epoch in order is the steps by hand, the smaller last batch included") {
  const Problem p;
  Optimizer a(p.f, Adam{}), b(p.f, Adam{});
  Vector w = p.start(), v = p.start();
  CHECK(a.run(w, p.batch(), {.batch_size = 5, .shuffle = false}, 0, 0, 100) == 3);
  for (const auto& [first, rows] : {std::pair<std::int64_t, std::int64_t>{0, 5}, {5, 5}, {10, 2}}) {
    b.step(v, {View(p.x.as<double>() + 3 * first, DType::f64, {rows, 3}),
               View(p.y.as<double>() + 2 * first, DType::f64, {rows, 2})});
  }
  CHECK(w.to_host() == v.to_host());
}

// One-hot inputs with the summed squared error: with lr = 1 a visit takes w_i from 0 to 2 y_i.
TEST("a shuffled epoch visits every sample once, with its own label and weight") {
  constexpr std::int64_t n = 23;
  Numbers x(n * n), y(n), weights(n, 1.0);
  for (std::size_t i = 0; i < n; ++i) x[i * n + i] = 1, y[i] = static_cast<double>(i + 1);
  weights[7] = 0.25;
  const LeastSquares p(x, y, n, Reduction::sum);
  const Vector sample_weight = vector_of(weights);
  Batch batch = p.batch();
  batch.sample_weight = sample_weight;
  for (int epoch = 0; epoch < 3; ++epoch) {
    Optimizer opt(p.f, Sgd{.lr = 1});
    Vector w = vector_of(Numbers(n));
    CHECK(opt.run(w, batch, {.batch_size = 4}, epoch, 0, 100) == 6);
    const Numbers got = w.to_host();
    for (std::size_t i = 0; i < n; ++i) CHECK_CLOSE(got[i], 2 * weights[i] * y[i], 1e-12);
  }
}

TEST("orders depend on the seed and the epoch; chunks and stops do not matter") {
  const Problem p;
  const auto losses = [&](std::uint64_t seed, std::int64_t epoch, std::int64_t chunk) {
    Optimizer opt(p.f, Sgd{});
    Vector w = p.start();
    Numbers seen;
    for (std::int64_t first = 0; first < 4; first += chunk) {
      opt.run(w, p.batch(), {.batch_size = 3, .shuffle_seed = seed}, epoch, first, chunk,
              [&](const StepInfo& info) { return seen.push_back(info.loss), false; });
    }
    return seen;
  };
  const Numbers whole = losses(0, 0, 4);
  CHECK(whole.size() == 4 && whole == losses(0, 0, 1) && whole == losses(0, 0, 3));
  CHECK(whole != losses(1, 0, 4) && whole != losses(0, 1, 4));

  Optimizer opt(p.f, Sgd{});
  Vector w = p.start();
  const RunOptions options{.batch_size = 3};
  CHECK(opt.run(w, p.batch(), options, 0, 0, 9, [](const StepInfo& i) { return i.step == 2; }) ==
        2);
  CHECK(opt.run(w, p.batch(), options, 0, 4, 9) == 0);
}

TEST("dropout follows its seed and the step") {
  const Problem p(DType::f64, 0.5);
  const auto train = [&](std::uint64_t seed) {
    Optimizer opt(p.f, Sgd{});
    Vector w = p.start();
    opt.run(w, p.batch(), {.batch_size = 4, .dropout_seed = seed}, 0, 0, 9);
    return w.to_host();
  };
  CHECK(train(1) == train(1) && train(1) != train(2));
}

TEST("bad runs are told by name") {
  const Problem p;
  Optimizer opt(p.f, Sgd{});
  Vector w = p.start();
  CHECK_THROWS(OptionError, opt.run(w, p.batch(), {.batch_size = 0}, 0, 0, 1));
  CHECK_THROWS(OptionError, opt.run(w, p.batch(), {}, -1, 0, 1));
  CHECK_THROWS(OptionError, opt.run(w, p.batch(), {}, 0, -1, 1));
  CHECK_THROWS(OptionError, opt.run(w, p.batch(), {}, 0, 0, -1));
  Batch batch = p.batch();
  batch.y.shape[0] = 11;
  CHECK_THROWS(ShapeError, opt.run(w, batch, {}, 0, 0, 1));
  CHECK_THROWS(ShapeError, opt.run(w, Batch{}, {}, 0, 0, 1));
}

TEST("a call inside a run is refused, and the run goes on") {
  const Problem p;
  Optimizer opt(p.f, Adam{}), other(p.f, Adam{});
  Vector w = p.start(), v = p.start();
  const Optimizer::State fresh = opt.state();
  const auto nested = [&](const StepInfo& info) {
    CHECK_THROWS(StateError, opt.run(w, p.batch(), {.batch_size = 5}, 0, 0, 9));
    CHECK_THROWS(StateError, opt.step(w, p.batch()));
    CHECK_THROWS(StateError, opt.load_state(fresh));
    CHECK(opt.state().scalars.at("step") == static_cast<double>(info.step));
    std::thread([&] { CHECK_THROWS(StateError, opt.state()); }).join();
    return false;
  };
  CHECK(opt.run(w, p.batch(), {.batch_size = 3}, 0, 0, 9, nested) == 4);
  CHECK(other.run(v, p.batch(), {.batch_size = 3}, 0, 0, 9) == 4);
  CHECK(w.to_host() == v.to_host());
  CHECK_THROWS(ShapeError, opt.step(w, Batch{}));
  opt.load_state(fresh);
}
