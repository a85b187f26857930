// GraphBuilder: normalisations.
#include "hesscore/graph.hpp"
#include "ops/norm.hpp"

namespace hesscore {

GraphBuilder::Layer GraphBuilder::make_batch_norm(std::size_t dimensions, std::int64_t features,
                                                  const BatchNormOptions& options,
                                                  std::string name) {
  return make_layer(std::make_shared<BatchNorm>(dimensions, features, options), std::move(name));
}

GraphBuilder::Layer GraphBuilder::make_layer_norm(const Shape& shape,
                                                  const LayerNormOptions& options,
                                                  std::string name) {
  return make_layer(std::make_shared<LayerNorm>(shape, options), std::move(name));
}

GraphBuilder::Layer GraphBuilder::make_rms_norm(const Shape& shape, const RMSNormOptions& options,
                                                std::string name) {
  return make_layer(std::make_shared<LayerNorm>(shape, options), std::move(name));
}

GraphBuilder::Layer GraphBuilder::make_group_norm(std::int64_t groups, std::int64_t channels,
                                                  const GroupNormOptions& options,
                                                  std::string name) {
  return make_layer(std::make_shared<GroupNorm>(groups, channels, options), std::move(name));
}

GraphBuilder::Layer GraphBuilder::make_instance_norm(std::size_t dimensions, std::int64_t features,
                                                     const GroupNormOptions& options,
                                                     std::string name) {
  return make_layer(std::make_shared<GroupNorm>(dimensions, features, options), std::move(name));
}

}  // namespace hesscore
