// GraphBuilder: layers that cut, reshape or multiply activations.
#include "hesscore/graph.hpp"
#include "ops/multiply.hpp"
#include "ops/pooling.hpp"
#include "ops/structural.hpp"

namespace hesscore {

int GraphBuilder::slice(int x, int axis, std::int64_t start, std::optional<std::int64_t> stop,
                        std::int64_t step) {
  return push(std::make_shared<Slice>(axis, start, stop, step), {x});
}

int GraphBuilder::reshape(int x, Shape to) {
  if (to.empty()) throw ShapeError("shape of Reshape", "at least one axis", "()");
  return push(std::make_shared<Reshape>("Reshape", std::move(to)), {x});
}

int GraphBuilder::unflatten(int x, int axis, Shape sizes) {
  Shape to = shape(x);
  const auto rank = static_cast<int>(to.size());
  if (axis < 1 || axis > rank) {
    throw GraphError("axis of Unflatten", "1.." + std::to_string(rank) + " (axis 0 is the batch)",
                     std::to_string(axis));
  }
  const std::int64_t n = to[static_cast<std::size_t>(axis) - 1];
  sizes = filled_in("Unflatten", sizes, n);
  const auto at = to.begin() + (axis - 1);
  to.insert(to.erase(at), sizes.begin(), sizes.end());
  return push(std::make_shared<Reshape>("Unflatten", std::move(to)), {x});
}

int GraphBuilder::multiply(int a, int b) { return push(std::make_shared<Multiply>(), {a, b}); }

int GraphBuilder::inner_product(int a, int b) {
  return push(std::make_shared<InnerProduct>(), {a, b});
}

}  // namespace hesscore
