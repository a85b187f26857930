// Padding, slices, upsampling, reshapes, broadcast products, inner products, Concat of images.
#pragma once

#include "op_case.hpp"

namespace op_cases {

// y (c, oh, ow) with y[., i, j] = x[., row(i), column(j)], zero where that is outside x (c, h, w).
using Position = std::function<std::int64_t(std::int64_t)>;
inline Naive picked(std::int64_t c, std::int64_t h, std::int64_t w, std::int64_t oh,
                    std::int64_t ow, const Position& row, const Position& column) {
  return [=](const Values& x) {
    Values y;
    for (std::int64_t i = 0; i < c * oh * ow; ++i) {
      const std::int64_t r = row(i / ow % oh), s = column(i % ow);
      const bool inside = r >= 0 && r < h && s >= 0 && s < w;
      y.push_back(inside ? x[static_cast<std::size_t>((i / (oh * ow) * h + r) * w + s)] : 0);
    }
    return y;
  };
}

inline Position shifted(std::int64_t by, std::int64_t step = 1) {
  return [=](std::int64_t i) { return i * step + by; };
}
inline Position divided(std::int64_t in, std::int64_t out) {
  return [=](std::int64_t i) {
    return static_cast<std::int64_t>(
        std::floor(static_cast<double>(i * in) / static_cast<double>(out) + 1e-9));
  };
}

inline std::vector<OpCase> resampling_cases() {
  return {
      between(
          "ZeroPad2d, cropping columns", {2, 3, 4},
          [](auto& b, int x) { return b.zero_pad(x, {{{1, 2}, {-1, 1}}}); },
          picked(2, 3, 4, 6, 4, shifted(-1), shifted(1))),
      between(
          "ZeroPad1d", {2, 3}, [](auto& b, int x) { return b.zero_pad(x, {{{2, 1}}}); },
          picked(2, 1, 3, 1, 6, shifted(0), shifted(-2))),
      between(
          "Upsample by factors", {2, 2, 3}, [](auto& b, int x) { return b.upsample_by(x, {3, 2}); },
          picked(2, 2, 3, 6, 6, divided(2, 6), divided(3, 6))),
      between(
          "Upsample to a size", {2, 4, 3}, [](auto& b, int x) { return b.upsample(x, {3, 7}); },
          picked(2, 4, 3, 3, 7, divided(4, 3), divided(3, 7))),
      under_loss(
          "Upsample", {2, 4}, [](auto& b, int x) { return b.upsample(x, {6}); },
          picked(2, 1, 4, 1, 6, shifted(0), divided(4, 6))),
      between(
          "Slice of channels", {5, 2, 2}, [](auto& b, int x) { return b.slice(x, 1, 1, 4); },
          picked(1, 5, 4, 3, 4, shifted(1), shifted(0))),
      between(
          "Slice of rows from behind, in steps", {2, 5, 2},
          [](auto& b, int x) { return b.slice(x, 2, -4, {}, 2); },
          picked(2, 5, 2, 2, 2, shifted(1, 2), shifted(0))),
      between(
          "Slice of features", {6}, [](auto& b, int x) { return b.slice(x, 1, 2, -1); },
          picked(1, 1, 6, 1, 3, shifted(0), shifted(2))),
      between(
          "Slices of images channels last", {3, 4, 4},
          [](auto& b, int x) {
            const int h = b.upsample_by(x, {1, 1});
            const int p = b.slice(b.slice(h, 1, 1), 2, 0, 3), q = b.slice(h, 3, 1, {}, 2);
            return b.concat({b.flatten(p), b.flatten(q)});
          },
          [](auto& x) {
            Values y =
                picked(2, 4, 4, 3, 4, shifted(0), shifted(0))(Values(x.begin() + 16, x.end()));
            const Values q = picked(3, 4, 4, 4, 2, shifted(0), shifted(1, 2))(x);
            y.insert(y.end(), q.begin(), q.end());
            return y;
          }),
  };
}

// Concat of (2, 3, 4) and (2, 3, 4) doubled along one axis, both channels last, on that axis.
inline OpCase concat_of_images(int axis) {
  hc::Shape x{2, 3, 4}, more = x;
  const auto a = static_cast<std::size_t>(axis) - 1;
  more[a] = 2;
  return between(
      "Concat of images on axis " + std::to_string(axis), x,
      [axis](auto& b, int h) {
        const int p = b.upsample_by(h, {1, 1});
        return b.concat({p, b.slice(p, axis, 0, 2)}, axis);
      },
      [x, a, more](auto& v) {
        hc::Shape to = x;
        to[a] += more[a];
        Values y;
        for (std::int64_t i = 0; i < to[0]; ++i) {
          for (std::int64_t j = 0; j < to[1]; ++j) {
            for (std::int64_t k = 0; k < to[2]; ++k) {
              std::int64_t at[] = {i, j, k};
              if (at[a] >= x[a]) at[a] -= x[a];
              y.push_back(v[static_cast<std::size_t>((at[0] * x[1] + at[1]) * x[2] + at[2])]);
            }
          }
        }
        return y;
      });
}

// a[i or 0] * b[i or 0] over three axes.
inline Values broadcast(const Values& a, const hc::Shape& sa, const Values& b,
                        const hc::Shape& sb) {
  Values y;
  const auto at = [](const hc::Shape& s, const std::int64_t (&i)[3]) {
    std::int64_t e = 0;
    for (std::size_t k = 0; k < 3; ++k) e = e * s[k] + (s[k] == 1 ? 0 : i[k]);
    return static_cast<std::size_t>(e);
  };
  for (std::int64_t i = 0; i < std::max(sa[0], sb[0]); ++i) {
    for (std::int64_t j = 0; j < std::max(sa[1], sb[1]); ++j) {
      for (std::int64_t k = 0; k < std::max(sa[2], sb[2]); ++k) {
        y.push_back(a[at(sa, {i, j, k})] * b[at(sb, {i, j, k})]);
      }
    }
  }
  return y;
}

// x (3, 2, 4) times a slice of itself, in either memory order.
inline OpCase gate(const hc::Shape& slice, bool channels_last) {
  const hc::Shape x{3, 2, 4};
  return between(
      "Multiply by " + hc::to_string(slice) + (channels_last ? ", channels last" : ""), x,
      [=](auto& b, int h) {
        if (channels_last) h = b.upsample_by(h, {1, 1});
        int s = h;
        for (std::size_t a = 0; a < 3; ++a) {
          if (slice[a] != x[a]) s = b.slice(s, static_cast<int>(a) + 1, 0, slice[a]);
        }
        return b.multiply(slice[0] == 1 ? s : h, slice[0] == 1 ? h : s);
      },
      [=](auto& v) {
        Values s;
        for (std::int64_t i = 0; i < slice[0]; ++i) {
          for (std::int64_t j = 0; j < slice[1]; ++j) {
            for (std::int64_t k = 0; k < slice[2]; ++k) {
              s.push_back(v[static_cast<std::size_t>((i * x[1] + j) * x[2] + k)]);
            }
          }
        }
        return broadcast(v, x, s, slice);
      });
}

inline std::vector<OpCase> product_cases() {
  const auto inner = [](const Values& a, const Values& b, std::size_t d) {
    Values z;
    for (std::size_t i = 0; i < b.size(); i += d) {
      z.push_back(0);
      for (std::size_t k = 0; k < d; ++k) z.back() += a[a.size() == d ? k : i + k] * b[i + k];
    }
    return z;
  };
  const auto head = [](const Values& x, std::size_t n) {
    return Values(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(n));
  };
  return {
      {"a gate on known numbers under the loss",
       {3, 4},
       [](auto& b, int x) { return b.multiply(x, b.linear(x, 1)); },
       [](auto& w, auto& x) { return broadcast(x, {1, 3, 4}, affine(w, 0, x, 4, 1), {1, 3, 1}); },
       true},
      {"InnerProduct with known numbers under the loss",
       {3, 4},
       [](auto& b, int x) { return b.inner_product(x, b.linear(x, 4)); },
       [inner](auto& w, auto& x) { return inner(x, affine(w, 0, x, 4, 4), 4); },
       true},
      between(
          "InnerProduct of (4,) and (3, 4)", {3, 4},
          [](auto& b, int h) { return b.inner_product(b.reshape(b.slice(h, 1, 0, 1), {4}), h); },
          [=](auto& h) { return inner(head(h, 4), h, 4); }),
      between(
          "InnerProduct of (3, 4) and itself", {3, 4},
          [](auto& b, int h) { return b.inner_product(h, h); },
          [=](auto& h) { return inner(h, h, 4); }),
      between(
          "InnerProduct of (3,) and (3,)", {6},
          [](auto& b, int h) { return b.inner_product(b.slice(h, 1, 0, 3), b.slice(h, 1, 3)); },
          [=](auto& h) { return inner(head(h, 3), Values(h.begin() + 3, h.end()), 3); }),
  };
}

inline std::vector<OpCase> structure_cases() {
  std::vector<OpCase> rows = resampling_cases();
  for (const int axis : {1, 2, 3}) rows.push_back(concat_of_images(axis));
  for (const bool channels_last : {false, true}) {
    for (const hc::Shape& s : {hc::Shape{3, 1, 1}, {1, 2, 1}, {3, 1, 4}, {1, 1, 4}, {1, 1, 1}}) {
      rows.push_back(gate(s, channels_last));
    }
  }
  for (const OpCase& row : product_cases()) rows.push_back(row);
  const auto same = [](const Values& h) { return h; };
  rows.push_back(between(
      "Reshape and Unflatten", {4, 6},
      [](auto& b, int h) { return b.unflatten(b.reshape(h, {2, -1}), 2, {3, -1}); }, same));
  rows.push_back(between(
      "Identity of an image channels last", {2, 3, 2},
      [](auto& b, int h) { return b.identity(b.upsample_by(h, {1, 1})); }, same));
  return rows;
}

}  // namespace op_cases
