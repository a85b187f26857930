// The sizes of a convolution's products, from its geometry.
#pragma once

#include "conv/problem.hpp"
#include "product/arguments.hpp"

namespace hesscore::cuda {

inline math::ConvAxis axis_of(std::int64_t x, std::int64_t y, std::int64_t kernel,
                              std::int64_t stride, std::int64_t pad, std::int64_t dilation) {
  return {extent(x), extent(y), extent(kernel), extent(stride), extent(pad), extent(dilation)};
}

template <class T>
void set_geometry(ConvProblem<T>& p, const math::ConvGeometry& g, std::int64_t images) {
  p.down = axis_of(g.h, g.oh, g.kh, g.stride_h, g.pad_h, g.dilation_h);
  p.across = axis_of(g.w, g.ow, g.kw, g.stride_w, g.pad_w, g.dilation_w);
  p.images = extent(images);
  p.groups = extent(g.groups);
  // positions outside of the last image are formed, too, before they are found to be outside
  const std::int64_t border_h = g.pad_h + g.kh * g.dilation_h + g.stride_h;
  const std::int64_t border_w = g.pad_w + g.kw * g.dilation_w + g.stride_w;
  extent((images * g.h + 2 * border_h) * (g.w + border_w));
  extent((images * g.oh + 2 * border_h) * (g.ow + border_w));
}

// A batch of images that share their weights is one stack of images, if it lies so.
inline bool stacked(std::int64_t batch, std::int64_t from, std::int64_t size_from, std::int64_t to,
                    std::int64_t size_to, std::int64_t stride_w, std::int64_t stride_bias) {
  return batch > 1 && stride_w == 0 && stride_bias == 0 && from == size_from && to == size_to;
}

inline bool is_depthwise(const math::ConvGeometry& g) {
  return g.groups > 1 && g.group_c() == 1 && g.group_o() == 1;
}

inline int most_taps(const math::ConvAxis& axis, int phases) {
  int most = 0;
  for (int phase = 0; phase < phases; ++phase) {
    const int taps = reads_of_x(axis, phase).taps;
    most = taps > most ? taps : most;
  }
  return most;
}

// The rows and the steps of k.
template <class T>
void set_images(ConvProblem<T>& p, const math::ConvGeometry& g, std::int64_t batch, bool of_x) {
  p.of_x = of_x;
  if (of_x) {
    p.phases_down = p.down.stride;
    p.phases_across = p.across.stride;
    p.m = extent(p.images * detail::pieces(g.h, g.stride_h) * detail::pieces(g.w, g.stride_w));
    const int taps = most_taps(p.down, p.phases_down) * most_taps(p.across, p.phases_across);
    p.steps = extent(taps * g.group_o());
  } else {
    p.m = extent(p.images * g.oh * g.ow);
    p.steps = extent(g.taps() * g.group_c());
  }
  p.n = extent(of_x ? g.group_c() : g.group_o());
  p.length = p.steps > 0 ? p.steps : 1;
  p.channels = math::Divider(extent(of_x ? g.group_o() : g.group_c()));
  p.lead_a = of_x ? g.o : g.c;
  p.lead_c = of_x ? g.c : g.o;
  p.batch = extent(batch * p.groups * p.phases());
}

// The operands and sizes of both kinds of weights.
template <class T>
ConvProblem<T> weight_problem(const math::ConvGeometry& g, const In& y, const In& y2, const In& x,
                              std::int64_t batch, std::int64_t stride_y, std::int64_t stride_x) {
  ConvProblem<T> p;
  set_geometry(p, g, g.n);
  p.m = extent(g.group_o());
  p.n = extent(g.group_c() * g.taps());
  p.batch = extent(batch * g.groups);
  p.channels = math::Divider(extent(g.group_c()));
  p.y_down = math::Divider(p.down.y);
  p.y_across = math::Divider(p.across.y);
  p.lead_a = g.o;
  p.lead_b = g.c;
  p.stride_a = stride_y;
  p.stride_b = stride_x;
  p.a = y.as<T>();
  p.a2 = y2.as<T>();
  p.b = x.as<T>();
  p.wide_a = may_copy_wide<T>(p.a, g.o, stride_y | g.group_o()) && may_copy_wide<T>(p.a2, 0, 0);
  p.wide_b = may_copy_wide<T>(p.b, g.c, stride_x | g.group_c());
  return p;
}

}  // namespace hesscore::cuda
