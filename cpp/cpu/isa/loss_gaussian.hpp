// The Gaussian negative log-likelihood in (mean, log-variance), on tiles of positions.
#pragma once

#include "cpu/isa/loss_rows.hpp"

namespace hesscore::cpu::HC_ISA {

template <class T>
struct GaussianTile {
  const Tile<T>& tile;
  alignas(64) T z[2 * kLanes], y[kLanes], buffer[2 * kLanes];

  explicit GaussianTile(const Tile<T>& of) : tile(of) {
    tile.load(tile.data.z, z);
    const T* targets = static_cast<const T*>(tile.data.y) + tile.first;
    for (int i = 0; i < kLanes; ++i) y[i] = targets[i < tile.count ? i : tile.count - 1];
  }

  math::GaussianNll<T> at(int i) const { return {z[i], z[kLanes + i], y[i]}; }

  // out[copy] (+)= scale[lane] * value(loss, lane)
  template <class F>
  void emit(const Out& out, std::int64_t copy, const T* scale, F value) {
    lanes([&](int i) {
      const math::Pair<T> pair = value(at(i), i);
      buffer[i] = math::weighted(scale[i], pair.first);
      buffer[kLanes + i] = math::weighted(scale[i], pair.second);
    });
    tile.save(out, copy, buffer);
  }
};

template <class T>
double gaussian_seed(const kernels::LossSeed::Args& a) {
  using Loss = math::GaussianNll<T>;
  const LossData<T> data(a);
  return for_tiles(data, 16, [&](const Tile<T>& tile) {
    GaussianTile<T> g(tile);
    alignas(64) T loss[kLanes], root[kLanes];
    lanes([&](int i) {
      loss[i] = math::weighted(tile.k[i], g.at(i).value());
      root[i] = math::fisher_scale(data.spec, tile.k[i]);
    });
    if (a.g) g.emit(a.g, 0, tile.k, [](const Loss& l, int) { return l.gradient(); });
    if (a.h) g.emit(a.h, 0, tile.k, [](const Loss& l, int) { return l.diagonal(); });
    if (a.b) g.emit(a.b, 0, tile.k, [](const Loss& l, int) { return l.diagonal(); });
    if (a.f) g.emit(a.f, 0, root, [](const Loss& l, int) { return l.gradient(); });
    double sum = 0;
    for (int i = 0; i < tile.count; ++i) sum += static_cast<double>(loss[i]);
    return sum;
  });
}

template <class T>
void gaussian_hessian(const kernels::LossHessian::Args& a) {
  const LossData<T> data(a);
  for_tiles(data, 16 + 4 * a.reps, [&](const Tile<T>& tile) {
    GaussianTile<T> g(tile);
    for (std::int64_t r = 0; r < a.reps; ++r) {
      alignas(64) T v[2 * kLanes];
      tile.load(a.dz.as<T>() + r * data.positions() * 2, v);
      g.emit(a.dg, r, tile.k, [&](const math::GaussianNll<T>& l, int i) {
        return l.product({v[i], v[kLanes + i]});
      });
    }
    return 0.0;
  });
}

template <class T>
void gaussian_columns(const kernels::LossColumns::Args& a) {
  const LossData<T> data(a);
  const std::int64_t depth = data.spec.positions;
  for_tiles(data, 16 + 16 * a.count, [&](const Tile<T>& tile) {
    GaussianTile<T> g(tile);
    for (std::int64_t j = 0; j < a.count; ++j) {
      const std::int64_t which = (a.first + j) / depth, d = (a.first + j) % depth;
      alignas(64) T root[kLanes];
      for (int i = 0; i < kLanes; ++i) {
        root[i] = (tile.first + i) % depth == d ? std::sqrt(tile.k[i]) : T(0);
      }
      g.emit(a.out, j, root, [&](const math::GaussianNll<T>& l, int) { return l.column(which); });
    }
    return 0.0;
  });
}

template <class T>
void gaussian_sample(const kernels::LossSample::Args& a) {
  const LossData<T> data(a);
  const std::uint64_t seed = *a.clock.as<std::uint64_t>();
  const T share = 1 / static_cast<T>(a.samples);
  for_tiles(data, 16 + 16 * a.samples, [&](const Tile<T>& tile) {
    GaussianTile<T> g(tile);
    alignas(64) T root[kLanes];
    lanes([&](int i) { root[i] = std::sqrt(tile.k[i] * share); });
    for (std::int64_t s = 0; s < a.samples; ++s) {
      g.emit(a.out, s, root, [&](const math::GaussianNll<T>& l, int i) {
        return l.sample(math::label_draw(seed, s, tile.first + i));
      });
    }
    return 0.0;
  });
}

}  // namespace hesscore::cpu::HC_ISA
