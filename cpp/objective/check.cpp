// Argument checks of an objective: nothing runs and nothing is written before they pass.
#include <algorithm>

#include "objective/impl.hpp"

namespace hesscore {
namespace {

Shape with_batch(std::int64_t n, const Shape& shape) {
  Shape s{n};
  s.insert(s.end(), shape.begin(), shape.end());
  return s;
}

// "(N, 28, 28)" for messages where the batch is free.
std::string any_batch(const Shape& shape) {
  std::string s = "(N";
  for (const auto d : shape) s += ", " + std::to_string(d);
  return s + (shape.empty() ? ",)" : ")");
}

void check_dtype(const std::string& name, const View& v, DType dtype) {
  if (v.dtype != dtype) {
    throw DTypeError(name, std::string(name_of(dtype)) + ", the dtype of w",
                     std::string(name_of(v.dtype)));
  }
}

template <class T>
void check_weights(const T* weights, std::int64_t n) {
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    if (!(weights[i] >= 0)) {
      throw OptionError("sample_weight", "weights >= 0",
                        std::to_string(weights[i]) + " at position " + std::to_string(i));
    }
    sum += static_cast<double>(weights[i]);
  }
  if (sum == 0) throw OptionError("sample_weight", "a positive weight", "zeros alone");
}

const View& find_input(const Inputs& x, const Graph& graph, int node) {
  const std::string& name = graph.nodes()[static_cast<std::size_t>(node)].name;
  if (x.arrays.size() == 1 && x.arrays[0].first.empty() && graph.inputs().size() == 1) {
    return x.arrays[0].second;
  }
  for (const auto& [key, view] : x.arrays) {
    if (key == name) return view;
  }
  std::string expected;
  for (const int i : graph.inputs()) {
    expected +=
        (expected.empty() ? "inputs " : ", ") + graph.nodes()[static_cast<std::size_t>(i)].name;
  }
  throw ShapeError("x", expected, "no array named '" + name + "'");
}

std::string name_of_input(const Graph& graph, const Node& node) {
  return graph.inputs().size() == 1 ? "x" : "x['" + node.name + "']";
}

// "3", or "(2, 5)" in an array of several axes
std::string position(const Shape& shape, std::int64_t i) {
  if (shape.size() == 1) return std::to_string(i);
  Shape at(shape.size());
  for (std::size_t a = shape.size(); a-- > 0; i /= shape[a]) at[a] = i % shape[a];
  return to_string(at);
}

}  // namespace

Request Objective::Impl::check_point(const View& w, const Inputs& x, const Mode& mode,
                                     Bindings& b) const {
  if (!w) throw ShapeError("w", to_string(Shape{graph_.num_params()}), "nothing");
  if (w.dtype == DType::i64) throw DTypeError("w", "float32 or float64", "int64");
  if (w.shape != Shape{graph_.num_params()}) {
    throw ShapeError("w", to_string(Shape{graph_.num_params()}), to_string(w.shape));
  }
  Request r;
  r.dtype = w.dtype;
  r.train = mode.train;
  b.add(kPortW, w.data);
  if (!graph_.buffers().empty()) {
    b.add(kPortBuffers, buffers_.data());
    b.add(kPortBatchStatistics, batch_statistics_.data());
  }
  if (x.arrays.size() != graph_.inputs().size()) {
    throw ShapeError("x", std::to_string(graph_.inputs().size()) + " input array(s)",
                     std::to_string(x.arrays.size()));
  }
  for (std::size_t i = 0; i < graph_.inputs().size(); ++i) {
    const Node& node = graph_.nodes()[static_cast<std::size_t>(graph_.inputs()[i])];
    const View& v = find_input(x, graph_, graph_.inputs()[i]);
    const std::string name = name_of_input(graph_, node);
    if (node.index_limit == 0) {
      check_dtype(name, v, w.dtype);
    } else if (v.dtype != DType::i64) {
      throw DTypeError(name, "int64, which an embedding reads", std::string(name_of(v.dtype)));
    }
    if (v.shape.empty() || v.shape != with_batch(v.shape[0], node.shape)) {
      throw ShapeError(name, any_batch(node.shape), to_string(v.shape));
    }
    if (i > 0 && v.shape[0] != r.batch) {
      throw ShapeError(name, "a batch of " + std::to_string(r.batch) + ", as the other inputs",
                       std::to_string(v.shape[0]));
    }
    r.batch = v.shape[0];
    b.add(kPortX + static_cast<int>(i), v.data);
  }
  if (device_.is_host()) check_indices(x);
  return r;
}

void Objective::Impl::check_target(const Batch& batch, Request& r, Bindings& b) const {
  if (r.batch == 0) throw ShapeError("x", "at least one sample for a loss", "a batch of 0");
  const View& y = batch.y;
  if (!y) throw ShapeError("y", to_string(with_batch(r.batch, loss_.target)), "nothing");
  if (loss_.labels && y.dtype == DType::i64) {
    check_labels(y, r.batch);
  } else if (loss_.labels) {
    check_soft_target(y, with_batch(r.batch, loss_.soft_target));
    check_dtype("y", y, r.dtype);
    r.soft = true;
  } else {
    check_dtype("y", y, r.dtype);
    const Shape expected = with_batch(r.batch, loss_.target);
    if (y.shape != expected) throw ShapeError("y", to_string(expected), to_string(y.shape));
  }
  b.add(kPortY, y.data);
  if (const View& s = batch.sample_weight) {
    check_dtype("sample_weight", s, r.dtype);
    if (s.shape != Shape{r.batch}) {
      throw ShapeError("sample_weight", to_string(Shape{r.batch}), to_string(s.shape));
    }
    r.weighted = true;
    b.add(kPortSampleWeight, s.data);
  }
  if (device_.is_host()) check_values(batch, r);
}

void Objective::Impl::check_soft_target(const View& y, const Shape& shape) const {
  if (y.shape == shape) return;
  Shape labels = shape;
  labels.erase(labels.begin() + 1);
  if (y.shape == labels) {
    throw LabelError("y", "integer labels, or class probabilities " + to_string(shape),
                     std::string(name_of(y.dtype)) + " of shape " + to_string(y.shape));
  }
  throw ShapeError(
      "y", "class probabilities " + to_string(shape) + ", or integer labels " + to_string(labels),
      to_string(y.shape));
}

void Objective::Impl::check_labels(const View& y, std::int64_t batch) const {
  const Shape expected = with_batch(batch, loss_.target);
  if (y.shape != expected) {
    throw ShapeError("y", "integer labels " + to_string(expected), to_string(y.shape));
  }
}

// The elements of an array where the host may read them, copied there if need be.
template <class T>
const T* Objective::Impl::on_host(const View& v, std::vector<std::byte>& copy) const {
  if (device_.is_host()) return static_cast<const T*>(v.data);
  copy.resize(static_cast<std::size_t>(element_count(v.shape)) * sizeof(T));
  device_.to_host(copy.data(), v.data, copy.size());
  return reinterpret_cast<const T*>(copy.data());
}

void Objective::Impl::check_values(const Batch& batch, const Request& r) const {
  std::vector<std::byte> copy;
  if (batch.y.dtype == DType::i64 && element_count(batch.y.shape) > 0) {
    check_label_values(on_host<std::int64_t>(batch.y, copy), element_count(batch.y.shape));
  }
  if (!batch.sample_weight) return;
  r.dtype == DType::f32 ? check_weights(on_host<float>(batch.sample_weight, copy), r.batch)
                        : check_weights(on_host<double>(batch.sample_weight, copy), r.batch);
}

void Objective::Impl::check_indices(const Inputs& x) const {
  for (const int input : graph_.inputs()) {
    const Node& node = graph_.nodes()[static_cast<std::size_t>(input)];
    const View& v = find_input(x, graph_, input);
    const std::int64_t n = element_count(v.shape);
    if (node.index_limit == 0 || n == 0) continue;
    std::vector<std::byte> copy;
    const auto* indices = on_host<std::int64_t>(v, copy);
    for (std::int64_t i = 0; i < n; ++i) {
      if (indices[i] >= 0 && indices[i] < node.index_limit) continue;
      throw IndexRangeError(name_of_input(graph_, node),
                            "rows of an embedding, 0.." + std::to_string(node.index_limit - 1),
                            std::to_string(indices[i]) + " at position " + position(v.shape, i));
    }
  }
}

void Objective::Impl::check_label_values(const std::int64_t* labels, std::int64_t n) const {
  const std::int64_t classes = loss_.spec.classes;
  std::int64_t counted = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    if (loss_.spec.has_ignore && labels[i] == loss_.spec.ignore_index) continue;
    ++counted;
    if (labels[i] < 0 || labels[i] >= classes) {
      throw LabelError("y", "labels in 0.." + std::to_string(classes - 1),
                       std::to_string(labels[i]) + " at position " + std::to_string(i));
    }
  }
  if (counted == 0) {
    throw LabelError("y", "at least one label that is not ignore_index",
                     "only ignore_index " + std::to_string(loss_.spec.ignore_index));
  }
}

void Objective::Impl::check_output(std::string_view name, const Target& out, const Shape& shape,
                                   DType dtype) const {
  if (out.dtype != dtype) {
    throw OutputError(std::string(name), std::string(name_of(dtype)),
                      std::string(name_of(out.dtype)));
  }
  if (out.shape != shape) {
    throw OutputError(std::string(name), to_string(shape), to_string(out.shape));
  }
}

void Objective::Impl::add_samples(const Outputs& out, Request& r, Bindings& b) const {
  const auto add = [&](const char* name, const Target& to, const Shape& shape, int port,
                       bool& wanted) {
    if (!to) return;
    check_output(name, to, shape, r.dtype);
    wanted = true;
    b.add(port, to.data);
  };
  const Shape flat{graph_.num_params()};
  const GradMoments& m = out.grad_moments;
  MomentsRequest& wanted = r.grad_moments;
  add("per_sample_grads", out.per_sample_grads, with_batch(r.batch, flat), kPortPerSample,
      r.per_sample_grads);
  add("mean", m.mean, flat, kPortMean, wanted.mean);
  add("second_moment", m.second_moment, flat, kPortSecondMoment, wanted.second_moment);
  add("variance", m.variance, flat, kPortVariance, wanted.variance);
  add("norms", m.norms, Shape{r.batch}, kPortNorms, wanted.norms);
}

std::int64_t Objective::Impl::check_vectors(const char* name, const View& v, const Shape& one,
                                            DType dtype) const {
  const bool single = v.shape == one;
  const bool stacked = v.shape.size() == one.size() + 1 &&
                       std::equal(one.begin(), one.end(), v.shape.begin() + 1) && v.shape[0] > 0;
  if (!v || (!single && !stacked)) {
    Shape many{0};
    many.insert(many.end(), one.begin(), one.end());
    std::string stack = to_string(many);
    stack.replace(1, 1, "K");
    throw ShapeError(name, to_string(one) + " or " + stack, v ? to_string(v.shape) : "nothing");
  }
  check_dtype(name, v, dtype);
  return single ? 1 : v.shape[0];
}

}  // namespace hesscore
