// The networks of the benches: multilayer perceptrons by their widths, and convolutional networks
// as hc.models makes them, parameters in the same order; `thin` divides their channels.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "hesscore/hesscore.hpp"

namespace bench {

namespace hc = hesscore;
using Size = std::int64_t;

struct Network {
  std::string name;
  hc::Shape input;
  Size classes = 10;
  bool train = false;  // batch norm takes the statistics of the batch
  bool deep = false;   // too many passes over it take too long
  hc::Graph graph;

  bool supports(const std::string& quantity) const {
    const std::vector<std::vector<std::string>> all = hc::supported(graph, train);
    return std::ranges::all_of(all, [&](const std::vector<std::string>& known) {
      return std::ranges::find(known, quantity) != known.end();
    });
  }
};

inline Network mlp(const std::vector<Size>& widths, const std::string& activation) {
  Network net{.name = "", .input = {widths[0]}, .classes = widths.back(), .graph = {}};
  hc::GraphBuilder b;
  int x = b.input(net.input);
  for (std::size_t l = 0; l < widths.size(); ++l) {
    net.name += (l > 0 ? "-" : "") + std::to_string(widths[l]);
    if (l == 0) continue;
    x = b.linear(x, widths[l]);
    if (l + 1 < widths.size()) x = b.activation(x, activation);
  }
  net.graph = b.finish(x, hc::CrossEntropyLoss{});
  return net;
}

// Layers on the node `x` of a graph that grows.
class Layers {
 public:
  Layers(const hc::Shape& input, Size thin) : x_(b_.input(input)), thin_(thin) {}

  Size width(Size channels) const { return std::max<Size>(1, channels / thin_); }
  int x() const { return x_; }
  Layers& at(int x) { return x_ = x, *this; }

  Layers& conv(Size out, Size kernel, Size padding = 0, Size stride = 1, bool bias = true) {
    hc::ConvOptions o{.kernel = {kernel, kernel}, .stride = {stride, stride}, .bias = bias};
    o.padding_before = o.padding_after = {padding, padding};
    return at(b_.conv2d(x_, out, o));
  }
  Layers& batch_norm() { return at(b_.call(b_.make_batch_norm(2, b_.shape(x_)[0]), x_)); }
  Layers& linear(Size out) { return at(b_.linear(x_, out)); }
  Layers& flatten() { return at(b_.flatten(x_)); }
  Layers& relu() { return at(b_.relu(x_)); }
  Layers& tanh() { return at(b_.tanh(x_)); }
  Layers& add(int other) { return at(b_.add({x_, other})); }
  Layers& mean() { return at(b_.global_avg_pool(x_)).flatten(); }
  Layers& avg_pool(Size kernel) {
    return at(b_.avg_pool(x_, 2, {.kernel = {kernel, kernel}, .stride = {}}));
  }
  Layers& max_pool(Size kernel, Size stride) {
    return at(b_.max_pool(
        x_, 2, {.kernel = {kernel, kernel}, .stride = {{stride, stride}}, .ceil_mode = true}));
  }
  hc::Graph finish() { return b_.finish(x_, hc::CrossEntropyLoss{}); }

 private:
  hc::GraphBuilder b_;
  int x_;
  Size thin_;
};

inline void lenet5(Layers& net) {
  net.conv(net.width(6), 5, 2).tanh().avg_pool(2);
  net.conv(net.width(16), 5).tanh().avg_pool(2).flatten();
  net.linear(net.width(120)).tanh().linear(net.width(84)).tanh().linear(10);
}

inline void cnn_3c3d(Layers& net) {
  net.conv(net.width(64), 5).relu().max_pool(3, 2);
  net.conv(net.width(96), 3).relu().max_pool(3, 2);
  net.conv(net.width(128), 3, 1).relu().max_pool(3, 2).flatten();
  net.linear(net.width(512)).relu().linear(net.width(256)).relu().linear(10);
}

inline void all_cnn_c(Layers& net) {
  const Size narrow = net.width(96), wide = net.width(192);
  net.conv(narrow, 3, 1).relu().conv(narrow, 3, 1).relu().conv(narrow, 3, 1, 2).relu();
  net.conv(wide, 3, 1).relu().conv(wide, 3, 1).relu().conv(wide, 3, 1, 2).relu();
  net.conv(wide, 3).relu().conv(wide, 1).relu().conv(100, 1).relu().mean();
}

inline void resnet18(Layers& net) {
  net.conv(net.width(64), 3, 1, 1, false).batch_norm().relu();
  for (const Size channels : {64, 128, 256, 512}) {
    for (const bool first : {true, false}) {
      const Size out = net.width(channels), stride = first && channels > 64 ? 2 : 1;
      const int before = net.x();
      const int branch = net.conv(out, 3, 1, stride, false)
                             .batch_norm()
                             .relu()
                             .conv(out, 3, 1, 1, false)
                             .batch_norm()
                             .x();
      net.at(before);
      if (stride > 1) net.conv(out, 1, 0, stride, false).batch_norm();
      net.add(branch).relu();
    }
  }
  net.mean().linear(10);
}

// "lenet5", "3c3d", "allcnnc" or "resnet18".
inline std::optional<Network> convolutional(const std::string& name, Size thin = 1) {
  const auto make = [&](const hc::Shape& input, auto layers, Size classes = 10) {
    Layers net(input, thin);
    layers(net);
    return Network{.name = name, .input = input, .classes = classes, .graph = net.finish()};
  };
  const hc::Shape color{3, 32, 32};
  if (name == "lenet5") return make({1, 28, 28}, lenet5);
  if (name == "3c3d") return make(color, cnn_3c3d);
  if (name != "allcnnc" && name != "resnet18") return {};
  Network net = name == "allcnnc" ? make(color, all_cnn_c, 100) : make(color, resnet18);
  net.train = name == "resnet18";
  net.deep = true;
  return net;
}

}  // namespace bench
