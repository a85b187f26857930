// The passes of math/norms.hpp over arrays. They run over segments: some columns, each with its own
// statistics, where the channels of a group are few; else channels of one group, which share them.
// Sums are accumulated in double.
#pragma once

#include <algorithm>
#include <array>

#include "cpu/isa/elementwise.hpp"
#include "math/norms.hpp"

namespace hesscore::cpu::HC_ISA {

constexpr std::int64_t kNormBlock = 256;  // most columns of a segment
constexpr std::int64_t kLongGroup = 32;   // channels that are worth segments of their own
constexpr std::int64_t kNormWork = 2 * kGrain;

// A number that is the same for all columns.
template <class T>
struct Same {
  T value;
  T operator[](std::int64_t) const { return value; }
};

template <class T, class S, int kMeans>
struct NormSegment {
  const T *x, *w, *dw, *b, *in[3];
  S high, low, r, m[kMeans > 0 ? kMeans : 1];

  math::NormPoint<T> at(std::int64_t j) const {
    return {((x[j] - high[j]) - low[j]) * r[j], r[j], w[j], dw[j], b[j],
            {in[0][j], in[1][j], in[2][j]}};
  }
};

template <class T>
inline const T* many(bool ones) {
  struct Constants {
    alignas(64) T values[2][kNormBlock];
    Constants() {
      std::fill_n(values[0], kNormBlock, T(0));
      std::fill_n(values[1], kNormBlock, T(1));
    }
  };
  static const Constants constants;
  return constants.values[ones ? 1 : 0];
}

template <class T, class Pass>
class Normalise {
 public:
  static constexpr int kM = Pass::kMoments, kW = Pass::kWeights, kOut = Pass::kOut;

  explicit Normalise(const math::NormGeometry& geometry) : g(geometry) {}

  const math::NormGeometry g;
  Pass pass = {};
  const T *x = nullptr, *statistics = nullptr;  // without statistics: mean 0 and r = 1
  const T *w = nullptr, *dw = nullptr, *b = nullptr;
  const T* in[3] = {};
  bool stacked[3] = {};               // has every rep its own?
  std::int64_t reps = 1, stride = 0;  // between dw, b and sums of reps
  Out out[2] = {}, sum[4] = {};

  void run() {
    cut();
    double* const partial = open_sums();
    const bool moments = kM > 0 && !g.fixed, split = slices_ > 1;
    if (moments)
      means_ = static_cast<double*>(scratch(11, bytes(reps * g.samples * slices_ * set())));
    if (moments && split) find_means();
    parallel_for(tasks_ * reps, [&](std::int64_t task) {
      if (partial != nullptr) std::fill_n(partial + task * kW * g.columns(), kW * g.columns(), 0.0);
      each_part(task, [&](const Part& p) {
        double* const m = moments ? means_of(p, 0) : nullptr;
        if (moments && !split) {
          add_moments(p, m);
          finish_means(m);
        }
        if constexpr (kOut > 0) put_result<0>(p, m);
        if constexpr (kOut > 1) put_result<1>(p, m);
        if (partial != nullptr) add_sums(p, m, partial + task * kW * g.columns());
      });
    });
    if (partial != nullptr) put_sums(partial);
  }

  // The means alone, (samples, kM, groups), valid until the next pass.
  const double* means() {
    cut();
    means_ = static_cast<double*>(scratch(11, bytes(reps * g.samples * slices_ * set())));
    find_means();
    if (slices_ > 1) {
      for (std::int64_t s = 1; s < g.samples; ++s) {
        std::copy_n(means_ + s * slices_ * set(), set(), means_ + s * set());
      }
    }
    return means_;
  }

 private:
  struct Part {
    std::int64_t rep, sample, slice, first, end;  // positions of a sample
  };
  static std::int64_t bytes(std::int64_t doubles) { return doubles * std::int64_t{sizeof(double)}; }
  std::int64_t set() const { return kM * g.groups; }  // moments of a sample
  bool by_columns() const { return g.channels < kLongGroup && (g.groups > 1 || g.positions > 1); }

  // A task is a slice of a sample's positions or some samples; there are few enough for their sums.
  void cut() {
    const std::int64_t work = std::max<std::int64_t>(1, g.sample());
    const std::int64_t most = g.columns() > kGrain ? 16 : 64;
    if (reps * g.samples < 8 && work > kNormWork) {
      slices_ = std::min({(work + kNormWork - 1) / kNormWork, g.positions, most});
    }
    samples_ = slices_ > 1 ? 1 : std::max(kNormWork / work, (g.samples + most - 1) / most);
    samples_ = std::max<std::int64_t>(1, samples_);
    tasks_ = (g.samples + samples_ - 1) / samples_ * slices_;
  }

  template <class F>
  void each_part(std::int64_t task, F f) const {
    const std::int64_t rep = task / tasks_, slice = task % slices_;
    const std::int64_t begin = task % tasks_ / slices_ * samples_;
    const std::int64_t end = std::min(begin + samples_, g.samples);
    for (std::int64_t s = begin; s < end; ++s) {
      f(Part{rep, s, slice, g.positions * slice / slices_, g.positions * (slice + 1) / slices_});
    }
  }

  double* means_of(const Part& p, std::int64_t slice) const {
    return means_ + ((p.rep * g.samples + p.sample) * slices_ + slice) * set();
  }

  void find_means() {
    parallel_for(tasks_ * reps, [&](std::int64_t task) {
      each_part(task, [&](const Part& p) { add_moments(p, means_of(p, p.slice)); });
    });
    parallel_chunks(reps * g.samples, kGrain / (slices_ * set()) + 1,
                    [&](std::int64_t begin, std::int64_t end) {
                      for (std::int64_t i = begin; i < end; ++i) {
                        double* const m = means_ + i * slices_ * set();
                        for (std::int64_t s = 1; s < slices_; ++s) {
                          store(m, set(), true, [&](std::int64_t k) { return m[s * set() + k]; });
                        }
                        finish_means(m);
                      }
                    });
  }

  void finish_means(double* m) const {
    const double n = static_cast<double>(g.count());
    for (int k = 0; k < kM; ++k) {
      const bool none = !g.centred && (Pass::kCentred >> k & 1u) != 0;
      store(m + k * g.groups, g.groups, false,
            [&](std::int64_t i) { return none ? 0 : m[k * g.groups + i] / n; });
    }
  }

  // f(segment, column, columns, group) for the positions of a part; m: means by then, or null.
  template <class F>
  void each_segment(const Part& p, const double* m, F f) const {
    by_columns() ? columns(p, m, f) : channels(p, m, f);
  }

  template <class F>
  void columns(const Part& p, const double* m, F f) const {
    alignas(64) T local[3 + kM][kNormBlock];
    NormSegment<T, const T*, kM> s;
    s.high = local[0], s.low = local[1], s.r = local[2];
    s.m[0] = many<T>(false);
    for (int k = 0; k < kM; ++k) s.m[k] = local[3 + k];
    for (std::int64_t c = 0; c < g.columns(); c += kNormBlock) {
      const std::int64_t n = std::min(kNormBlock, g.columns() - c);
      for (std::int64_t j = 0, k = c / g.channels, left = g.channels - c % g.channels; j < n; ++j) {
        for (int part = 0; part < 3; ++part) local[part][j] = statistic(part, p, k);
        for (int q = 0; q < kM; ++q) local[3 + q][j] = mean(m, q, k);
        if (--left == 0) ++k, left = g.channels;
      }
      for (std::int64_t position = p.first; position < p.end; ++position) {
        move(s, p, position, c);
        f(s, c, n, 0);
      }
    }
  }

  template <class F>
  void channels(const Part& p, const double* m, F f) const {
    NormSegment<T, Same<T>, kM> s;
    for (std::int64_t k = 0; k < g.groups; ++k) {
      s.high = {statistic(0, p, k)}, s.low = {statistic(1, p, k)}, s.r = {statistic(2, p, k)};
      s.m[0] = {T(0)};
      for (int q = 0; q < kM; ++q) s.m[q] = {mean(m, q, k)};
      const std::int64_t end = (k + 1) * g.channels;
      for (std::int64_t position = p.first; position < p.end; ++position) {
        for (std::int64_t c = k * g.channels; c < end; c += kNormBlock) {
          move(s, p, position, c);
          f(s, c, std::min(kNormBlock, end - c), k);
        }
      }
    }
  }

  T statistic(int part, const Part& p, std::int64_t group) const {
    if (statistics == nullptr) return part == 2 ? T(1) : T(0);
    return statistics[part * g.statistics() + p.sample * g.groups + group];
  }
  T mean(const double* m, int q, std::int64_t group) const {
    return m == nullptr ? T(0) : static_cast<T>(m[q * g.groups + group]);
  }

  template <class Segment>
  void move(Segment& s, const Part& p, std::int64_t position, std::int64_t column) const {
    const std::int64_t at = p.sample * g.sample() + position * g.columns() + column;
    s.x = x + at;
    s.w = w == nullptr ? many<T>(true) : w + column;
    s.dw = dw == nullptr ? many<T>(false) : dw + p.rep * stride + column;
    s.b = b == nullptr ? many<T>(false) : b + p.rep * stride + column;
    for (int i = 0; i < 3; ++i) {
      s.in[i] =
          in[i] == nullptr ? many<T>(false) : in[i] + (stacked[i] ? p.rep * g.size() : 0) + at;
    }
  }

  // m = sums of the moments over the part's positions
  void add_moments(const Part& p, double* m) const {
    if constexpr (kM > 0) {
      std::fill_n(m, set(), 0.0);
      if (!by_columns()) {
        return channels(p, nullptr,
                        [&](const auto& s, std::int64_t, std::int64_t n, std::int64_t k) {
                          sum_along(s, n, m + k);
                        });
      }
      double* to = m;
      const std::int64_t all = g.columns();
      if (g.channels > 1) to = static_cast<double*>(scratch(12, bytes(kM * all)));
      if (to != m) std::fill_n(to, kM * all, 0.0);
      columns(p, nullptr, [&](const auto& s, std::int64_t c, std::int64_t n, std::int64_t) {
        double* const at = to + c;
#pragma GCC ivdep
        for (std::int64_t j = 0; j < n; ++j) {
          T t[kM];
          pass.moments(s.at(j), t);
          for (int k = 0; k < kM; ++k) at[k * all + j] += static_cast<double>(t[k]);
        }
      });
      if (to == m) return;
      for (int k = 0; k < kM; ++k) {
        for (std::int64_t c = 0; c < all; ++c) m[k * g.groups + c / g.channels] += to[k * all + c];
      }
    }
  }

  template <class Segment>
  void sum_along(const Segment& s, std::int64_t n, double* m) const {
    constexpr int kWidth = 16;
    double lanes[kM][kWidth] = {};
    std::int64_t i = 0;
    for (; i + kWidth <= n; i += kWidth) {
#pragma GCC ivdep
      for (int j = 0; j < kWidth; ++j) {
        T t[kM];
        pass.moments(s.at(i + j), t);
        for (int k = 0; k < kM; ++k) lanes[k][j] += static_cast<double>(t[k]);
      }
    }
    for (int j = 0; i < n; ++i, ++j) {
      T t[kM];
      pass.moments(s.at(i), t);
      for (int k = 0; k < kM; ++k) lanes[k][j] += static_cast<double>(t[k]);
    }
    for (int k = 0; k < kM; ++k) {
      for (int width = kWidth / 2; width > 0; width /= 2) {
        for (int j = 0; j < width; ++j) lanes[k][j] += lanes[k][j + width];
      }
      m[k * g.groups] += lanes[k][0];
    }
  }

  template <class Segment>
  static void load_means(const Segment& s, std::int64_t j, T* m) {
    for (int k = 0; k < kM; ++k) m[k] = s.m[k][j];
  }

  template <int kResult>
  void put_result(const Part& p, const double* m) const {
    if (!out[kResult]) return;
    T* const y = out[kResult].template as<T>() + p.rep * g.size();
    each_segment(p, m, [&](const auto& s, std::int64_t, std::int64_t n, std::int64_t) {
      store(y + (s.x - x), n, out[kResult].accumulate, [&](std::int64_t j) {
        T mean[kM + 1], value[kOut];
        load_means(s, j, mean);
        pass.results(s.at(j), mean, value);
        return value[kResult];
      });
    });
  }

  double* open_sums() const {
    const bool wanted =
        std::any_of(sum, sum + 4, [](const Out& o) { return static_cast<bool>(o); });
    if (kW == 0 || !wanted) return nullptr;
    return static_cast<double*>(scratch(13, bytes(reps * tasks_ * kW * g.columns())));
  }

  void add_sums(const Part& p, const double* m, double* to) const {
    if constexpr (kW > 0) {
      const std::int64_t all = g.columns();
      each_segment(p, m, [&](const auto& s, std::int64_t c, std::int64_t n, std::int64_t) {
        double* const at = to + c;
#pragma GCC ivdep
        for (std::int64_t j = 0; j < n; ++j) {
          T mean[kM + 1], t[kW];
          load_means(s, j, mean);
          pass.weights(s.at(j), mean, t);
          for (int k = 0; k < kW; ++k) at[k * all + j] += static_cast<double>(t[k]);
        }
      });
    }
  }

  void put_sums(const double* partial) const {
    const std::int64_t all = g.columns(), row = kW * all;
    parallel_chunks(reps * row, kGrain / tasks_ + 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t rep = i / row, c = i % all;
        const Out& o = sum[i % row / all];
        if (!o) continue;
        double total = 0;
        for (std::int64_t t = 0; t < tasks_; ++t)
          total += partial[(rep * tasks_ + t) * row + i % row];
        T& y = o.template as<T>()[rep * stride + c];
        y = static_cast<T>(total) + (o.accumulate ? y : T(0));
      }
    });
  }

  std::int64_t slices_ = 1, samples_ = 1, tasks_ = 1;
  double* means_ = nullptr;
};

}  // namespace hesscore::cpu::HC_ISA
