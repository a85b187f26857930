// Windows over images by plain loops in float64, written from PyTorch's documentation and not from
// math/windows.hpp: what tests of pooling compare with. Arrays are channels first, (C, H, W).
#pragma once

#include <cmath>
#include <functional>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

namespace naive {

struct Pooling {
  std::int64_t kernel[2] = {1, 1}, stride[2] = {1, 1}, padding[2] = {0, 0}, dilation[2] = {1, 1};
  bool ceil_mode = false, count_include_pad = true;
  std::optional<std::int64_t> divisor = {};
};

inline std::int64_t outputs(const Pooling& p, int a, std::int64_t in) {
  const double room =
      static_cast<double>(in + 2 * p.padding[a] - p.dilation[a] * (p.kernel[a] - 1) - 1);
  const double steps = room / static_cast<double>(p.stride[a]);
  auto n = static_cast<std::int64_t>(p.ceil_mode ? std::ceil(steps) : std::floor(steps)) + 1;
  while (p.ceil_mode && (n - 1) * p.stride[a] >= in + p.padding[a]) --n;
  return n;
}

// The taps of output o: those in the image, and how many there are in the padded one.
struct Taps {
  std::vector<std::int64_t> at;
  std::int64_t padded = 0;
};
inline Taps taps(const Pooling& p, int a, std::int64_t in, std::int64_t o) {
  Taps t;
  for (std::int64_t k = 0; k < p.kernel[a]; ++k) {
    const std::int64_t i = o * p.stride[a] - p.padding[a] + k * p.dilation[a];
    t.padded += i < in + p.padding[a];
    if (i >= 0 && i < in) t.at.push_back(i);
  }
  return t;
}
inline Taps adaptive_taps(std::int64_t in, std::int64_t out, std::int64_t o) {
  Taps t;
  const double step = static_cast<double>(in) / static_cast<double>(out);
  for (std::int64_t i = 0; i < in; ++i) {  // floor(o step) <= i < ceil((o + 1) step)
    if (static_cast<double>(i + 1) > static_cast<double>(o) * step + 1e-9 &&
        static_cast<double>(i) < static_cast<double>(o + 1) * step - 1e-9) {
      t.at.push_back(i);
    }
  }
  t.padded = static_cast<std::int64_t>(t.at.size());
  return t;
}

// One window and what it does: the positions i * width + j that it reads, and its divisor.
struct Window {
  std::vector<std::int64_t> at;
  double divisor = 1;
};
inline Window window(const Taps& rows, const Taps& columns, std::int64_t width, const Pooling& p) {
  Window w;
  for (const std::int64_t i : rows.at) {
    for (const std::int64_t j : columns.at) w.at.push_back(i * width + j);
  }
  const std::int64_t all = rows.padded * columns.padded;
  const auto inside = static_cast<std::int64_t>(w.at.size());
  w.divisor = static_cast<double>(p.divisor ? *p.divisor : p.count_include_pad ? all : inside);
  return w;
}

inline std::vector<Window> windows(const Pooling& p, std::int64_t h, std::int64_t w) {
  std::vector<Window> all;
  for (std::int64_t i = 0; i < outputs(p, 0, h); ++i) {
    for (std::int64_t j = 0; j < outputs(p, 1, w); ++j) {
      all.push_back(window(taps(p, 0, h, i), taps(p, 1, w, j), w, p));
    }
  }
  return all;
}
inline std::vector<Window> adaptive_windows(std::int64_t h, std::int64_t w, std::int64_t oh,
                                            std::int64_t ow) {
  std::vector<Window> all;
  for (std::int64_t i = 0; i < oh; ++i) {
    for (std::int64_t j = 0; j < ow; ++j) {
      all.push_back(window(adaptive_taps(h, oh, i), adaptive_taps(w, ow, j), w, {}));
    }
  }
  return all;
}

// The position that wins, the first of equals, or -1.
template <class F>
std::int64_t winner(const Window& w, F value) {
  std::int64_t best = -1;
  for (const std::int64_t at : w.at) {
    if (best < 0 || value(at) > value(best) || std::isnan(value(at))) best = at;
  }
  return best;
}

}  // namespace naive
