// KFRA (Botev et al. 2017): M, the sum over samples of the Gauss-Newton matrix in a layer's output,
// taken from layer to layer as if its Jacobians were independent of what is above:
//   M_x = J' M J where J is the same for all samples;  M_x = (sum_n s_n d_n d_n') o M where it is
// diag(d_n), s_n the samples' weights, which sum to one. G is the sum over positions of M's blocks.
#include "objective/columns.hpp"
#include "objective/kronecker_passes.hpp"

namespace hesscore {

Operand KroneckerPasses::averaged_at_output() {
  const std::int64_t n = loss_.outputs();
  Sum positive, negative;
  loss_.each_chunk(chunk_of(graph_, r_.batch, loss_.column_count()),
                   [&](Operand columns, std::int64_t count, double sign) {
                     Sum& to = sign > 0 ? positive : negative;
                     add_outer(columns, columns, count * r_.batch, n, to);
                   });
  Out m(e_.temporary(n * n));
  matrix_of(positive, negative, n, m);
  return m;
}

void KroneckerPasses::averages() {
  Operand m = averaged_at_output();
  std::vector<bool> active;
  for (const Node& n : graph_.nodes()) {
    bool reached = n.group >= 0;
    for (const int in : n.inputs) reached = reached || active[static_cast<std::size_t>(in)];
    active.push_back(reached);
  }
  auto i = static_cast<std::size_t>(graph_.output());
  while (active[i]) {
    const Node& node = graph_.nodes()[i];
    const Site& s = sweep_.site(i);
    i = static_cast<std::size_t>(node.inputs[0]);
    if (node.op->is_view(r_.train)) continue;
    if (node.group >= 0) average_factors(node, m);
    if (!active[i]) break;
    m = node.op->jacobian(r_.train) == JacobianKind::same ? through_map(node, s, m)
                                                          : through_slopes(node, s, m);
  }
}

void KroneckerPasses::average_factors(const Node& node, In m) {
  const In one = e_.constant({1.0});
  for (const KroneckerPlace& p : layout_.places) {
    if (p.group != node.group || (!p.weights && !p.shape.contracted)) continue;
    const std::int64_t width = p.shape.width, n = element_count(node.shape);
    const std::int64_t first = width == p.rows ? 0 : static_cast<std::int64_t>(p.part) * p.rows;
    const bool reduce = how_.reduce && !p.diagonal;
    math::BroadcastAxes axes;
    axes.kept = 2;
    axes.size[0] = axes.size[1] = p.rows;
    axes.p[0] = n;
    axes.p[1] = 1;
    axes.summed = reduce ? 2 : 1;
    axes.size[2] = axes.size[3] = n / width;
    axes.p[2] = reduce ? width * n : width * (n + 1);
    axes.p[3] = width;
    e_.call<kernels::BroadcastProduct>({m.at(first * (n + 1)), one, Out(out(p.g)), axes});
  }
}

// J' (J' M)', M symmetric: its rows are adjoints of samples.
Operand KroneckerPasses::through_map(const Node& node, const Site& s, In m) {
  const std::int64_t x = element_count(s.x_shapes[0]), y = element_count(s.y_shape);
  const auto pull = [&](In gy, std::int64_t rows) {
    Site many = s;
    many.batch = rows;
    const Operand gx = e_.temporary(rows * x);
    node.op->vjp(e_, many, {gy, {Out(gx)}, {}, 1, 0});
    return gx;
  };
  const Operand half = pull(m, y), turned = e_.temporary(x * y);
  e_.call<kernels::Transpose>({half, turned, 1, y, x});
  return pull(turned, x);
}

Operand KroneckerPasses::through_slopes(const Node& node, const Site& s, In m) {
  const std::int64_t n = element_count(s.y_shape);
  const Operand ones = e_.temporary(r_.batch * n), slopes = e_.temporary(r_.batch * n);
  e_.call<kernels::Fill>({ones, r_.batch * n, 1});
  node.op->vjp(e_, s, {ones, {Out(slopes)}, {}, 1, 0});
  Sum products;
  add_outer(slopes, weighted(slopes, 0, r_.batch, n), r_.batch, n, products);
  const Operand mean = e_.temporary(n * n), bent = e_.temporary(n * n);
  const double scale = weights_ ? 1 : 1 / static_cast<double>(r_.batch);
  e_.call<kernels::Mirror>({products.raw, {}, mean, n, 1, scale});
  e_.call<kernels::Multiply>({m, mean, bent, n * n});
  return bent;
}

}  // namespace hesscore
