// Conjugate gradients whose iterations need no host, against those that the host drives.
#include <cstdlib>

#include "curvature/curvature_operator.hpp"
#include "resident_problems.hpp"

using namespace resident;

TEST("the device takes the host's steps: every loss and matrix, shifted, preconditioned, warm") {
  on_devices([](Device& d) {
    for (const Loss& loss : losses()) {
      const Problem p(d, loss);
      const DiagonalOperator M = p.diagonal();
      const Numbers zero(static_cast<std::size_t>(p.n)), start = draw(p.n, 6);
      for (const Product kind : kProducts) {
        const auto G = p.curvature_of(kind);
        const ShiftedOperator inner(*G, 0.3, 2.0), A(inner, 0.2, 1.5);
        for (const LinearOperator* m : {static_cast<const LinearOperator*>(nullptr),
                                        static_cast<const LinearOperator*>(&M)}) {
          for (const Numbers& x0 : {zero, start}) {
            compare(A, p.b, x0, {.rtol = 0, .maxiter = 5, .preconditioner = m}, 1e-10);
          }
        }
      }
    }
  });
}

TEST("layers used twice accumulate onto the residual") {
  on_devices([](Device& d) {
    const Problem p(d, MSELoss{}, DType::f64, &shared_layers);
    const Numbers zero(static_cast<std::size_t>(p.n));
    for (const Product kind : kProducts) {
      const auto G = p.curvature_of(kind);
      compare(ShiftedOperator(*G, 1), p.b, zero, {.rtol = 0, .maxiter = 5}, 1e-11);
    }
  });
}

TEST("float32 takes them as well as it can") {
  on_devices([](Device& d) {
    const Problem p(d, CrossEntropyLoss{}, DType::f32);
    const auto G = p.curvature_of(Product::ggn);
    const DiagonalOperator M = p.diagonal();
    const ShiftedOperator A(*G, 0.5);
    const Numbers zero(static_cast<std::size_t>(p.n));
    compare(A, p.b, zero, {.rtol = 1e-4}, 1e-4);
    compare(A, p.b, zero, {.rtol = 1e-4, .preconditioner = &M}, 1e-4);
  });
}

TEST("it converges, and solves again from what it keeps, bit for bit") {
  on_devices([](Device& d) {
    const Problem p(d, MSELoss{});
    const auto G = p.curvature_of(Product::ggn);
    const ShiftedOperator A(*G, 0.1), B(*G, 3);
    const Numbers zero(static_cast<std::size_t>(p.n));
    const CgOptions options{.rtol = 1e-9};
    const Solution first = solve(A, p.b, zero, options, true);
    CHECK(first.report.status == Status::converged);
    compare(B, p.b, zero, options, 1e-8);
    const Solution again = solve(A, p.b, zero, options, true);
    CHECK(again.x == first.x && again.report.history == first.report.history);
    CHECK(again.report.message == first.report.message);
    const Solution done = solve(A, p.b, first.x, {.rtol = 1e-8}, true);
    CHECK(done.report.iterations == 0 && done.x == first.x);
  });
}

TEST("negative curvature at once gives the direction, later the last iterate") {
  on_devices([](Device& d) {
    const Problem p(d, MSELoss{});
    const Numbers zero(static_cast<std::size_t>(p.n));
    bool later = false;
    for (const Product kind : {Product::ggn, Product::hessian}) {
      const auto G = p.curvature_of(kind);
      const Solution first = compare(ShiftedOperator(*G, -100), p.b, zero, {.rtol = 1e-10}, 1e-11);
      CHECK(first.report.status == Status::negative_curvature && first.report.iterations == 1);
      CHECK(first.x == p.b.to_host());
      Vector gb = p.zeros();  // in the range of G: the shift shows only when G is nearly exhausted
      ShiftedOperator(*G, 1e-3).apply(p.b.data(), gb.data());
      for (const double shift : {-0.3, -0.1, -1e-2, -1e-3}) {
        const Solution s =
            compare(ShiftedOperator(*G, shift), gb, zero, {.rtol = 1e-10, .maxiter = 12}, 1e-6);
        later = later || (s.report.status == Status::negative_curvature && s.report.iterations > 1);
      }
    }
    CHECK(later);
  });
}

TEST("numbers that are not finite break it down at the last good iterate") {
  on_devices([](Device& d) {
    Problem p(d, MSELoss{});
    const Numbers start = draw(p.n, 6);
    const Numbers zero(static_cast<std::size_t>(p.n));
    Numbers values = p.b.to_host();
    values[3] = std::nan("");
    const auto G = p.curvature_of(Product::ggn);
    const Solution bad_b = compare(*G, on(d, values, p.dtype), zero, {}, 1e-12);
    CHECK(bad_b.report.status == Status::breakdown && bad_b.x == zero);
    values = p.w.to_host();
    values[0] = std::nan("");
    p.w.from_host(values);
    for (const Product kind : kProducts) {
      const Solution s = compare(*p.curvature_of(kind), p.b, zero, {}, 1e-12);
      CHECK(s.report.status == Status::breakdown && s.x == zero && s.report.iterations == 0);
    }
  });
}

TEST("an overflow of the residual leaves the last good iterate") {
  on_devices([](Device& d) {
    const Problem p(d, MSELoss{});
    const auto G = p.curvature_of(Product::hessian);
    const Numbers zero(static_cast<std::size_t>(p.n));
    const ShiftedOperator A(*G, 1e-3, 1e-3);
    const Solution s = compare(A, on(d, draw(p.n, 8, 1e150), p.dtype), zero, {}, 1e-6);
    CHECK(s.report.status != Status::stopped);
  });
}

TEST("a preconditioner that is not positive is a breakdown") {
  on_devices([](Device& d) {
    const Problem p(d, MSELoss{});
    const auto G = p.curvature_of(Product::ggn);
    const ShiftedOperator A(*G, 1);
    Numbers values(static_cast<std::size_t>(p.n), -1.0);
    const Numbers zero(values.size());
    const DiagonalOperator negative(on(d, values, p.dtype));
    CHECK(compare(A, p.b, zero, {.preconditioner = &negative}, 1e-12).report.status ==
          Status::breakdown);
    for (std::size_t i = 1; i < values.size(); ++i) values[i] = i % 5 == 0 ? -0.3 : 1;
    const DiagonalOperator mixed(on(d, values, p.dtype));
    compare(A, p.b, zero, {.rtol = 1e-12, .maxiter = 9, .preconditioner = &mixed}, 1e-7);
  });
}

TEST("a zero right-hand side, and one parameter") {
  on_devices([](Device& d) {
    const Problem p(d, MSELoss{});
    const auto G = p.curvature_of(Product::ggn);
    const Solution s = solve(*G, p.zeros(), draw(p.n, 6), {}, true);
    CHECK(s.report.status == Status::converged && s.report.iterations == 0);
    CHECK(s.x == Numbers(static_cast<std::size_t>(p.n)));

    GraphBuilder b;
    const Objective f(b.finish(b.linear(b.input({1}), 1, false), MSELoss{}), d, DType::f64);
    const Vector w = on(d, {2}, DType::f64), x = on(d, {1, 3}, DType::f64);
    const Batch batch{View(x.data(), DType::f64, {2, 1}), View(x.data(), DType::f64, {2, 1})};
    const auto one = ggn(f, w, batch);
    const Solution t = compare(*one, on(d, {20}, DType::f64), {0}, {.rtol = 1e-12}, 1e-8);
    CHECK(t.report.iterations == 1);
    CHECK_CLOSE(t.x[0], 2, 1e-14);  // the mean of 2 x^2 is 10
  });
}

TEST("Martens' rule and the iteration limit stop it where they stop the host") {
  on_devices([](Device& d) {
    const Problem p(d, MSELoss{});
    const auto G = p.curvature_of(Product::ggn);
    const ShiftedOperator A(*G, 1e-3);
    const Numbers zero(static_cast<std::size_t>(p.n));
    const CgOptions martens{.rtol = 0, .maxiter = 60, .stop = StopRule::martens};
    const Solution s = solve(A, p.b, zero, martens, true);
    const Solution host = solve(Plain(A), p.b, zero, martens, false);
    CHECK(s.report.status == Status::converged && s.report.iterations > 10);
    CHECK(s.report.iterations == host.report.iterations);
    check_close(s.x, host.x, 1e-7);  // the residual is rounding alone by now
    const Solution t = compare(A, p.b, zero, {.rtol = 0, .maxiter = 5}, 1e-10);
    CHECK(t.report.status == Status::max_iterations && t.report.iterations == 5);
  });
}

TEST("callbacks see the iterates that the host's see, and may stop") {
  on_devices([](Device& d) {
    const Problem p(d, MSELoss{});
    const auto G = p.curvature_of(Product::ggn);
    const ShiftedOperator A(*G, 0.1);
    const Plain plain(A);
    const Numbers zero(static_cast<std::size_t>(p.n));
    for (const int choice : {0, 1, 2, 3}) {
      std::vector<Numbers> seen[2];
      std::vector<std::int64_t> at[2];
      for (const int resident : {0, 1}) {
        std::int64_t next = 1;
        CgOptions options{.rtol = 1e-14, .maxiter = 9};
        options.callback = [&](std::int64_t i, double residual, const View& x) {
          Numbers values(static_cast<std::size_t>(p.n));
          d.to_host(values.data(), x.data, values.size() * sizeof(double));
          values.push_back(residual);
          seen[resident].push_back(std::move(values));
          at[resident].push_back(i);
          next = 2 * i;
          return choice == 3 && i == 4;
        };
        if (choice == 1) options.callback_at = [](std::int64_t i) { return i % 3 == 0; };
        if (choice == 2) options.callback_at = [&](std::int64_t i) { return i >= next; };
        const Solution s = solve(resident ? static_cast<const LinearOperator&>(A) : plain, p.b,
                                 zero, options, resident == 1);
        CHECK(s.report.status == (choice == 3 ? Status::stopped : Status::max_iterations));
        CHECK(s.report.iterations == (choice == 3 ? 4 : 9));
      }
      CHECK(at[0] == at[1] && at[0].size() == (choice == 0 ? 9u : choice == 1 ? 3u : 4u));
      for (std::size_t i = 0; i < seen[0].size(); ++i) check_close(seen[1][i], seen[0][i], 1e-10);
    }
  });
}

TEST("the device keeps the iterates that the host keeps") {
  on_devices([](Device& d) {
    for (const DType dtype : {DType::f32, DType::f64}) {
      const Problem p(d, MSELoss{}, dtype);
      const auto G = p.curvature_of(Product::ggn);
      const ShiftedOperator A(*G, 2);
      const Plain plain(A);
      CgWorkspace kept[2];
      for (const int resident : {0, 1}) {
        kept[resident].kept.rows = 3;
        for (const int solves : {1, 2}) {
          Vector x = p.zeros();
          const SolveReport report =
              cg(resident ? static_cast<const LinearOperator&>(A) : plain, p.b, x,
                 {.rtol = 0, .maxiter = 5 * solves - 1}, kept[resident], resident == 1);
          CHECK(report.iterations == 5 * solves - 1);
        }
        CHECK(kept[resident].kept.iterations == std::vector<std::int64_t>({1, 2, 3, 4, 6, 8}));
      }
      check_close(kept[1].kept.ring.to_host(), kept[0].kept.ring.to_host(),
                  dtype == DType::f32 ? 1e-5 : 1e-12);
    }
  });
}

TEST("a callback may solve with the same operator") {
  on_devices([](Device& d) {
    const Problem p(d, MSELoss{});
    const auto G = p.curvature_of(Product::ggn);
    const ShiftedOperator A(*G, 0.1);
    const Numbers zero(static_cast<std::size_t>(p.n));
    const CgOptions plain{.rtol = 1e-8};
    const Solution alone = solve(A, p.b, zero, plain, true);
    CgOptions nested = plain;
    nested.callback = [&](std::int64_t, double, const View&) {
      check_close(solve(A, p.b, zero, plain, true).x, alone.x, 1e-6);
      return false;
    };
    CHECK(solve(A, p.b, zero, nested, true).x == alone.x);
  });
}

TEST("records grow with the iterations") {
  on_devices([](Device& d) {
    if (!d.is_host()) return;  // thousands of iterations
    constexpr std::int64_t n = 60;
    GraphBuilder b;
    const Objective f(b.finish(b.linear(b.input({n}), 1, false), MSELoss{}), d, DType::f64);
    Numbers x(n * n);
    for (std::size_t k = 0; k < n; ++k) x[k * n + k] = std::pow(10, -0.2 * static_cast<double>(k));
    const Vector w = f.zeros(), in = on(d, x, DType::f64), y = on(d, draw(n, 1), DType::f64);
    const auto G =
        ggn(f, w, {View(in.data(), DType::f64, {n, n}), View(y.data(), DType::f64, {n, 1})});
    const Solution s =
        solve(*G, on(d, draw(n, 2), DType::f64), Numbers(n), {.rtol = 0, .maxiter = 10000}, true);
    CHECK(s.report.iterations > 4096);
    CHECK(s.report.history.size() == static_cast<std::size_t>(s.report.iterations) + 1);
    CHECK(s.report.model.size() == s.report.history.size());
    for (std::size_t i = 1; i < s.report.model.size(); ++i) {
      CHECK(s.report.model[i] <= s.report.model[i - 1] + 1e-6 * std::abs(s.report.model[i]));
    }
  });
}

TEST("gauss-newton takes on every device the steps it takes on the host") {
  for (const char* preconditioner : {"none", "hesscale"}) {
    std::vector<Numbers> taken;
    on_devices([&](Device& d) {
      const Problem p(d, CrossEntropyLoss{});
      Optimizer opt(p.f, GaussNewton{.cg_iterations = 12, .preconditioner = preconditioner});
      Vector w = on(d, p.w.to_host(), p.dtype);
      for (int k = 0; k < 5; ++k) CHECK(opt.step(w, p.batch).iterations > 1);
      taken.push_back(w.to_host());
    });
    for (const Numbers& w : taken) check_close(w, taken.front(), 1e-6);
  }
}

TEST("an operator that moves solves as one made there") {
  on_devices([](Device& d) {
    const Problem p(d, MSELoss{});
    const Numbers zero(static_cast<std::size_t>(p.n));
    const CgOptions options{.rtol = 1e-12, .maxiter = 8};
    for (const bool snapshot : {false, true}) {
      CurvatureOperator G(p.f, Product::ggn);
      for (int step = 0; step < 6; ++step) {
        const std::int64_t rows = step % 3 == 2 ? 2 : 3;
        const Vector w = on(d, draw(p.n, 20 + static_cast<unsigned>(step), 0.4), p.dtype);
        const std::int64_t first = step % 2 == 0 ? 0 : 3;
        const auto part = [&](const Vector& v) {
          const std::int64_t width = v.size() / kBatch;
          return View(v.as<double>() + first * width, p.dtype, {rows, width});
        };
        const Batch batch{part(p.x), part(p.y)};
        G.move_to(w, batch, {}, snapshot);
        const auto fresh = ggn(p.f, w, batch);
        const Numbers x0 = step < 3 ? zero : draw(p.n, 9);
        const Solution a = solve(ShiftedOperator(G, 0.2), p.b, x0, options, true);
        const Solution b = solve(ShiftedOperator(*fresh, 0.2), p.b, x0, options, true);
        CHECK(a.x == b.x && a.report.history == b.report.history);
        Vector u = p.zeros(), v = p.zeros();
        G.apply(p.b.data(), u.data());
        fresh->apply(p.b.data(), v.data());
        CHECK(u.to_host() == v.to_host());
      }
    }
  });
}

TEST("operators one after another leave nothing of themselves behind") {
  on_devices([](Device& d) {
    const Problem p(d, CrossEntropyLoss{});
    const Numbers zero(static_cast<std::size_t>(p.n));
    for (const Product kind : kProducts) {
      for (int k = 0; k < 4; ++k) {
        const Vector w = on(d, draw(p.n, 30 + static_cast<unsigned>(k), 0.4), p.dtype);
        const auto one = curvature(p.f, kind, w, p.batch, {}, k % 2 == 0);
        const auto beside = curvature(p.f, kind, p.w, p.batch, {}, k % 2 == 1);
        const Problem fresh(d, CrossEntropyLoss{});
        const auto other = curvature(fresh.f, kind, w, p.batch);
        const CgOptions options{.rtol = 0, .maxiter = 6};
        const Solution a = solve(ShiftedOperator(*one, 1), p.b, zero, options, true);
        const Solution b = solve(ShiftedOperator(*other, 1), p.b, zero, options, true);
        solve(ShiftedOperator(*beside, 1), p.b, zero, options, true);
        CHECK(a.x == b.x && a.report.history == b.report.history);
      }
    }
  });
}

TEST("a device without loops of its own repeats the same iterations") {
  on_devices([](Device& d) {
    const Numbers zero(static_cast<std::size_t>(Problem(d, MSELoss{}).n));
    Solution solutions[2];
    for (const int unrolled : {0, 1}) {
      setenv("HESSCORE_CUDA_UNROLL", unrolled ? "1" : "0", 1);
      const Problem p(d, MSELoss{});
      const auto G = p.curvature_of(Product::ggn);
      CgOptions options{.rtol = 0, .maxiter = 11};
      options.callback = [](std::int64_t, double, const View&) { return false; };
      options.callback_at = [](std::int64_t i) { return i == 5; };
      solutions[unrolled] = solve(ShiftedOperator(*G, 0.5), p.b, zero, options, true);
    }
    unsetenv("HESSCORE_CUDA_UNROLL");
    CHECK(solutions[0].x == solutions[1].x);
    CHECK(solutions[0].report.history == solutions[1].report.history);
  });
}
