// Layers that cannot be: every builder method says which argument, what it wants and what came.
#include <cmath>
#include <functional>
#include <limits>
#include <typeinfo>

#include "check.hpp"
#include "hesscore/hesscore.hpp"

using namespace hesscore;

namespace {

constexpr std::int64_t kHuge = std::int64_t{1} << 62;
const double kNan = std::numeric_limits<double>::quiet_NaN();

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// Calls on a graph with an image (4, 5, 6), a series (4, 7), a vector (8) and another vector (3).
struct Nodes {
  GraphBuilder b;
  int image = b.input({4, 5, 6}, "image"), series = b.input({4, 7}, "series");
  int vector = b.input({8}, "vector"), other = b.input({3}, "other");
};
using Call = std::function<void(Nodes&)>;

// Does the call throw just this type, naming all three?
template <class E>
void refused(int line, const Call& call, const std::string& arg, const std::string& expected,
             const std::string& got) {
  Nodes nodes;
  try {
    call(nodes);
  } catch (const Error& e) {
    if (typeid(e) == typeid(E) && contains(e.arg(), arg) && contains(e.expected(), expected) &&
        contains(e.got(), got) && contains(e.what(), got)) {
      return;
    }
    return check::fail(__FILE__, line, std::string("another error: ") + e.what());
  }
  check::fail(__FILE__, line, "not refused: " + arg);
}

#define REFUSED(Type, arg, expected, got, ...) \
  refused<Type>(__LINE__, [](Nodes& in) { __VA_ARGS__; }, arg, expected, got)

using Conv = ConvOptions;
using Pool = PoolOptions;

void conv(Nodes& in, const Conv& o, bool transposed = false, std::int64_t out = 6) {
  in.b.call(in.b.make_conv(2, 4, out, o, transposed), in.image);
}

}  // namespace

TEST("convolutions") {
  REFUSED(GraphError, "kernel_size", ">= 1", "0", conv(in, {.kernel = {3, 0}}));
  REFUSED(GraphError, "kernel_size", ">= 1", "-2", conv(in, {.kernel = {-2, 3}}));
  REFUSED(GraphError, "stride", ">= 1", "0", conv(in, {.stride = {0, 1}}));
  REFUSED(GraphError, "dilation", ">= 1", "0", conv(in, {.dilation = {1, 0}}));
  REFUSED(GraphError, "padding", ">= 0", "-1", conv(in, {.padding_before = {-1, 0}}));
  REFUSED(GraphError, "padding", ">= 0", "-3", conv(in, {.padding_after = {0, -3}}));
  REFUSED(GraphError, "groups", "positive", "0", conv(in, {.groups = 0}));
  REFUSED(GraphError, "in_channels", "multiple of groups, 3", "4", conv(in, {.groups = 3}));
  REFUSED(GraphError, "out_channels", "multiple of groups, 4", "6", conv(in, {.groups = 4}));
  REFUSED(GraphError, "out_channels", "positive", "0", conv(in, {}, false, 0));
  REFUSED(GraphError, "in_channels", "positive", "-4", in.b.make_conv(2, -4, 4, {}));
  REFUSED(GraphError, "output_padding", "less than", "1", conv(in, {.output_padding = {1, 0}}));
  REFUSED(ShapeError, "Conv2d(4, 6, (9, 9))", "fits", "(4, 5, 6)", conv(in, {.kernel = {9, 9}}));
  REFUSED(ShapeError, "Conv2d", "(4, H, W)", "(4, 7)",
          in.b.call(in.b.make_conv(2, 4, 2, {}), in.series));
  REFUSED(ShapeError, "Conv2d", "(3, H, W)", "(4, 5, 6)",
          in.b.call(in.b.make_conv(2, 3, 2, {}), in.image));
  REFUSED(ShapeError, "Conv1d", "(4, L)", "(4, 5, 6)",
          in.b.call(in.b.make_conv(1, 4, 2, {}), in.image));
}

TEST("sizes of convolutions that no machine has") {
  for (const bool transposed : {false, true}) {
    for (const Conv& o :
         {Conv{.kernel = {kHuge, 3}}, Conv{.kernel = {3, 3}, .dilation = {1, kHuge}},
          Conv{.padding_before = {kHuge, 0}, .padding_after = {kHuge, 0}}}) {
      Nodes in;
      CHECK_THROWS(Error, conv(in, o, transposed));
    }
  }
  Nodes in;
  CHECK_THROWS(Error, conv(in, {.stride = {kHuge, kHuge}}, true));
  CHECK_THROWS(Error, conv(in, {}, false, kHuge));
}

TEST("transposed convolutions") {
  REFUSED(GraphError, "output_padding", "less than stride or dilation", "2",
          conv(in, {.kernel = {3, 3}, .stride = {2, 2}, .output_padding = {2, 0}}, true));
  REFUSED(GraphError, "output_padding", ">= 0", "-1", conv(in, {.output_padding = {0, -1}}, true));
  REFUSED(ShapeError, "ConvTranspose2d", "fits", "(4, 5, 6)",
          conv(in, {.padding_before = {4, 4}, .padding_after = {4, 4}}, true));
  REFUSED(ShapeError, "ConvTranspose1d", "(4, L)", "(8,)",
          in.b.call(in.b.make_conv(1, 4, 2, {}, true), in.vector));
}

TEST("pooling") {
  REFUSED(GraphError, "kernel_size", "positive", "0", in.b.max_pool(in.image, 2, {{0, 2}}));
  REFUSED(GraphError, "stride", "positive", "0",
          in.b.avg_pool(in.image, 2, {{2, 2}, Pool::Pair{1, 0}}));
  REFUSED(GraphError, "padding", "zero or more", "-1",
          in.b.max_pool(in.image, 2, {.kernel = {2, 2}, .padding = {0, -1}}));
  REFUSED(GraphError, "padding of MaxPool2d", "half of kernel_size, 3", "2",
          in.b.max_pool(in.image, 2, {.kernel = {3, 3}, .padding = {2, 0}}));
  REFUSED(GraphError, "dilation", "positive", "0",
          in.b.max_pool(in.image, 2, {.kernel = {2, 2}, .dilation = {0, 1}}));
  REFUSED(GraphError, "dilation of AvgPool", "1", "2",
          in.b.avg_pool(in.image, 2, {.kernel = {2, 2}, .dilation = {2, 1}}));
  REFUSED(GraphError, "divisor_override", "not zero", "0",
          in.b.avg_pool(in.image, 2, {.kernel = {2, 2}, .divisor_override = 0}));
  REFUSED(GraphError, "options of MaxPool", "none of average", "divisor_override",
          in.b.max_pool(in.image, 2, {.kernel = {2, 2}, .divisor_override = 3}));
  REFUSED(ShapeError, "MaxPool2d", "fits", "(4, 5, 6)", in.b.max_pool(in.image, 2, {{6, 2}}));
  REFUSED(ShapeError, "AvgPool1d", "(C, L)", "(4, 5, 6)", in.b.avg_pool(in.image, 1, {{1, 2}}));
  REFUSED(ShapeError, "AvgPool2d", "(C, H, W)", "(4, 7)", in.b.avg_pool(in.series, 2, {{2, 2}}));
  REFUSED(GraphError, "output_size", "positive", "(0, 2)",
          in.b.adaptive_avg_pool(in.image, {0, 2}));
  REFUSED(GraphError, "output_size", "positive", "-2", in.b.adaptive_max_pool(in.series, {-2}));
  REFUSED(GraphError, "output_size", "one or two", "(1, 1, 1)",
          in.b.adaptive_avg_pool(in.image, {1, 1, 1}));
  REFUSED(ShapeError, "AdaptiveMaxPool2d", "(C, H, W)", "(8,)",
          in.b.adaptive_max_pool(in.vector, {1, 1}));
  REFUSED(ShapeError, "global average pooling", "(C, L)", "(8,)", in.b.global_avg_pool(in.vector));
  Nodes in;
  CHECK_THROWS(Error, in.b.max_pool(in.image, 2, {.kernel = {2, 2}, .dilation = {kHuge, 1}}));
  CHECK_THROWS(Error, in.b.avg_pool(in.image, 2, {.kernel = {kHuge, kHuge}}));
  CHECK_THROWS(Error, in.b.adaptive_avg_pool(in.image, {kHuge, kHuge}));
}

TEST("padding and upsampling") {
  REFUSED(ShapeError, "ZeroPad2d", "cropped to nothing", "(4, 5, 6)",
          in.b.zero_pad(in.image, {{-3, -2}, {0, 0}}));
  REFUSED(ShapeError, "ZeroPad1d", "(C, L)", "(4, 5, 6)", in.b.zero_pad(in.image, {{1, 1}}));
  REFUSED(ShapeError, "ZeroPad2d", "(C, H, W)", "(8,)", in.b.zero_pad(in.vector, {{1, 1}, {1, 1}}));
  REFUSED(GraphError, "ZeroPad", "one or two", "3",
          in.b.zero_pad(in.image, {{1, 1}, {1, 1}, {1, 1}}));
  REFUSED(GraphError, "size", "positive", "(0, 4)", in.b.upsample(in.image, {0, 4}));
  REFUSED(GraphError, "scale_factor", "positive", "-1", in.b.upsample_by(in.series, {-1}));
  REFUSED(ShapeError, "Upsample", "(C, H, W)", "(4, 7)", in.b.upsample(in.series, {2, 2}));
  Nodes in;
  CHECK_THROWS(Error, in.b.zero_pad(in.image, {{kHuge, kHuge}, {0, 0}}));
  CHECK_THROWS(Error, in.b.upsample_by(in.image, {kHuge, 4}));
  CHECK_THROWS(Error, in.b.upsample(in.image, {kHuge, kHuge}));
}

TEST("normalisations") {
  REFUSED(GraphError, "eps", "finite", "nan", in.b.make_batch_norm(2, 4, {.eps = kNan}));
  REFUSED(GraphError, "eps", ">= 0", "-1", in.b.make_layer_norm({6}, {.eps = -1}));
  REFUSED(GraphError, "eps", "finite", "inf", in.b.make_group_norm(2, 4, {.eps = HUGE_VAL}));
  REFUSED(GraphError, "eps", "finite", "nan", in.b.make_rms_norm({6}, {.eps = kNan}));
  REFUSED(GraphError, "eps", ">= 0", "-2", in.b.make_instance_norm(2, 4, {.eps = -2}));
  REFUSED(GraphError, "momentum", "0 <= momentum <= 1", "1.5",
          in.b.make_batch_norm(1, 4, {.momentum = 1.5}));
  REFUSED(GraphError, "momentum", "0 <= momentum <= 1", "nan",
          in.b.make_batch_norm(1, 4, {.momentum = kNan}));
  REFUSED(GraphError, "num_features", "positive", "0", in.b.make_batch_norm(2, 0));
  REFUSED(GraphError, "num_features", "positive", "-3", in.b.make_instance_norm(1, -3));
  REFUSED(GraphError, "num_groups", "positive", "0", in.b.make_group_norm(0, 4));
  REFUSED(GraphError, "num_channels", "multiple of num_groups = 3", "4",
          in.b.make_group_norm(3, 4));
  REFUSED(GraphError, "normalized_shape", "at least one", "()", in.b.make_layer_norm({}));
  REFUSED(GraphError, "normalized_shape", "positive", "(0, 2)", in.b.make_rms_norm({0, 2}));
  REFUSED(ShapeError, "BatchNorm2d(3)", "(3, H, W)", "(4, 5, 6)",
          in.b.call(in.b.make_batch_norm(2, 3), in.image));
  REFUSED(ShapeError, "BatchNorm1d", "(4", "(4, 5, 6)",
          in.b.call(in.b.make_batch_norm(1, 4), in.image));
  REFUSED(ShapeError, "LayerNorm", "6, 5", "(4, 5, 6)",
          in.b.call(in.b.make_layer_norm({6, 5}), in.image));
  REFUSED(ShapeError, "RMSNorm", "7", "(8,)", in.b.call(in.b.make_rms_norm({7}), in.vector));
  REFUSED(ShapeError, "GroupNorm", "6", "(4, 7)", in.b.call(in.b.make_group_norm(2, 6), in.series));
  REFUSED(ShapeError, "InstanceNorm1d", "4", "(8,)",
          in.b.call(in.b.make_instance_norm(1, 4), in.vector));
}

TEST("embeddings") {
  REFUSED(GraphError, "num_embeddings", "positive", "0", in.b.make_embedding(0, 3));
  REFUSED(GraphError, "embedding_dim", "positive", "-1", in.b.make_embedding(3, -1));
  REFUSED(GraphError, "padding_idx", "0..2", "3", in.b.make_embedding(3, 2, 3));
  REFUSED(GraphError, "padding_idx", "0..2", "-1", in.b.make_embedding(3, 2, -1));
  REFUSED(GraphError, "Embedding", "of integers", "tanh",
          { in.b.embedding(in.b.tanh(in.vector), 3, 2); });
  REFUSED(GraphError, "tanh", "real numbers", "", {
    in.b.embedding(in.vector, 3, 2);
    in.b.tanh(in.vector);
  });
  REFUSED(GraphError, "Embedding", "only embeddings", "", {
    in.b.tanh(in.vector);
    in.b.embedding(in.vector, 3, 2);
  });
}

TEST("structure") {
  REFUSED(GraphError, "step of Slice", "positive", "0", in.b.slice(in.vector, 1, 0, 4, 0));
  REFUSED(GraphError, "axis of Slice", "1..3", "0", in.b.slice(in.image, 0, 0));
  REFUSED(GraphError, "axis of Slice", "1..3", "4", in.b.slice(in.image, 4, 0));
  REFUSED(ShapeError, "Slice", "something is left", "(8,)", in.b.slice(in.vector, 1, 5, 3));
  REFUSED(ShapeError, "shape of Reshape", "at least one", "()", in.b.reshape(in.vector, {}));
  REFUSED(ShapeError, "Reshape", "8 elements", "(3, 3)", in.b.reshape(in.vector, {3, 3}));
  REFUSED(ShapeError, "Reshape", "-1 at most", "(-1, -1)", in.b.reshape(in.vector, {-1, -1}));
  REFUSED(ShapeError, "Reshape", "8 elements", "(0, -1)", in.b.reshape(in.vector, {0, -1}));
  REFUSED(ShapeError, "Unflatten", "8 elements", "(3, 2)", in.b.unflatten(in.vector, 1, {3, 2}));
  REFUSED(GraphError, "axis of Unflatten", "1..1", "2", in.b.unflatten(in.vector, 2, {4, 2}));
  REFUSED(ShapeError, "Multiply", "equal or 1", "(3,)", in.b.multiply(in.vector, in.other));
  REFUSED(ShapeError, "InnerProduct", "(8,)", "(3,)", in.b.inner_product(in.vector, in.other));
  REFUSED(GraphError, "p of Dropout", "0 <= p < 1", "1", in.b.dropout(in.vector, 1));
  REFUSED(GraphError, "p of Dropout", "0 <= p < 1", "nan", in.b.dropout(in.vector, kNan));
  REFUSED(GraphError, "axis of Concat", "1..1", "2", in.b.concat({in.vector, in.vector}, 2));
  REFUSED(ShapeError, "Concat", "equal but for axis 2", "(4, 7)",
          in.b.concat({in.image, in.series}, 2));
  REFUSED(GraphError, "node", "nodes so far", "99", in.b.multiply(in.vector, 99));
  REFUSED(GraphError, "node", "nodes so far", "-1", in.b.max_pool(-1, 2, {{2, 2}}));
  Nodes in;
  CHECK_THROWS(Error, in.b.reshape(in.vector, {kHuge, kHuge, -1}));
}
