// Trains a small network on two interleaved classes; fails unless the loss falls by a factor of
// ten.
#include <cmath>
#include <cstdio>
#include <hesscore/hesscore.hpp>
#include <vector>

namespace hc = hesscore;

int main() {
  hc::GraphBuilder b;
  const int x = b.input({2});
  const int z = b.linear(b.tanh(b.linear(x, 16)), 2);
  const hc::Objective f(b.finish(z, hc::CrossEntropyLoss{}), hc::device("cpu"), hc::DType::f32);

  std::vector<float> points;
  std::vector<std::int64_t> labels;
  for (int i = 0; i < 128; ++i) {
    const double t = i * 0.05, radius = i % 2 == 0 ? 1 : 2;
    points.push_back(static_cast<float>(radius * std::cos(t)));
    points.push_back(static_cast<float>(radius * std::sin(t)));
    labels.push_back(i % 2);
  }
  const hc::Batch batch{hc::View(points.data(), hc::DType::f32, {128, 2}),
                        hc::View(labels.data(), hc::DType::i64, {128})};

  hc::Vector w = f.init(/*seed=*/0), gradient = f.zeros(), diagonal = f.zeros();
  const double before =
      f.evaluate(w, batch, {.grad = &gradient, .diag = {hc::Diag::hesscale, &diagonal}});
  hc::Optimizer optimizer(f, hc::AdaHesScale{.lr = 0.01});
  for (int i = 0; i < 500; ++i) optimizer.step(w, batch);
  const double after = f.evaluate(w, batch);
  std::printf("loss %.4f -> %.4f\n", before, after);
  return after < 0.2 * before ? 0 : 1;
}
