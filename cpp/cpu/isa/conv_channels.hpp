// Gradients of weights where every channel is a group: channels are vectors, the taps of one vector
// stay in registers over the pixels of an image.
#pragma once

#include "cpu/isa/blocks.hpp"
#include "cpu/isa/conv_pack.hpp"

namespace hesscore::cpu::HC_ISA {

// Sums of (tap, channel) by slices -> (channel, tap), for one output channel.
template <class T>
void reorder(const T* sums, std::int64_t slices, std::int64_t stride, std::int64_t channels,
             std::int64_t taps, bool add, T* w) {
  constexpr int lanes = kLanes<T>;
  for (std::int64_t c = 0; c < channels; c += lanes) {
    const int present = static_cast<int>(at_most(channels - c, lanes));
    for (std::int64_t t = 0; t < taps; t += lanes) {
      const int count = static_cast<int>(at_most(taps - t, lanes));
      Vec<T> r[lanes] = {};
      for (int i = 0; i < count; ++i) {
        const T* from = sums + (t + i) * channels + c;
        for (std::int64_t s = 0; s < slices; ++s, from += stride)
          r[i] += load_partial(from, present);
      }
      transpose(r);
      for (int i = 0; i < present; ++i) {
        T* to = w + (c + i) * taps + t;
        store_partial(to, add ? load_partial(to, count) + r[i] : r[i], count);
      }
    }
  }
}

inline constexpr int kChannelTaps = 12;

template <class T>
struct ChannelSums {
  const T* y;
  const T* x;                   // an image with its zeros
  const std::int64_t* offsets;  // of the taps
  std::int64_t rows, columns, y_pixel, x_row, x_pixel;
  int channels;  // of the vector, those that exist
  bool square_y, square_x, square;
  T scale;
  T* sums;  // from tap to tap `y_pixel` numbers
};

template <int Taps, class T>
void channel_sums(const ChannelSums<T>& a) {
  Vec<T> acc[Taps] = {};
  const T* y = a.y;
  const bool full = a.channels == kLanes<T>;
  for (std::int64_t u = 0; u < a.rows; ++u) {
    const T* x = a.x + u * a.x_row;
    for (std::int64_t v = 0; v < a.columns; ++v, x += a.x_pixel, y += a.y_pixel) {
      Vec<T> g = full ? load(y) : load_partial(y, a.channels);
      if (a.square_y) g *= g;
      if (full && !a.square_x) {
        HC_UNROLL for (int t = 0; t < Taps; ++t) acc[t] = fma(load(x + a.offsets[t]), g, acc[t]);
      } else {
        HC_UNROLL for (int t = 0; t < Taps; ++t) {
          const Vec<T> z = load_partial(x + a.offsets[t], a.channels);
          acc[t] = fma(a.square_x ? z * z : z, g, acc[t]);
        }
      }
    }
  }
  HC_UNROLL for (int t = 0; t < Taps; ++t) {
    T* to = a.sums + t * a.y_pixel;
    const Vec<T> term = a.square ? acc[t] * acc[t] * a.scale : acc[t];
    store_partial(to, load_partial(to, a.channels) + term, a.channels);
  }
}

template <class T, int... N>
constexpr auto channel_kernels(std::integer_sequence<int, N...>) {
  struct Table {
    void (*at[sizeof...(N)])(const ChannelSums<T>&);
  };
  return Table{{&channel_sums<N + 1, T>...}};
}

// The sums of some samples, added to sums (tap, channel).
template <class T>
class ChannelWeights {
 public:
  ChannelWeights(const Window& window, bool square_y, bool square_x, bool square, T scale)
      : win_(window),
        reach_(window),
        square_y_(square_y),
        square_x_(square_x),
        square_(square),
        scale_(scale) {}

  void add(const T* y, const T* x, T* sums) const {
    const std::int64_t taps = win_.tap_count, rows = reach_.rows(win_.rows, win_.step_h);
    const std::int64_t columns = reach_.columns(win_.columns, win_.step_w);
    constexpr std::int64_t kOffset = sizeof(std::int64_t);
    auto* offsets = static_cast<std::int64_t*>(scratch(3, 64 + taps * kOffset)) + 64 / kOffset;
    T* image = reinterpret_cast<T*>(static_cast<char*>(scratch(2, image_bytes())) + 64);
    for (std::int64_t t = 0; t < taps; ++t) {
      offsets[t] =
          ((win_.taps[t].row - reach_.top) * columns + win_.taps[t].column - reach_.left) * win_.c;
    }
    copy_padded(x, win_, reach_.top, reach_.left, rows, columns, win_.c, image);
    ChannelSums<T> a{};
    a.rows = win_.rows, a.columns = win_.columns;
    a.y_pixel = win_.c;
    a.x_row = win_.step_h * columns * win_.c;
    a.x_pixel = win_.step_w * win_.c;
    a.square_y = square_y_, a.square_x = square_x_, a.square = square_;
    a.scale = scale_;
    const Cut cut(taps, kChannelTaps);
    for (std::int64_t c = 0; c < win_.c; c += kLanes<T>) {
      a.channels = static_cast<int>(at_most(win_.c - c, kLanes<T>));
      a.y = y + c;
      a.x = image + c;
      for (std::int64_t i = 0; i < cut.parts; ++i) {
        a.offsets = offsets + cut.begin(i);
        a.sums = sums + cut.begin(i) * win_.c + c;
        kernel(cut.length(i))(a);
      }
    }
  }

  void note(Workspace& needed) const { needed.add(needed.each[2], image_bytes()); }

  std::int64_t numbers() const { return win_.c * win_.tap_count; }

  // w (channel, tap) (+)= the sums of all slices
  void finish(const T* sums, std::int64_t slices, const Out& w) const {
    reorder(sums, slices, numbers(), win_.c, win_.tap_count, w.accumulate, w.as<T>());
  }

 private:
  std::int64_t image_bytes() const {
    return 64 + reach_.rows(win_.rows, win_.step_h) * reach_.columns(win_.columns, win_.step_w) *
                    win_.c * std::int64_t{sizeof(T)};
  }
  static auto kernel(int taps) {
    static constexpr auto table =
        channel_kernels<T>(std::make_integer_sequence<int, kChannelTaps>{});
    return table.at[taps - 1];
  }

  const Window& win_;
  const Reach reach_;
  const bool square_y_, square_x_, square_;
  const T scale_;
};

}  // namespace hesscore::cpu::HC_ISA
