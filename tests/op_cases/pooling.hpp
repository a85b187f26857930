// Maximum, average, adaptive and global pooling with every option.
#pragma once

#include "../naive_windows.hpp"
#include "op_case.hpp"

namespace op_cases {

// Of every channel of x (c, h, w): the mean or the maximum over the windows.
inline Values pooled(const Values& x, std::size_t channels,
                     const std::vector<naive::Window>& windows, bool maximum) {
  const std::size_t size = x.size() / channels;
  Values y;
  for (std::size_t c = 0; c < channels; ++c) {
    const auto value = [&](std::int64_t at) { return x[c * size + static_cast<std::size_t>(at)]; };
    for (const naive::Window& w : windows) {
      double sum = 0;
      for (const std::int64_t at : w.at) sum += value(at);
      y.push_back(maximum ? value(naive::winner(w, value)) : sum / w.divisor);
    }
  }
  return y;
}

inline hc::PoolOptions options_of(const naive::Pooling& p) {
  hc::PoolOptions o;
  for (std::size_t a = 0; a < 2; ++a) {
    o.kernel[a] = p.kernel[a];
    o.padding[a] = p.padding[a];
    o.dilation[a] = p.dilation[a];
  }
  if (p.stride[0] != p.kernel[0] || p.stride[1] != p.kernel[1]) {
    o.stride = hc::PoolOptions::Pair{p.stride[0], p.stride[1]};
  }
  o.ceil_mode = p.ceil_mode;
  o.count_include_pad = p.count_include_pad;
  o.divisor_override = p.divisor;
  return o;
}

// A row for maximum or average pooling of an image (c, l) or (c, h, w).
using Place = OpCase (*)(std::string, const hc::Shape&, Build, Naive);
inline OpCase pool_row(Place place, std::string name, const hc::Shape& x, bool maximum,
                       const naive::Pooling& p) {
  const std::size_t dimensions = x.size() - 1, channels = static_cast<std::size_t>(x[0]);
  const auto windows = naive::windows(p, dimensions == 2 ? x[1] : 1, x.back());
  name = (maximum ? "MaxPool" : "AvgPool") + std::to_string(dimensions) + "d" + name;
  return place(
      name, x,
      [=](auto& b, int h) {
        return maximum ? b.max_pool(h, dimensions, options_of(p))
                       : b.avg_pool(h, dimensions, options_of(p));
      },
      [=](auto& h) { return pooled(h, channels, windows, maximum); });
}

inline OpCase adaptive_row(Place place, const std::string& name, const hc::Shape& x,
                           const hc::Shape& size, bool maximum) {
  const auto channels = static_cast<std::size_t>(x[0]);
  const bool flat = x.size() == 2;
  const auto kept = [&](std::size_t d) { return size[d] < 0 ? x[d + 1] : size[d]; };
  const auto windows =
      naive::adaptive_windows(flat ? 1 : x[1], x.back(), flat ? 1 : kept(0), kept(size.size() - 1));
  return place(
      name, x,
      [=](auto& b, int h) {
        return maximum ? b.adaptive_max_pool(h, size) : b.adaptive_avg_pool(h, size);
      },
      [=](auto& h) { return pooled(h, channels, windows, maximum); });
}

inline std::vector<OpCase> pooling_cases() {
  std::vector<OpCase> rows;
  const auto both = [&](const std::string& name, const hc::Shape& x, const naive::Pooling& p) {
    for (const bool maximum : {true, false}) rows.push_back(pool_row(between, name, x, maximum, p));
  };
  both("", {2, 4, 6}, {{2, 2}, {2, 2}});
  both(", overlapping, padded", {2, 5, 4}, {{3, 3}, {2, 1}, {1, 1}});
  both(", ceil_mode", {1, 4, 5}, {{3, 2}, {2, 2}, {1, 0}, {1, 1}, true});
  both("", {3, 7}, {{1, 3}, {1, 3}});
  both(", overlapping, ceil_mode", {2, 6}, {{1, 3}, {1, 2}, {0, 1}, {1, 1}, true});
  rows.push_back(pool_row(between, ", dilated", {2, 5, 6}, true, {{2, 3}, {1, 1}, {1, 1}, {2, 2}}));
  rows.push_back(pool_row(between, ", dilated", {2, 7}, true, {{1, 2}, {1, 2}, {0, 1}, {1, 3}}));
  rows.push_back(pool_row(between, ", padding not counted", {2, 4, 5}, false,
                          {{3, 2}, {2, 2}, {1, 1}, {1, 1}, true, false}));
  rows.push_back(pool_row(between, ", divisor_override", {2, 4, 4}, false,
                          {{2, 2}, {1, 2}, {0, 0}, {1, 1}, false, true, 3}));
  // Squared coefficients in the diagonal, and windows that overlap in one position.
  for (const bool maximum : {true, false}) {
    rows.push_back(pool_row(under_loss, "", {2, 6}, maximum, {{1, 2}, {1, 2}}));
    rows.push_back(
        pool_row(under_loss, ", overlapping", {2, 7}, maximum, {{1, 3}, {1, 2}, {0, 1}}));
    rows.push_back(pool_row(under_loss, "", {2, 2, 6}, maximum, {{1, 3}, {1, 3}}));
  }
  rows.push_back(adaptive_row(between, "AdaptiveAvgPool2d", {2, 5, 4}, {3, 2}, false));
  rows.push_back(
      adaptive_row(between, "AdaptiveAvgPool2d keeping rows", {2, 3, 5}, {-1, 2}, false));
  rows.push_back(adaptive_row(between, "AdaptiveAvgPool1d", {2, 7}, {3}, false));
  rows.push_back(adaptive_row(between, "AdaptiveMaxPool2d", {2, 5, 4}, {2, 3}, true));
  rows.push_back(adaptive_row(under_loss, "AdaptiveAvgPool1d", {2, 5}, {3}, false));
  rows.push_back(between(
      "global average pooling", {3, 2, 4}, [](auto& b, int x) { return b.global_avg_pool(x); },
      [](auto& x) { return pooled(x, 3, naive::adaptive_windows(2, 4, 1, 1), false); }));
  return rows;
}

}  // namespace op_cases
