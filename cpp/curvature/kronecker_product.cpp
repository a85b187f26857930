// Products with Kronecker-factored matrices: two narrow products for each block.
#include "curvature/kronecker_product.hpp"

namespace hesscore {
namespace {

// Matrices of `count` vectors, `stride` numbers apart.
template <class Side>
struct Stacked {
  Side at;
  std::int64_t stride = 0;
};

math::BroadcastAxes axes_of(std::initializer_list<std::array<std::int64_t, 3>> list) {
  math::BroadcastAxes axes;
  for (const auto& [size, p, q] : list) {
    axes.size[axes.kept] = size;
    axes.p[axes.kept] = p;
    axes.q[axes.kept++] = q;
  }
  return axes;
}

class Block {
 public:
  Block(Emit& e, const KroneckerPlace& p, std::int64_t count, std::int64_t n)
      : e_(e), p_(p), count_(count), n_(n), one_(e.constant({1.0})) {}

  void direct() {
    const In left = e_.external(kKroneckerFactors).at(p_.g);
    const In right = e_.external(kKroneckerFactors).at(p_.a);
    if (p_.diagonal) {
      const Operand y = right_product(gathered(), left, false, p_.columns, p_.rows);
      return scale_rows(y, right);
    }
    const Operand y = right_product(gathered(), right, false, p_.rows, p_.columns);
    left_product(left, false, y);
  }

  void spectral() {
    const In q_g = e_.external(kKroneckerFactors).at(p_.g);
    const In q_a = e_.external(kKroneckerFactors).at(p_.a);
    if (p_.diagonal) {
      const Operand y = right_product(gathered(), q_g, true, p_.columns, p_.rows);
      const Stacked<In> z{scaled(y), p_.elements()};
      const Stacked<Out> to{external_out().at(p_.weight_at), n_};
      return product(z, q_g, false, p_.columns, p_.rows, to);
    }
    const Operand y = right_product(gathered(), q_a, true, p_.rows, p_.columns);
    const Operand inner = e_.temporary(count_ * p_.elements());
    left_product(q_g, false, y, {Out(inner), p_.elements()});
    const Operand back = e_.temporary(count_ * p_.elements());
    left_product(q_g, true, scaled(inner), {Out(back), p_.elements()});
    const Stacked<In> from{back, p_.elements()};
    if (in_place()) return product(from, q_a, false, p_.rows, p_.columns, {Out(place()), n_});
    const Operand z = right_product(from, q_a, false, p_.rows, p_.columns);
    scatter(z);
  }

 private:
  Operand external_out() { return e_.external(kPortOut); }
  Operand place() { return external_out().at(p_.weights ? p_.weight_at : p_.bias_at); }
  // Does the block lie among the parameters as its matrix?
  bool in_place() const {
    return p_.diagonal || !p_.weights || (p_.bias_at < 0 && !p_.shape.channels_first);
  }

  Stacked<In> gathered() {
    const In v = e_.external(kPortV);
    if (in_place()) return {v.at(p_.weights ? p_.weight_at : p_.bias_at), n_};
    const std::int64_t k = p_.shape.columns(), taps = p_.shape.taps;
    const Operand all = e_.temporary(count_ * p_.elements());
    for (std::int64_t i = 0; i < count_; ++i) {
      In weight = v.at(i * n_ + p_.weight_at);
      const Operand to = all.at(i * p_.elements());
      if (p_.shape.channels_first) {
        const Operand own = p_.bias_at < 0 ? to : e_.temporary(p_.rows * k);
        e_.call<kernels::BroadcastProduct>(
            {weight, one_, own,
             axes_of({{p_.rows, taps, 0}, {p_.shape.channels, p_.rows * taps, 0}, {taps, 1, 0}})});
        weight = own;
      }
      if (p_.bias_at < 0) continue;
      e_.call<kernels::Copy>({weight, to, p_.rows, k, k, p_.columns});
      e_.call<kernels::Copy>({v.at(i * n_ + p_.bias_at), to.at(k), p_.rows, 1, 1, p_.columns});
    }
    return {all, p_.elements()};
  }

  void scatter(In from) {
    const std::int64_t k = p_.shape.columns(), taps = p_.shape.taps;
    for (std::int64_t i = 0; i < count_; ++i) {
      const In z = from.at(i * p_.elements());
      const Out to = external_out().at(i * n_ + p_.weight_at);
      if (p_.shape.channels_first) {
        e_.call<kernels::BroadcastProduct>(
            {z, one_, to,
             axes_of({{p_.shape.channels, taps, 0}, {p_.rows, p_.columns, 0}, {taps, 1, 0}})});
      } else {
        e_.call<kernels::Copy>({z, to, p_.rows, k, p_.columns, k});
      }
      if (p_.bias_at < 0) continue;
      e_.call<kernels::Copy>(
          {z.at(k), external_out().at(i * n_ + p_.bias_at), p_.rows, 1, p_.columns, 1});
    }
  }

  // to = from b, matrices (rows, columns) by (columns, columns)
  void product(Stacked<In> from, In b, bool trans_b, std::int64_t rows, std::int64_t columns,
               Stacked<Out> to) {
    kernels::Product::Args a{from.at, b, {}, to.at, rows, columns, columns, false, trans_b};
    a.batch = count_;
    a.stride_a = from.stride;
    a.stride_c = to.stride;
    e_.call<kernels::Product>(a);
  }
  Operand right_product(Stacked<In> from, In b, bool trans_b, std::int64_t rows,
                        std::int64_t columns) {
    const Operand y = e_.temporary(count_ * rows * columns);
    product(from, b, trans_b, rows, columns, {Out(y), rows * columns});
    return y;
  }

  // L y, to where the block lies among the parameters.
  void left_product(In left, bool trans, In y) {
    if (in_place()) return left_product(left, trans, y, {Out(place()), n_});
    const Operand z = e_.temporary(count_ * p_.elements());
    left_product(left, trans, y, {Out(z), p_.elements()});
    scatter(z);
  }
  void left_product(In left, bool trans, In y, Stacked<Out> to) {
    kernels::Product::Args a{left, y, {}, to.at, p_.rows, p_.columns, p_.rows, trans};
    a.batch = count_;
    a.stride_b = p_.elements();
    a.stride_c = to.stride;
    e_.call<kernels::Product>(a);
  }

  Operand scaled(In y) {
    const Operand z = e_.temporary(count_ * p_.elements());
    e_.call<kernels::Multiply>(
        {e_.external(kKroneckerMiddle).at(p_.matrix_at), y, z, p_.elements(), count_, false, true});
    return z;
  }

  // Of an embedding: every token's row by a number of its own.
  void scale_rows(In y, In factors) {
    for (std::int64_t i = 0; i < count_; ++i) {
      e_.call<kernels::BroadcastProduct>({y.at(i * p_.elements()), factors,
                                          Out(external_out().at(i * n_ + p_.weight_at)),
                                          axes_of({{p_.columns, p_.rows, 1}, {p_.rows, 1, 0}})});
    }
  }

  Emit& e_;
  const KroneckerPlace& p_;
  const std::int64_t count_, n_;
  const In one_;
};

// diag(G) diag(A)', read where it lies.
void direct_diagonal(Emit& e, const KroneckerPlace& p) {
  const In g = e.external(kKroneckerFactors).at(p.g), a = e.external(kKroneckerFactors).at(p.a);
  const Operand out = e.external(kPortOut);
  const std::int64_t next_g = p.rows + 1, next_a = p.columns + 1, taps = p.shape.taps;
  if (p.diagonal) {
    return e.call<kernels::BroadcastProduct>(
        {g, a, Out(out.at(p.weight_at)), axes_of({{p.columns, 0, 1}, {p.rows, next_g, 0}})});
  }
  if (p.weights) {
    const auto axes =
        p.shape.channels_first
            ? axes_of(
                  {{p.shape.channels, 0, taps * next_a}, {p.rows, next_g, 0}, {taps, 0, next_a}})
            : axes_of({{p.rows, next_g, 0}, {p.shape.columns(), 0, next_a}});
    e.call<kernels::BroadcastProduct>({g, a, Out(out.at(p.weight_at)), axes});
  }
  if (p.bias_at < 0) return;
  e.call<kernels::BroadcastProduct>(
      {g, a.at((p.columns - 1) * next_a), Out(out.at(p.bias_at)), axes_of({{p.rows, next_g, 0}})});
}

// (Q_G o Q_G)' D (Q_A o Q_A)
void spectral_diagonal(Emit& e, const KroneckerPlace& p) {
  const In q_g = e.external(kKroneckerFactors).at(p.g), q_a = e.external(kKroneckerFactors).at(p.a);
  const In d = e.external(kKroneckerMiddle).at(p.matrix_at), one = e.constant({1.0});
  const Operand out = e.external(kPortOut);
  if (p.diagonal) {
    kernels::Product::Args a{d, q_g, {}, Out(out.at(p.weight_at)), p.columns, p.rows, p.rows};
    a.square_b = true;
    return e.call<kernels::Product>(a);
  }
  const Operand y = e.temporary(p.elements()), z = e.temporary(p.elements());
  kernels::Product::Args left{q_g, d, {}, y, p.rows, p.columns, p.rows, /*trans_a=*/true};
  left.square_a = true;
  e.call<kernels::Product>(left);
  kernels::Product::Args right{y, q_a, {}, z, p.rows, p.columns, p.columns};
  right.square_b = true;
  e.call<kernels::Product>(right);
  const std::int64_t taps = p.shape.taps;
  if (p.weights) {
    const auto axes =
        p.shape.channels_first
            ? axes_of({{p.shape.channels, taps, 0}, {p.rows, p.columns, 0}, {taps, 1, 0}})
            : axes_of({{p.rows, p.columns, 0}, {p.shape.columns(), 1, 0}});
    e.call<kernels::BroadcastProduct>({z, one, Out(out.at(p.weight_at)), axes});
  }
  if (p.bias_at < 0) return;
  e.call<kernels::BroadcastProduct>(
      {z.at(p.columns - 1), one, Out(out.at(p.bias_at)), axes_of({{p.rows, p.columns, 0}})});
}

}  // namespace

void emit_kronecker_product(Emit& e, const KroneckerLayout& layout, KroneckerForm form,
                            std::int64_t count, std::int64_t n) {
  for (const KroneckerPlace& p : layout.places) {
    Block block(e, p, count, n);
    form == KroneckerForm::direct ? block.direct() : block.spectral();
  }
}

void emit_kronecker_diagonal(Emit& e, const KroneckerLayout& layout, KroneckerForm form) {
  for (const KroneckerPlace& p : layout.places) {
    form == KroneckerForm::direct ? direct_diagonal(e, p) : spectral_diagonal(e, p);
  }
}

}  // namespace hesscore
