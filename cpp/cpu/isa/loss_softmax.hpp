// Softmax cross-entropy on tiles of positions.
#pragma once

#include "cpu/isa/loss_rows.hpp"

namespace hesscore::cpu::HC_ISA {

// Probabilities and targets of a tile. An ignored position has targets and omega zero; a label that
// is no class makes them NaN, so that it shows.
template <class T>
struct Softmax {
  const Tile<T>& tile;
  std::int64_t classes;
  T *shifted, *p, *t, *buffer;  // z - max; probabilities; targets; free
  alignas(64) T log_sum[kLanes], omega[kLanes], sum[kLanes], weight[kLanes];

  explicit Softmax(const Tile<T>& of) : tile(of), classes(of.classes) {
    const std::int64_t size = classes * kLanes;
    shifted = static_cast<T*>(scratch(10, 4 * size * std::int64_t{sizeof(T)}));
    p = shifted + size, t = p + size, buffer = t + size;
    tile.load(tile.data.z, shifted);
    normalise();
    if (tile.data.spec.soft) {
      soft_targets();
    } else {
      label_targets();
    }
    lanes([&](int i) { weight[i] = omega[i] == 0 ? T(0) : tile.k[i]; });
  }

  T shift(std::int64_t c, int i) const { return shifted[c * kLanes + i]; }
  T probability(std::int64_t c, int i) const { return p[c * kLanes + i]; }
  T target(std::int64_t c, int i) const { return t[c * kLanes + i]; }

 private:
  void normalise() {
    alignas(64) T top[kLanes], r[kLanes];
    lanes([&](int i) { top[i] = shifted[i], sum[i] = 0; });
    for (std::int64_t c = 1; c < classes; ++c) {
      lanes([&](int i) { top[i] = shift(c, i) > top[i] ? shift(c, i) : top[i]; });
    }
    for (std::int64_t c = 0; c < classes; ++c) {
      lanes([&](int i) {
        const T s = shift(c, i) - top[i], e = math::exp(s);
        shifted[c * kLanes + i] = s;
        p[c * kLanes + i] = e;
        sum[i] += e;
      });
    }
    lanes([&](int i) { log_sum[i] = math::log(sum[i]), r[i] = 1 / sum[i]; });
    for (std::int64_t c = 0; c < classes; ++c) lanes([&](int i) { p[c * kLanes + i] *= r[i]; });
  }

  T class_weight(std::int64_t c) const {
    return tile.data.class_weight == nullptr ? T(1) : tile.data.class_weight[c];
  }

  void soft_targets() {
    const T smoothing = T(tile.data.spec.label_smoothing), all = T(classes);
    tile.load(static_cast<const T*>(tile.data.y), t);
    lanes([&](int i) { omega[i] = 0; });
    for (std::int64_t c = 0; c < classes; ++c) {
      const T w = class_weight(c);
      lanes([&](int i) {
        const T value = math::CrossEntropy::target(w, target(c, i), smoothing, all);
        t[c * kLanes + i] = value;
        omega[i] += value;
      });
    }
  }

  void label_targets() {
    const math::LossSpec& spec = tile.data.spec;
    const auto* y = static_cast<const std::int64_t*>(tile.data.y) + tile.first;
    const T smoothing = T(spec.label_smoothing), all = T(classes);
    alignas(64) T label[kLanes], live[kLanes];
    for (int i = 0; i < kLanes; ++i) {
      const std::int64_t c = y[i < tile.count ? i : tile.count - 1];
      label[i] = static_cast<T>(c);
      live[i] = spec.has_ignore && c == spec.ignore_index ? T(0)
                                                          : (c >= 0 && c < classes ? T(1) : T(NAN));
      omega[i] = 0;
    }
    for (std::int64_t c = 0; c < classes; ++c) {
      const T w = class_weight(c), index = static_cast<T>(c);
      lanes([&](int i) {
        const T share = label[i] == index ? T(1) : T(0);
        const T value = live[i] * math::CrossEntropy::target(w, share, smoothing, all);
        t[c * kLanes + i] = value;
        omega[i] += value;
      });
    }
  }
};

template <class T>
double softmax_seed(const kernels::LossSeed::Args& a) {
  using math::weighted;
  using Rule = math::CrossEntropy;
  const LossData<T> data(a);
  return for_tiles(data, 4 * data.spec.classes, [&](const Tile<T>& tile) {
    const Softmax<T> s(tile);
    const T* k = s.weight;
    alignas(64) T loss[kLanes] = {}, root[kLanes];
    lanes([&](int i) { root[i] = math::fisher_scale(data.spec, k[i]); });
    const auto slope = [&](std::int64_t c, int i) {
      return Rule::gradient(s.omega[i], s.probability(c, i), s.target(c, i));
    };
    if (a.g) {
      tile.emit(a.g, 0, s.buffer, [&](auto c, int i) { return weighted(k[i], slope(c, i)); });
    }
    if (a.h) {
      tile.emit(a.h, 0, s.buffer, [&](auto c, int i) {
        return weighted(k[i], Rule::diagonal(s.omega[i], s.probability(c, i)));
      });
    }
    if (a.b) {
      tile.emit(a.b, 0, s.buffer, [&](auto c, int i) {
        return weighted(k[i], Rule::bl89(s.target(c, i), s.probability(c, i)));
      });
    }
    if (a.f) {
      tile.emit(a.f, 0, s.buffer, [&](auto c, int i) { return weighted(root[i], slope(c, i)); });
    }
    for (std::int64_t c = 0; c < s.classes; ++c) {
      lanes([&](int i) { loss[i] += Rule::value(s.target(c, i), s.log_sum[i] - s.shift(c, i)); });
    }
    double sum = 0;
    for (int i = 0; i < tile.count; ++i) sum += static_cast<double>(weighted(k[i], loss[i]));
    return sum;
  });
}

template <class T>
void softmax_hessian(const kernels::LossHessian::Args& a) {
  const LossData<T> data(a);
  const std::int64_t classes = data.spec.classes, all = data.positions() * classes;
  for_tiles(data, (2 + 2 * a.reps) * classes, [&](const Tile<T>& tile) {
    const Softmax<T> s(tile);
    for (std::int64_t r = 0; r < a.reps; ++r) {
      T* v = s.buffer;
      tile.load(a.dz.as<T>() + r * all, v);
      alignas(64) T along[kLanes] = {};
      for (std::int64_t c = 0; c < classes; ++c) {
        lanes([&](int i) { along[i] += s.probability(c, i) * v[c * kLanes + i]; });
      }
      tile.emit(a.dg, r, v, [&](auto c, int i) {
        return math::weighted(s.weight[i],
                              math::CrossEntropy::product(s.omega[i], s.probability(c, i),
                                                          v[c * kLanes + i], along[i]));
      });
    }
    return 0.0;
  });
}

template <class T>
void softmax_columns(const kernels::LossColumns::Args& a) {
  const LossData<T> data(a);
  const std::int64_t classes = data.spec.classes, depth = data.spec.positions;
  for_tiles(data, (2 + a.count) * classes, [&](const Tile<T>& tile) {
    const Softmax<T> s(tile);
    alignas(64) T tail[kLanes] = {}, root[kLanes], pivot[kLanes];
    const std::int64_t last = (a.first + a.count - 1) / depth;
    for (std::int64_t c = classes - 1; c > last; --c) {
      lanes([&](int i) { tail[i] += s.probability(c, i); });
    }
    // backwards, as the tails grow
    for (std::int64_t j = a.count - 1, tail_of = last; j >= 0; --j) {
      const std::int64_t which = (a.first + j) / depth, d = (a.first + j) % depth;
      if (which < tail_of) lanes([&](int i) { tail[i] += s.probability(tail_of, i); });
      tail_of = which;
      for (int i = 0; i < kLanes; ++i) {
        root[i] = (tile.first + i) % depth == d ? std::sqrt(s.weight[i]) : T(0);
        pivot[i] = math::CrossEntropy::pivot(s.omega[i], s.probability(which, i), tail[i]);
      }
      tile.emit(a.out, j, s.buffer, [&](auto c, int i) {
        const T below = math::CrossEntropy::below(pivot[i], s.probability(c, i), tail[i]);
        return math::weighted(root[i], c < which ? T(0) : (c == which ? pivot[i] : below));
      });
    }
    return 0.0;
  });
}

template <class T>
void softmax_sample(const kernels::LossSample::Args& a) {
  const LossData<T> data(a);
  const std::int64_t classes = data.spec.classes;
  const std::uint64_t seed = *a.clock.as<std::uint64_t>();
  const T share = 1 / static_cast<T>(a.samples);
  for_tiles(data, (2 + 2 * a.samples) * classes, [&](const Tile<T>& tile) {
    const Softmax<T> s(tile);
    for (std::int64_t j = 0; j < a.samples; ++j) {
      alignas(64) T level[kLanes], passed[kLanes] = {}, label[kLanes] = {}, root[kLanes];
      lanes([&](int i) {
        const math::Random random = math::label_draw(seed, j, tile.first + i);
        level[i] = math::uniform<T>(random.a, random.b);
        root[i] = std::sqrt(s.weight[i] * share);
      });
      // The label is the number of classes whose cumulative probability does not exceed the level.
      for (std::int64_t c = 0; c + 1 < classes; ++c) {
        lanes([&](int i) {
          passed[i] += s.probability(c, i);
          label[i] += passed[i] <= level[i] ? T(1) : T(0);
        });
      }
      tile.emit(a.out, j, s.buffer, [&](auto c, int i) {
        const T hit = label[i] == static_cast<T>(c) ? T(1) : T(0);
        return math::weighted(root[i],
                              math::CrossEntropy::sample(s.omega[i], s.probability(c, i), hit));
      });
    }
    return 0.0;
  });
}

}  // namespace hesscore::cpu::HC_ISA
