// Convolutions and transposed convolutions, in one and two dimensions, with every option.
#pragma once

#include "backend/kernels.hpp"
#include "op_case.hpp"

namespace op_cases {

// y of x (c, h, w) by plain loops over output, kernel and channels; weights at w[at], then the
// bias.
inline Values convolve(const Values& w, std::size_t at, const Values& x, hc::Shape shape,
                       std::int64_t out, const hc::ConvOptions& o, hc::Shape* y_shape = nullptr) {
  const std::int64_t c = shape[0], h = shape[1], v = shape[2], per = c / o.groups;
  const auto size = [&](std::int64_t n, std::size_t a) {
    return (n + o.padding_before[a] + o.padding_after[a] - o.dilation[a] * (o.kernel[a] - 1) - 1) /
               o.stride[a] +
           1;
  };
  const std::int64_t oh = size(h, 0), ow = size(v, 1), kh = o.kernel[0], kw = o.kernel[1];
  Values y;
  for (std::int64_t p = 0; p < out; ++p) {
    for (std::int64_t i = 0; i < oh; ++i) {
      for (std::int64_t j = 0; j < ow; ++j) {
        double sum = o.bias ? w[at + static_cast<std::size_t>(out * per * kh * kw + p)] : 0;
        for (std::int64_t k = 0; k < per * kh * kw; ++k) {
          const std::int64_t q = p / (out / o.groups) * per + k / (kh * kw);
          const std::int64_t r =
              i * o.stride[0] - o.padding_before[0] + k / kw % kh * o.dilation[0];
          const std::int64_t s = j * o.stride[1] - o.padding_before[1] + k % kw * o.dilation[1];
          if (r < 0 || r >= h || s < 0 || s >= v) continue;
          sum += w[at + static_cast<std::size_t>(p * per * kh * kw + k)] *
                 x[static_cast<std::size_t>((q * h + r) * v + s)];
        }
        y.push_back(sum);
      }
    }
  }
  if (y_shape) *y_shape = {out, oh, ow};
  return y;
}

// The transpose: every number of x is spread over the output.
inline Values convolve_transposed(const Values& w, const Values& x, hc::Shape shape,
                                  std::int64_t out, const hc::ConvOptions& o) {
  const std::int64_t c = shape[0], h = shape[1], v = shape[2], per = out / o.groups;
  const auto size = [&](std::int64_t n, std::size_t a) {
    return (n - 1) * o.stride[a] - o.padding_before[a] - o.padding_after[a] +
           o.dilation[a] * (o.kernel[a] - 1) + o.output_padding[a] + 1;
  };
  const std::int64_t oh = size(h, 0), ow = size(v, 1), kh = o.kernel[0], kw = o.kernel[1];
  Values y;
  for (std::int64_t i = 0; i < out * oh * ow; ++i) {
    y.push_back(o.bias ? w[static_cast<std::size_t>(c * per * kh * kw + i / (oh * ow))] : 0);
  }
  for (std::int64_t i = 0; i < c * h * v; ++i) {
    const std::int64_t q = i / (h * v), group = q / (c / o.groups);
    for (std::int64_t k = 0; k < per * kh * kw; ++k) {
      const std::int64_t p = group * per + k / (kh * kw);
      const std::int64_t r =
          i / v % h * o.stride[0] - o.padding_before[0] + k / kw % kh * o.dilation[0];
      const std::int64_t s = i % v * o.stride[1] - o.padding_before[1] + k % kw * o.dilation[1];
      if (r < 0 || r >= oh || s < 0 || s >= ow) continue;
      y[static_cast<std::size_t>((p * oh + r) * ow + s)] +=
          w[static_cast<std::size_t>(q * per * kh * kw + k)] * x[static_cast<std::size_t>(i)];
    }
  }
  return y;
}

// A single convolution of `shape`, (C, H, W) or (C, L); it is linear, so HesScale is exact.
inline OpCase convolution(const std::string& name, hc::Shape shape, std::int64_t out,
                          const hc::ConvOptions& o, bool transposed = false) {
  const std::size_t dimensions = shape.size() - 1;
  hc::Shape image = shape;
  if (dimensions == 1) image.insert(image.begin() + 1, 1);
  return {name, shape,
          [=](auto& b, int x) {
            return b.call(b.make_conv(dimensions, shape[0], out, o, transposed), x);
          },
          [=](auto& w, auto& x) {
            return transposed ? convolve_transposed(w, x, image, out, o)
                              : convolve(w, 0, x, image, out, o);
          },
          true};
}

inline hc::ConvOptions kernel(std::int64_t h, std::int64_t w) {
  hc::ConvOptions o;
  o.kernel = {h, w};
  return o;
}

inline std::vector<OpCase> single_convolutions() {
  hc::ConvOptions strided = kernel(3, 2), dilated = kernel(2, 2), grouped = kernel(2, 3);
  hc::ConvOptions by_channel = kernel(3, 3), line = kernel(1, 3), wide = kernel(3, 3);
  strided.stride = {2, 3}, strided.padding_before = {1, 0}, strided.padding_after = {2, 1};
  dilated.dilation = {2, 3}, dilated.padding_before = {1, 2}, dilated.bias = false;
  grouped.groups = 2, grouped.padding_before = grouped.padding_after = {0, 1};
  by_channel.groups = 3, by_channel.padding_before = by_channel.padding_after = {1, 1};
  line.stride = {1, 2}, line.padding_before = {0, 1}, line.dilation = {1, 2};
  wide.stride = {2, 2}, wide.padding_before = wide.padding_after = {1, 1};
  wide.output_padding = {1, 0};
  hc::ConvOptions line_out = kernel(1, 2);
  line_out.stride = {1, 3}, line_out.output_padding = {0, 1};
  return {
      convolution("Conv2d", {2, 5, 4}, 3, kernel(3, 2)),
      convolution("Conv2d of one channel", {1, 4, 3}, 1, kernel(2, 2)),
      convolution("Conv2d with stride and padding", {2, 6, 7}, 3, strided),
      convolution("Conv2d with dilation", {2, 5, 5}, 2, dilated),
      convolution("Conv2d in groups", {4, 3, 4}, 2, grouped),
      convolution("Conv2d of each channel", {3, 4, 4}, 3, by_channel),
      convolution("Conv2d of single pixels", {3, 2, 3}, 4, kernel(1, 1)),
      convolution("Conv1d", {2, 9}, 3, line),
      convolution("ConvTranspose2d", {2, 3, 2}, 3, kernel(2, 3), true),
      convolution("ConvTranspose2d with stride", {2, 3, 3}, 2, wide, true),
      convolution("ConvTranspose2d in groups", {4, 2, 3}, 2, grouped, true),
      convolution("ConvTranspose1d", {2, 4}, 2, line_out, true),
  };
}

// Does the tested device have the kernels?
inline bool has_convolutions() {
  try {
    check::device().kernels(hc::Precision::fp32).get<hc::kernels::Convolve>(hc::DType::f32);
    return true;
  } catch (const hc::UnsupportedError&) {
    return false;
  }
}

inline std::vector<OpCase> convolution_cases() {
  if (!has_convolutions()) return {};
  std::vector<OpCase> rows = single_convolutions();
  rows.push_back(
      {"Conv2d, tanh, Linear",
       {1, 5, 5},
       [](auto& b, int x) { return b.linear(b.flatten(b.tanh(b.conv2d(x, 2, kernel(3, 2)))), 3); },
       [](auto& w, auto& x) {
         const Values h = convolve(w, 0, x, {1, 5, 5}, 2, kernel(3, 2));
         return affine(w, 14, map(h, [](double v) { return std::tanh(v); }), 24, 3);
       }});
  rows.push_back({"two convolutions",
                  {2, 4, 4},
                  [](auto& b, int x) {
                    return b.conv2d(b.sigmoid(b.conv2d(x, 3, kernel(2, 2))), 2, kernel(2, 1));
                  },
                  [](auto& w, auto& x) {
                    hc::Shape shape;
                    const Values h = convolve(w, 0, x, {2, 4, 4}, 3, kernel(2, 2), &shape);
                    const Values s = map(h, [](double v) { return 1 / (1 + std::exp(-v)); });
                    return convolve(w, 27, s, shape, 2, kernel(2, 1));
                  }});
  hc::ConvOptions same = kernel(3, 3);
  same.padding_before = same.padding_after = {1, 1};
  rows.push_back({"Conv2d used twice",
                  {2, 3, 3},
                  [same](auto& b, int x) {
                    const auto layer = b.make_conv(2, 2, 2, same);
                    return b.call(layer, b.tanh(b.call(layer, x)));
                  },
                  [same](auto& w, auto& x) {
                    const Values h = convolve(w, 0, x, {2, 3, 3}, 2, same);
                    return convolve(w, 0, map(h, [](double v) { return std::tanh(v); }), {2, 3, 3},
                                    2, same);
                  }});
  rows.push_back({"ConvTranspose2d used twice",
                  {2, 3, 3},
                  [same](auto& b, int x) {
                    const auto layer = b.make_conv(2, 2, 2, same, true);
                    return b.call(layer, b.tanh(b.call(layer, x)));
                  },
                  [same](auto& w, auto& x) {
                    const Values h = convolve_transposed(w, x, {2, 3, 3}, 2, same);
                    return convolve_transposed(w, map(h, [](double v) { return std::tanh(v); }),
                                               {2, 3, 3}, 2, same);
                  }});
  return rows;
}

}  // namespace op_cases
