// Softmax cross-entropy: a position's probabilities and targets, and the kernel that walks over
// all positions.
#pragma once

#include "loss.cuh"
#include "loss_rows.cuh"

namespace hesscore::cuda {

// A position as a lane sees it. An ignored position has targets and omega zero; a label that is no
// class makes them NaN, so that it shows.
template <class T, class Logits>
class Softmax {
 public:
  using Team = typename Logits::Threads;

  const LossData<T>& data;
  std::int64_t q, d, base;  // the position, its place in the sample, its first logit's in z
  T omega, weight, log_sum;

  // Lanes beyond the last position look at it, too, for the sake of their warp.
  __device__ Softmax(const LossData<T>& all, const Team& team, std::int64_t position)
      : data(all),
        q(position < all.positions() ? position : all.positions() - 1),
        d(q - all.sample_of(q) * all.spec.positions),
        base(all.sample_of(q) * all.spec.classes * all.spec.positions + d),
        team_(team),
        present_(q == position),
        logits_(all.z + base, all.spec.positions, team) {
    const T k = all.weight(q);
    if (!all.spec.soft) read_label();
    const T sum = team.sum(logits_.normalise(top_));
    log_sum = math::log(sum);
    over_sum_ = 1 / sum;
    omega = T(0);
    each([&](std::int64_t c, T, T) { omega += target(c); });
    omega = team.sum(omega);
    weight = omega == 0 ? T(0) : k;
  }

  __device__ std::int64_t index(std::int64_t c) const { return base + c * data.spec.positions; }

  // f(class, z - top, p) for this lane's classes
  template <class F>
  __device__ void each(F f) const {
    logits_.each([&](std::int64_t c, T z) {
      if (present_ && c < team_.end) f(c, z - top_, probability_of(z));
    });
  }
  __device__ T target(std::int64_t c) const {
    const math::LossSpec& s = data.spec;
    const T w = data.class_weight == nullptr ? T(1) : data.class_weight[c];
    const T share = s.soft ? static_cast<const T*>(data.y)[index(c)] : T(c == label_);
    return known_ * math::CrossEntropy::target(w, share, static_cast<T>(s.label_smoothing),
                                               static_cast<T>(s.classes));
  }
  __device__ T probability(std::int64_t c) const { return probability_of(data.z[index(c)]); }

  template <class V>
  __device__ V sum(V x) const {
    return team_.sum(x);
  }

  // A class drawn by its probability: the number of those whose cumulative probability does not
  // exceed the level.
  __device__ std::int64_t draw(T level) const {
    T mass = T(0);
    if constexpr (Team::kBlock) each([&](std::int64_t, T, T p) { mass += p; });
    T passed = team_.sum_before(mass);
    int label = 0;
    logits_.each([&](std::int64_t c, T z) {
      const T up_to = passed + team_.scan(c < team_.end ? probability_of(z) : T(0));
      label += c + 1 < data.spec.classes && c < team_.end && up_to <= level;
      passed = team_.of_last(up_to);
    });
    return team_.sum(label);
  }

 private:
  const Team& team_;
  bool present_;
  Logits logits_;
  std::int64_t label_ = 0;
  T known_ = T(1), top_, over_sum_;

  __device__ T probability_of(T z) const { return math::exp(z - top_) * over_sum_; }
  __device__ void read_label() {
    const math::LossSpec& s = data.spec;
    label_ = static_cast<const std::int64_t*>(data.y)[q];
    const bool ignored = s.has_ignore && label_ == s.ignore_index;
    known_ = ignored ? T(0) : (label_ >= 0 && label_ < s.classes ? T(1) : T(NAN));
  }
};

// body(row) for every position, by all threads that share it, then body.finish()
template <class T, class Logits, class Body>
__global__ void __launch_bounds__(Logits::kThreads)
    softmax_kernel(LossData<T> data, RowLayout layout, int rows, Body body) {
  const typename Logits::Threads team(layout, data.spec.classes);
  const std::int64_t stride = std::int64_t{gridDim.x} * rows, all = data.positions();
  for (std::int64_t first = std::int64_t{blockIdx.x} * rows; first < all; first += stride) {
    body(Softmax<T, Logits>(data, team, first + team.row));
  }
  body.finish();
}

template <class Logits, class T, class Body>
void launch_softmax(const Context& ctx, const LossData<T>& data, RowLayout layout,
                    std::int64_t copies, const Body& body) {
  const int warps = Logits::Threads::kBlock ? 1 : Logits::kThreads / static_cast<int>(kWarp);
  const int rows = warps * (static_cast<int>(kWarp) / layout.width);
  const dim3 grid = loss_grid(ctx, data.positions(), rows, copies, 2048 / Logits::kThreads);
  launch(ctx, &softmax_kernel<T, Logits, Body>, grid, Logits::kThreads, 0, data, layout, rows,
         body);
}

// Where classes are far apart in memory, few lanes for each position: then they read whole sectors.
template <class T, class Body>
void for_softmax(const Context& ctx, const LossData<T>& data, std::int64_t copies,
                 const Body& body) {
  const std::int64_t classes = data.spec.classes;
  const bool by_position = data.spec.positions >= 8;
  const auto layout = [&](std::int64_t for_each_lane) {
    int width = 1;
    while (width * for_each_lane < classes) width *= 2;
    return RowLayout{width, by_position};
  };
  if (classes <= 32 && !by_position) {
    launch_softmax<Held<T, 1, 1>>(ctx, data, layout(1), copies, body);
  } else if (classes <= (by_position ? 32 : 256)) {
    launch_softmax<Held<T, 8, 1>>(ctx, data, layout(8), copies, body);
  } else if (classes <= 1024) {
    launch_softmax<Held<T, 8, 4>>(ctx, data, layout(8 * 4), copies, body);
  } else {
    const RowLayout whole{by_position ? 4 : 32, by_position};
    launch_softmax<Streamed<T>>(ctx, data, whole, copies, body);
  }
}

}  // namespace hesscore::cuda
