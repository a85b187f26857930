// Kernels of steps that run behind the host's back: rows gathered, updates from a record, the
// alarm; random numbers bit for bit; arrays at any address; sums of shapes that GPUs cut up in
// other ways.
#include "kernel_tables.hpp"
#include "math/activations.hpp"
#include "math/rng.hpp"
#include "math/updates.hpp"

using namespace hesscore;
using check::Array;
using check::device_now;
using check::expect;
using check::for_tables;
using check::Guarded;
using check::kTolerance;
using check::run;

namespace {

template <class T>
Out watched(Guarded<T>& y) {
  Out out = y.out();
  out.watch = true;
  return out;
}

template <class T>
bool same(const Guarded<T>& a, const Guarded<T>& b, std::int64_t shift = 0) {
  for (std::int64_t i = 0; i < a.size() - shift; ++i) {
    if (!(a[i] == b[i + shift])) return false;
  }
  return true;
}

math::UpdateSpec update_spec(bool sgd, bool absolute) {
  math::UpdateSpec spec;
  spec.kind = sgd ? math::UpdateKind::sgd : math::UpdateKind::adam;
  spec.momentum = 0.9, spec.decay = 0.01, spec.abs_moment = absolute, spec.decoupled = absolute;
  return spec;
}

}  // namespace

TEST("gather takes rows of any size in the order of an index") {
  for_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    Array<math::StepRecord> record(1);
    record[0].first_row = 5;
    for (const std::int64_t bytes : {1, 3, 8, 12, 16, 48, 5000}) {
      for (const std::int64_t rows : {1, 7, 150}) {
        for (const std::int64_t shift : {0, 1}) {
          const std::int64_t known = rows + 11;
          Array<std::int64_t> index(static_cast<std::size_t>(known + 5));
          for (std::size_t i = 0; i < index.size(); ++i) {
            index[i] = static_cast<std::int64_t>(i * i) % known;
          }
          Array<std::uint8_t> x(static_cast<std::size_t>(known * bytes + 1)), y(x.size(), 7);
          for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<std::uint8_t>(i * 37 >> 2);
          run<kernels::Gather, T>(table, {In(x.data() + shift), In(index.data()), In(record.data()),
                                          Out(y.data() + shift), rows, bytes});
          const auto* to = y.data() + shift;
          for (std::int64_t i = 0; i < rows * bytes; ++i) {
            const std::int64_t row = index[static_cast<std::size_t>(5 + i / bytes)];
            CHECK(to[i] == x.data()[row * bytes + i % bytes + shift]);
          }
          CHECK(to[rows * bytes] == 7 && (shift == 0 || y[0] == 7));
        }
      }
    }
  });
}

TEST("an update with a record is the update of that step, and counts") {
  for_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    Array<math::StepRecord> record(1);
    record[0].lr = 0.25, record[0].correction1 = 0.2, record[0].correction2 = 0.3;
    Array<std::int64_t> count(1);
    for (const bool sgd : {false, true}) {
      for (const std::uint64_t first : {0, 1}) {
        for (const std::int64_t n : {1, 1003, 40000}) {
          record[0].first = first;
          count[0] = 7;
          const math::UpdateSpec spec = update_spec(sgd, first == 1);
          Guarded<T> w(n, 1), m(n, 2), u(n, 3), g(n, 4), d(n, 5);
          for (std::int64_t i = 0; i < n; ++i) u[i] = std::fabs(u[i]) + T(0.1);
          Guarded<T> w1(w), m1(m), u1(u);
          run<kernels::Update, T>(table, {w.out(), m.out(), u.out(), g.in(), d.in(), n, spec,
                                          In(record.data()), Out(count.data())});
          run<kernels::Update, T>(table, {w1.out(), m1.out(), u1.out(), g.in(), d.in(), n,
                                          math::at_step(spec, record[0])});
          CHECK(same(w, w1) && same(m, m1) && same(u, u1));
          CHECK(count[0] == 8);
        }
      }
    }
  });
}

TEST("while the alarm is raised, updates with a record do nothing") {
  for_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    if (device_now == nullptr) return;
    const std::int64_t n = 5000;
    Array<math::StepRecord> record(1);
    Array<std::int64_t> count(1);
    record[0].lr = 1;
    count[0] = 0;
    Guarded<T> w(n, 1), m(n, 2), u(n, 3), g(n, 4);
    for (std::int64_t i = 0; i < n; ++i) u[i] = T(1);
    const Guarded<T> w0(w), m0(m), u0(u);
    const auto update = [&](In from) {
      run<kernels::Update, T>(table, {w.out(), m.out(), u.out(), g.in(), In(), n,
                                      update_spec(false, false), from, Out(count.data())});
    };
    Guarded<T> y(1, 6);
    device_now->clear_alarm();
    run<kernels::Fill, T>(table, {watched(y), 1, double(NAN)});
    CHECK(device_now->alarm());
    update(In(record.data()));
    CHECK(same(w, w0) && same(m, m0) && same(u, u0) && count[0] == 0);
    update(In());
    CHECK(!same(w, w0) && count[0] == 1);
    device_now->clear_alarm();
    update(In(record.data()));
    CHECK(count[0] == 2);
    CHECK(!device_now->alarm());
  });
}

TEST("kernels raise the alarm for what is not moderate, if asked to watch") {
  for_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    if (device_now == nullptr) return;
    const std::int64_t rows = 3, n = 1001, all = rows * n;
    const double most = sizeof(T) == 4 ? 1e18 : 1e153;
    const std::int32_t identity = static_cast<std::int32_t>(math::Act::relu);
    Guarded<T> ones(all, 1), x(all, 2), y(all, 3);
    const auto raised = [&](double value, bool watch) {
      for (std::int64_t i = 0; i < all; ++i) ones[i] = 1, x[i] = 1;
      x[n - 1] = T(value);
      const auto out = [&] { return watch ? watched(y) : y.out(); };
      int count = 0;
      const auto note = [&] {
        count += device_now->alarm() ? 1 : 0;
        device_now->clear_alarm();
      };
      device_now->clear_alarm();
      run<kernels::Copy, T>(table, {x.in(), out(), rows, n, n, n}), note();
      run<kernels::Multiply, T>(table, {x.in(), ones.in(), out(), n, rows, true, true}), note();
      run<kernels::MapForward, T>(table, {x.in(), out(), all, {identity}}), note();
      run<kernels::MapTangent, T>(table, {ones.in(), x.in(), out(), n, rows, {identity}}), note();
      run<kernels::MultiplySum, T>(table, {x.in(), ones.in(), out(), n, rows}), note();
      run<kernels::ColumnSum, T>(table, {x.in(), out(), all, 1, 1}), note();
      return count;
    };
    CHECK(raised(0.5 * most, true) == 0);
    CHECK(raised(2 * most, true) == 6);
    CHECK(raised(HUGE_VAL, true) == 6);
    CHECK(raised(double(NAN), true) == 6);
    CHECK(raised(double(NAN), false) == 0);
  });
}

TEST("dropout's factors are those of math/rng.hpp, bit for bit") {
  for_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    Array<std::uint64_t> clock(2);
    clock[0] = 17, clock[1] = 1ull << 40;
    const math::DropoutRule<T> rule(0.3, false);
    for (const std::int64_t n : {3, 1024, 4097}) {
      const std::int64_t reps = 3;
      Guarded<T> x(reps * n, 1), y(reps * n, 2);
      run<kernels::Dropout, T>(table, {x.in(), In(clock.data()), y.out(), n, reps, 0.3, 9});
      for (std::int64_t i = 0; i < reps * n; ++i) {
        const math::Random r = math::dropout_words(17, 1ull << 40, 9, i % n / 4);
        const std::uint32_t words[] = {r.a, r.b, r.c, r.d};
        CHECK(y[i] == x[i] * rule(words[i % n % 4]));
      }
    }
  });
}

TEST("results do not depend on where arrays lie") {
  for_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    const std::int64_t n = 1000, reps = 4, all = n * reps;
    const kernels::Activation act{static_cast<std::int32_t>(math::Act::gelu)};
    Guarded<T> a(all, 1), b(all, 2), c(all, 3), d(all, 4);
    Guarded<T> a1(all + 1, 0), b1(all + 1, 0), c1(all + 1, 0), d1(all + 1, 0);
    for (std::int64_t i = 0; i < all; ++i) {
      a1[i + 1] = a[i], b1[i + 1] = b[i], c1[i + 1] = c[i], d1[i + 1] = d[i];
    }
    const In a_in[] = {a.in(), In(a1.data() + 1)}, b_in[] = {b.in(), In(b1.data() + 1)};
    const In d_in[] = {d.in(), In(d1.data() + 1)};
    const Out c_out[] = {Out(c.data(), true), Out(c1.data() + 1, true)};
    double dots[2] = {};
    for (const int k : {0, 1}) {
      run<kernels::MapSecond, T>(table,
                                 {a_in[k], b_in[k], a_in[k], d_in[k], c_out[k], n, reps, act});
      run<kernels::MapTangent, T>(table, {a_in[k], b_in[k], c_out[k], n, reps, act});
      run<kernels::Multiply, T>(table, {a_in[k], b_in[k], c_out[k], n, reps, false, true, true});
      run<kernels::Copy, T>(table, {a_in[k], c_out[k], reps - 1, n - 4, n, n + 4, 0.3});
      run<kernels::SquareSum, T>(table, {a_in[k], c_out[k], n, reps, 0.3});
      run<kernels::MultiplySum, T>(table, {a_in[k], b_in[k], c_out[k], 8, 500, 0.3});
      run<kernels::ColumnSum, T>(table, {a_in[k], c_out[k], 50, 5, 8, true, 0.3, 2, 2000, 8});
      run<kernels::Axpby, T>(table, {b_in[k], c_out[k], all, 0.3, 0.7});
      run<kernels::Dot, T>(table, {a_in[k], c_out[k], all, &dots[k]});
    }
    CHECK(same(c, c1, 1));
    CHECK(dots[0] == dots[1] && dots[0] != 0);
  });
}

TEST("sums over few and many rows and columns") {
  for_tables([](const KernelTable& table, auto zero) {
    using T = decltype(zero);
    const std::int64_t shapes[][3] = {
        // groups, positions, columns
        {40, 300, 7}, {5000, 1, 64}, {3, 1, 9000}, {1, 700, 1}, {2, 2, 2048}, {700, 9, 20}};
    for (const auto& [groups, positions, columns] : shapes) {
      for (const bool square : {false, true}) {
        Guarded<T> x(groups * positions * columns, 1), y(columns, 2), again(columns, 3);
        const Guarded<T> y0(y);
        for (Guarded<T>* to : {&y, &again}) {
          run<kernels::ColumnSum, T>(table,
                                     {x.in(), to->out(), groups, positions, columns, square, 0.5});
        }
        CHECK(same(y, again));
        std::vector<double> sums(static_cast<std::size_t>(columns)), sizes(sums);
        for (std::int64_t j = 0; j < columns; ++j) {
          double sum = 0, size = 0;
          for (std::int64_t g = 0; g < groups; ++g) {
            double row = 0;
            for (std::int64_t t = 0; t < positions; ++t)
              row += x[(g * positions + t) * columns + j];
            sum += square ? row * row : row;
          }
          for (std::int64_t i = j; i < x.size(); i += columns) size += std::fabs(double(x[i]));
          sums[static_cast<std::size_t>(j)] = 0.5 * sum, sizes[static_cast<std::size_t>(j)] = size;
        }
        for (std::int64_t j = 0; j < columns; ++j) {
          const auto k = static_cast<std::size_t>(j);
          CHECK(std::fabs(double(y[j]) - sums[k]) <= kTolerance<T> * (1 + sizes[k]));
        }
      }
    }
    const std::int64_t samples = 9, rows = 5, m = 300, size = rows * m;
    Guarded<T> u(samples * size, 1), dz(size, 2), out(size, 3);
    const Guarded<T> out0(out);
    run<kernels::RowProject, T>(table, {u.in(), dz.in(), out.out(true), samples, rows, m, 1});
    expect("row_project", out, out0, true, 1000 * kTolerance<T>, [&](auto i) {
      double sum = 0;
      for (std::int64_t s = 0; s < samples; ++s) {
        double along = 0;
        for (std::int64_t j = i / m * m; j < i / m * m + m; ++j) {
          along += double(u[s * size + j]) * double(dz[j]);
        }
        sum += double(u[s * size + i]) * along;
      }
      return sum;
    });
  });
}
