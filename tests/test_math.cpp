// The formulas of cpp/math: derivatives against differences, float against double, published
// vectors.
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "check.hpp"
#include "math/activations.hpp"
#include "math/losses.hpp"
#include "math/rng.hpp"
#include "math/updates.hpp"

namespace m = hesscore::math;

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// |a - r| in units of the last place of r in float32.
double ulp(float a, double r) {
  const float f = static_cast<float>(r);
  if (std::isnan(r)) return std::isnan(a) ? 0 : kInf;
  if (std::isinf(f)) return a == f ? 0 : kInf;
  int exponent;
  std::frexp(std::fmax(std::fabs(f), 1.17549435e-38f), &exponent);
  return std::fabs(a - r) / std::ldexp(1.0, exponent - 24);
}

template <class F, class G>
double max_ulp(F approx, G exact, double low, double high) {
  double worst = 0;
  for (int i = 0; i <= 200000; ++i) {
    const float x = static_cast<float>(low + (high - low) * i / 200000);
    worst = std::fmax(worst, ulp(approx(x), exact(static_cast<double>(x))));
  }
  return worst;
}

// The same over all exponents and both signs, infinities and NaN included.
template <class F, class G>
double max_ulp_everywhere(F approx, G exact) {
  double worst = 0;
  for (std::uint64_t b = 0; b < (std::uint64_t{1} << 32); b += 99991) {
    float x;
    const auto word = static_cast<std::uint32_t>(b);
    std::memcpy(&x, &word, sizeof x);
    worst = std::fmax(worst, ulp(approx(x), exact(static_cast<double>(x))));
  }
  for (const double x : {0.0, -0.0, 1.0, -1.0, kInf, -kInf, kNan}) {
    worst = std::fmax(worst, ulp(approx(static_cast<float>(x)), exact(x)));
  }
  return worst;
}

template <class F>
void for_activations(F f) {
  for (std::int32_t id = 0; id < m::kActivationCount; ++id) {
    m::dispatch(id, [&](auto act) { f(act, m::kActivations[id]); });
  }
}

bool near_kink(double x) {
  for (const double kink : {-3.0, -1.0, 0.0, 1.0, 3.0, 6.0}) {
    if (std::fabs(x - kink) < 1e-3) return true;
  }
  return false;
}

}  // namespace

TEST("exp, log, tanh and others in float are within 2 ulp") {
  const auto check = [](auto approx, auto exact, double low, double high) {
    CHECK(max_ulp(approx, exact, low, high) < 2);
    CHECK(max_ulp_everywhere(approx, exact) < 2);
  };
  check([](float x) { return m::exp(x); }, [](double x) { return std::exp(x); }, -104, 89);
  check([](float x) { return m::expm1(x); }, [](double x) { return std::expm1(x); }, -20, 89);
  check([](float x) { return m::log(x); }, [](double x) { return std::log(x); }, 0.1, 4);
  check([](float x) { return m::log1p(x); }, [](double x) { return std::log1p(x); }, -0.999, 4);
  check([](float x) { return m::tanh(x); }, [](double x) { return std::tanh(x); }, -10, 10);
}

TEST("powers in float are good to |y log x| ulp") {
  for (const float y : {0.f, 0.25f, 0.7f, 1.f, -2.f}) {
    for (float x = 1e-15f; x < 1e15f; x *= 3.7f) {
      const double exact = std::pow(static_cast<double>(x), static_cast<double>(y));
      CHECK(ulp(m::power(x, y), exact) < 4 + std::fabs(y * std::log(x)));
    }
  }
  CHECK(m::power(0.f, 0.3f) < 1e-11f && m::power(0.f, 0.f) == 1);
  CHECK(std::isnan(m::power(NAN, 0.5f)));
}

TEST("sine and cosine in float are within 2 ulp, and bounded far away") {
  CHECK(max_ulp([](float x) { return m::sin_cos(x).sin; }, [](double x) { return std::sin(x); }, -9,
                9) < 2);
  CHECK(max_ulp([](float x) { return m::sin_cos(x).cos; }, [](double x) { return std::cos(x); },
                -1e4, 1e4) < 2);
  for (const float x : {1e9f, -3e20f, 3e38f}) {
    CHECK(std::fabs(m::sin_cos(x).sin) <= 1 && std::fabs(m::sin_cos(x).cos) <= 1);
  }
  CHECK(std::isnan(m::sin_cos(HUGE_VALF).sin) && std::isnan(m::sin_cos(NAN).cos));
}

TEST("the normal distribution in float is accurate in its tails") {
  const auto cdf = [](float x) { return m::twice_normal(x).cdf; };
  const auto pdf = [](float x) { return m::twice_normal(x).pdf; };
  const auto exact_cdf = [](double x) { return m::twice_normal(x).cdf; };
  const auto exact_pdf = [](double x) { return m::twice_normal(x).pdf; };
  CHECK(max_ulp(cdf, exact_cdf, -12.5, 12.5) < 6);
  CHECK(max_ulp(pdf, exact_pdf, -12.5, 12.5) < 3);
  CHECK(max_ulp_everywhere(cdf, exact_cdf) < 6);
  CHECK_CLOSE(m::twice_normal(1.0).cdf, 2 * 0.84134474606854293, 2e-15);
}

TEST("f' and f'' are the derivatives of f") {
  for_activations([](auto act, const m::ActivationInfo& info) {
    using A = decltype(act);
    for (const double alpha : {info.alpha, 0.3}) {
      for (double x = -7.013; x < 7; x += 0.0371) {
        if (near_kink(x)) continue;
        const double h = 1e-5;
        const m::Jet<double> at = A::at(x, alpha);
        const m::Jet<double> up = A::at(x + h, alpha), down = A::at(x - h, alpha);
        const double d = (up.f - down.f) / (2 * h), dd = (up.d - down.d) / (2 * h);
        if (!check::close(at.d, d, 1e-8) || !check::close(at.dd, dd, 1e-8)) {
          check::fail(info.name, static_cast<int>(x), "derivatives");
        }
      }
    }
  });
}

TEST("float activations agree with double ones") {
  for_activations([](auto act, const m::ActivationInfo& info) {
    using A = decltype(act);
    for (float x = -20; x < 20; x += 0.0137f) {
      const m::Jet<float> a = A::at(x, static_cast<float>(info.alpha));
      const m::Jet<double> b = A::at(static_cast<double>(x), info.alpha);
      if (!check::close(a.f, b.f, 1e-6) || !check::close(a.d, b.d, 2e-6) ||
          !check::close(a.dd, b.dd, 2e-6)) {
        check::fail(info.name, static_cast<int>(x), "float and double differ");
      }
    }
  });
}

TEST("activations stay finite at +-1e4 and pass NaN on") {
  for_activations([](auto act, const m::ActivationInfo& info) {
    using A = decltype(act);
    const auto finite = [&](auto x) {
      const auto j = A::at(x, static_cast<decltype(x)>(info.alpha));
      return std::isfinite(j.f) && std::isfinite(j.d) && std::isfinite(j.dd);
    };
    for (const double x : {-1e4, -100.0, -1e-30, 0.0, 1e-30, 88.0, 100.0, 1e4}) {
      if (std::strcmp(info.name, "exp") == 0 && x > 80) continue;
      if (!finite(x) || !finite(static_cast<float>(x))) {
        check::fail(info.name, static_cast<int>(x), "not finite");
      }
    }
    const m::Jet<float> n = A::at(NAN, 1.f);
    const m::Jet<double> w = A::at(kNan, 1.0);
    if (!std::isnan(n.f) || !std::isnan(n.d) || !std::isnan(n.dd) || !std::isnan(w.f) ||
        !std::isnan(w.d) || !std::isnan(w.dd)) {
      check::fail(info.name, 0, "NaN is lost");
    }
  });
}

TEST("kinks take the outer piece") {
  CHECK(m::Relu::at(0.0, 0.0).d == 0);
  CHECK(m::LeakyRelu::at(0.0, 0.01).d == 0.01);
  CHECK(m::Elu::at(0.0, 2.0).d == 2 && m::Elu::at(0.0, 2.0).dd == 2);
  CHECK(m::Relu6::at(0.0, 0.0).d == 0 && m::Relu6::at(6.0, 0.0).d == 0);
  CHECK(m::Hardtanh::at(-1.0, 0.0).d == 0 && m::Hardtanh::at(1.0, 0.0).d == 0);
  CHECK(m::Hardswish::at(-3.0, 0.0).d == 0 && m::Hardswish::at(3.0, 0.0).d == 1);
}

TEST("activations at known points") {
  CHECK_CLOSE(m::Gelu::at(1.0, 0.0).f, 0.84134474606854293, 1e-15);
  CHECK_CLOSE(m::GeluTanh::at(1.0, 0.0).f, 0.84119199060827590, 1e-14);
  CHECK_CLOSE(m::Mish::at(1.0, 0.0).f, 0.86509838826731034, 1e-14);
  CHECK_CLOSE(m::Selu::at(-1.0, 0.0).f, -1.1113307378125625, 1e-14);
  CHECK_CLOSE(m::Hardswish::at(1.0, 0.0).f, 2.0 / 3, 1e-15);
  CHECK_CLOSE(m::LogSigmoid::at(-1e4, 0.0).f, -1e4, 1e-15);
}

TEST("Philox gives the published vectors") {
  const auto is = [](const m::Random& r, std::uint32_t a, std::uint32_t b, std::uint32_t c,
                     std::uint32_t d) { return r.a == a && r.b == b && r.c == c && r.d == d; };
  const std::uint64_t ones = ~std::uint64_t{0};
  CHECK(is(m::philox(0, 0, 0), 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8));
  CHECK(is(m::philox(ones, ones, ones), 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd));
  CHECK(is(m::philox(0x299f31d0a4093822, 0x85a308d3243f6a88, 0x0370734413198a2e), 0xd16cfe09,
           0x94fdcceb, 0x5001e420, 0x24126ea1));
}

TEST("uniform and normal numbers have their moments") {
  const int n = 200000;
  double u1 = 0, u2 = 0, g1 = 0, g2 = 0, g4 = 0;
  for (int i = 0; i < n; ++i) {
    const m::Random r = m::philox(7, static_cast<std::uint64_t>(i), 0);
    const double u = m::uniform<double>(r.a, r.b), g = m::standard_normal<double>(r);
    CHECK(u >= 0 && u < 1);
    u1 += u, u2 += u * u, g1 += g, g2 += g * g, g4 += g * g * g * g;
  }
  const double five = 5 / std::sqrt(n);
  CHECK(std::fabs(u1 / n - 0.5) < five * std::sqrt(1.0 / 12));
  CHECK(std::fabs(u2 / n - 1.0 / 3) < five * std::sqrt(4.0 / 45));
  CHECK(std::fabs(g1 / n) < five);
  CHECK(std::fabs(g2 / n - 1) < five * std::sqrt(2.0));
  CHECK(std::fabs(g4 / n - 3) < five * std::sqrt(96.0));
  CHECK(m::uniform<float>(0xffffffff, 0) < 1 && m::uniform<double>(0xffffffff, 0xffffffff) < 1);
}

TEST("element-wise losses: derivatives, and deviates with the second moment l''") {
  for (const m::LossKind kind : {m::LossKind::mse, m::LossKind::bce_with_logits,
                                 m::LossKind::poisson_nll, m::LossKind::huber}) {
    m::dispatch_element_loss(kind, [&](auto rule) {
      using Rule = decltype(rule);
      for (const double y : {0.0, 1.0, 0.3}) {
        for (double z = -3.05; z < 3; z += 0.31) {
          const double p = 1.7, h = 1e-5;
          const m::Jet<double> at = Rule::at(z, y, p);
          const m::Jet<double> up = Rule::at(z + h, y, p), down = Rule::at(z - h, y, p);
          CHECK_CLOSE(at.d, (up.f - down.f) / (2 * h), 1e-8);
          CHECK_CLOSE(at.dd, (up.d - down.d) / (2 * h), 1e-8);
        }
        double second = 0, fourth = 0;
        const int n = 20000;
        const double z = 0.4, curvature = Rule::at(z, y, 1.7).dd;
        for (int i = 0; i < n; ++i) {
          const double u = Rule::deviate(z, y, 1.7, m::label_draw(5, 2, i));
          second += u * u, fourth += u * u * u * u;
        }
        const double mean = second / n,
                     error = std::sqrt(std::fmax(0, fourth / n - mean * mean) / n);
        CHECK(std::fabs(mean - curvature) <= 5 * error + 1e-12);
      }
    });
  }
}

TEST("element-wise losses at logits of +-1e4") {
  CHECK(m::BinaryCrossEntropy::at(1e4, 1.0, 2.0).f == 0);
  CHECK(m::BinaryCrossEntropy::at(-1e4, 1.0, 2.0).f == 2e4);
  CHECK(m::BinaryCrossEntropy::at(1e4f, 0.f, 2.f).f == 1e4f);
  CHECK(m::BinaryCrossEntropy::at(1e4f, 0.f, 2.f).d == 1);
  CHECK(m::Huber::at(-1e4, 0.0, 0.5).f == 0.5 * (1e4 - 0.25));
  CHECK(m::PoissonNll::at(-1e4, 1.0, 0.0).f == 1e4);
}

TEST("the Gaussian NLL: derivatives, signed columns, samples") {
  for (const double mean : {-2.0, 0.5, 0.50001, 1.3, 40.0}) {
    for (const double s : {-1.5, 0.0, 2.0}) {
      const double y = 0.5, h = 1e-5;
      const auto at = [&](double a, double b) { return m::GaussianNll<double>(a, b, y); };
      const m::GaussianNll<double> l = at(mean, s);
      const double scale = std::fmax(1, l.r * l.r * l.precision);
      const auto close = [&](double a, double b) { CHECK_CLOSE(a / scale, b / scale, 1e-8); };
      close(l.gradient().first, (at(mean + h, s).value() - at(mean - h, s).value()) / (2 * h));
      close(l.gradient().second, (at(mean, s + h).value() - at(mean, s - h).value()) / (2 * h));
      const m::Pair<double> x = l.product({1, 0}), t = l.product({0, 1});
      const m::Pair<double> up = at(mean + h, s).gradient(), down = at(mean - h, s).gradient();
      const m::Pair<double> more = at(mean, s + h).gradient(), less = at(mean, s - h).gradient();
      close(x.first, (up.first - down.first) / (2 * h));
      close(x.second, (up.second - down.second) / (2 * h));
      close(t.first, (more.first - less.first) / (2 * h));
      close(t.second, (more.second - less.second) / (2 * h));
      CHECK(l.diagonal().first == x.first);
      CHECK_CLOSE(l.diagonal().second / scale, t.second / scale, 1e-15);
      const m::Pair<double> p = l.column(0), q = l.column(1);
      close(p.first * p.first - q.first * q.first, x.first);
      close(p.first * p.second - q.first * q.second, x.second);
      close(p.second * p.second - q.second * q.second, t.second);
    }
  }
  double a = 0, b = 0, c = 0;
  const int n = 100000;
  const m::GaussianNll<double> l(1.0, 0.6, 0.2);
  for (int i = 0; i < n; ++i) {
    const m::Pair<double> u = l.sample(m::label_draw(1, 0, i));
    a += u.first * u.first / n, b += u.first * u.second / n, c += u.second * u.second / n;
  }
  CHECK(std::fabs(a - l.precision) < 5 * std::sqrt(2.0 / n) * l.precision);
  CHECK(std::fabs(b) < 5 * std::sqrt(10.0 * l.precision / 4 / n));
  CHECK(std::fabs(c - 0.5) < 5 * std::sqrt(15.0 / 4 / n));  // E (1 - e^2)^4 / 16 = 60 / 16
}

TEST("cross-entropy at one position") {
  using Rule = m::CrossEntropy;
  const int n = 4;
  const double z[n] = {0.3, -1.2, 2.0, 0.1}, w[n] = {1, 2, 0.5, 1.5}, q[n] = {0.2, 0.5, 0, 0.3};
  double p[n], t[n], omega = 0, sum = 0;
  for (int c = 0; c < n; ++c) sum += std::exp(z[c]);
  for (int c = 0; c < n; ++c) {
    p[c] = std::exp(z[c]) / sum;
    t[c] = Rule::target(w[c], q[c], 0.1, 4.0);
    CHECK_CLOSE(t[c], w[c] * (0.9 * q[c] + 0.025), 1e-15);
    omega += t[c];
  }
  for (int i = 0; i < n; ++i) {
    double along = p[i], columns = 0, samples = 0, tail = 1;  // v = e_i
    for (int c = 0; c < n; ++c) {
      tail = c + 1 < n ? tail - p[c] : 0;
      const double pivot = Rule::pivot(omega, p[c], tail);
      const double s = c < i ? Rule::below(pivot, p[i], tail) : pivot * (c == i);
      const double u = Rule::sample(omega, p[i], c == i ? 1.0 : 0.0);
      columns += s * s, samples += p[c] * u * u;
    }
    const double h = Rule::product(omega, p[i], 1.0, along);
    CHECK_CLOSE(h, omega * p[i] * (1 - p[i]), 1e-15);
    CHECK_CLOSE(h, Rule::diagonal(omega, p[i]), 1e-15);
    CHECK_CLOSE(h, columns, 1e-15);
    CHECK_CLOSE(h, samples, 1e-15);
  }
}

TEST("updates follow their definitions") {
  m::UpdateSpec s;
  s.lr = 0.1, s.momentum = 0.9, s.decay = 0.01, s.nesterov = true;
  double w = 1, v = 0.5, u = 0.25;
  m::Sgd<double>(s).step(w, v, 2.0);
  CHECK_CLOSE(v, 0.9 * 0.5 + 2.01, 1e-15);
  CHECK_CLOSE(w, 1 - 0.1 * (2.01 + 0.9 * v), 1e-15);
  s.first = true;
  m::Sgd<double>(s).step(w, v, 3.0);
  CHECK(v > 3 && v < 3.1);

  s = {.kind = m::UpdateKind::adam, .lr = 0.1, .decay = 0.01, .eps = 0.5};
  s.correction1 = 0.1, s.correction2 = 0.001, s.decoupled = true;
  w = 1, v = 0.5, u = 0.25;
  const double d = -3;
  m::Adam<double, m::Root::half>(s).step(w, v, u, 2.0, &d);
  CHECK_CLOSE(v, 0.9 * 0.5 + 0.1 * 2, 1e-15);
  CHECK_CLOSE(u, 0.999 * 0.25 + 0.001 * 9, 1e-15);
  CHECK_CLOSE(w, 1 - 0.1 * 0.01 - 0.1 * (v / 0.1) / (std::sqrt(u / 0.001) + 0.5), 1e-14);

  s.abs_moment = true, s.power = 0.6, s.decoupled = false;
  CHECK(m::root_of(s) == m::Root::general);
  w = 1, v = 0.5, u = 0.25;
  m::Adam<double, m::Root::general>(s).step(w, v, u, 2.0, nullptr);
  CHECK_CLOSE(u, 0.999 * 0.25 + 0.001 * 2.01, 1e-15);
  CHECK_CLOSE(w, 1 - 0.1 * (v / 0.1) / (std::pow(u / 0.001, 0.6) + 0.5), 1e-14);
  s.power = 1;
  CHECK(m::root_of(s) == m::Root::one);
}
