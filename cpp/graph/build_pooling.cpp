// GraphBuilder: pooling, padding and upsampling of images.
#include "hesscore/graph.hpp"
#include "ops/pooling.hpp"

namespace hesscore {

int GraphBuilder::max_pool(int x, std::size_t dimensions, const PoolOptions& options) {
  return push(std::make_shared<MaxPool>(dimensions, options), {x});
}

int GraphBuilder::avg_pool(int x, std::size_t dimensions, const PoolOptions& options) {
  return push(std::make_shared<AvgPool>(dimensions, options), {x});
}

int GraphBuilder::adaptive_max_pool(int x, const Shape& size) {
  return push(std::make_shared<MaxPool>(size), {x});
}

int GraphBuilder::adaptive_avg_pool(int x, const Shape& size) {
  return push(std::make_shared<AvgPool>(size), {x});
}

int GraphBuilder::global_avg_pool(int x) {
  const Shape& in = shape(x);
  if (in.size() != 2 && in.size() != 3) {
    throw ShapeError("input of global average pooling", "(C, L) or (C, H, W)",
                     "shape " + to_string(in) + " without the batch");
  }
  return adaptive_avg_pool(x, Shape(in.size() - 1, 1));
}

int GraphBuilder::zero_pad(int x, const std::vector<std::array<std::int64_t, 2>>& padding) {
  return push(std::make_shared<ZeroPad>(padding), {x});
}

int GraphBuilder::upsample(int x, const Shape& size) {
  return push(std::make_shared<Upsample>(size, false), {x});
}

int GraphBuilder::upsample_by(int x, const Shape& factors) {
  return push(std::make_shared<Upsample>(factors, true), {x});
}

}  // namespace hesscore
