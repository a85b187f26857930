// Products, dual products and grouped squares as instances of one packed, register-tiled product.
#include "cpu/isa/products.hpp"
#include "backend/kernels.hpp"
#include "cpu/isa/column_sum.hpp"
#include "cpu/isa/dots.hpp"
#include "cpu/isa/outer.hpp"
#include "cpu/isa/register.hpp"
#include "cpu/isa/row_product.hpp"

namespace hesscore::cpu::HC_ISA {
namespace {

template <class T>
const T* pointer(const In& x) {
  return static_cast<const T*>(x.ptr);
}
template <class T>
T* pointer(const Out& x) {
  return static_cast<T*>(x.ptr);
}

// C = op(A) op(B) with the rows of op(B) as vectors ...
template <class T>
Problem<T> by_columns(const kernels::Product::Args& a) {
  Problem<T> p;
  p.s = pointer<T>(a.a);
  p.s_layout = a.trans_a ? Layout::along_rows : Layout::along_k;
  p.s_stride = a.trans_a ? a.m : a.k;
  p.s_batch = a.stride_a;
  p.square_s = a.square_a;
  p.v = pointer<T>(a.b);
  p.v_along_k = a.trans_b;
  p.v_stride = a.trans_b ? a.k : a.n;
  p.v_batch = a.stride_b;
  p.square_v = a.square_b;
  p.rows = a.m;
  p.columns = a.n;
  return p;
}

// ... or C' = op(B)' op(A)' with the columns of op(A) as vectors.
template <class T>
Problem<T> by_rows(const kernels::Product::Args& a) {
  Problem<T> p;
  p.s = pointer<T>(a.b);
  p.s_layout = a.trans_b ? Layout::along_k : Layout::along_rows;
  p.s_stride = a.trans_b ? a.k : a.n;
  p.s_batch = a.stride_b;
  p.square_s = a.square_b;
  p.v = pointer<T>(a.a);
  p.v_along_k = !a.trans_a;
  p.v_stride = a.trans_a ? a.m : a.k;
  p.v_batch = a.stride_a;
  p.square_v = a.square_a;
  p.rows = a.n;
  p.columns = a.m;
  p.transposed = true;
  return p;
}

// In sixteenths of a vector multiplication: the multiplications with their padding, the transposing
// of V, and that of C.
template <class T>
std::int64_t cost(const Problem<T>& p, std::int64_t k, std::int64_t batch) {
  const std::int64_t vectors = (p.columns + kLanes<T> - 1) / kLanes<T>;
  const std::int64_t packing = p.v_along_k ? 80 * k / (p.v_batch ? 1 : batch) : 0;
  return vectors * (16 * k * p.rows + packing + (p.transposed ? 48 * p.rows : 0));
}

// A batch that shares B and B's bias and is stacked in A and C is one product with more rows.
bool stacked(const kernels::Product::Args& a) {
  return a.batch > 1 && !a.trans_a && a.stride_b == 0 && a.stride_bias == 0 &&
         a.stride_a == a.m * a.k && a.stride_c == a.m * a.n;
}

// In the same unit, summing up each accumulator included.
template <class T>
std::int64_t dots_cost(const kernels::Product::Args& a) {
  return a.m * a.n * (16 * a.k / kLanes<T> + 65);
}

bool contiguous_along_k(const kernels::Product::Args& a) {
  return !a.trans_a && a.trans_b && !a.square_a && !a.square_b;
}

template <class T>
void product_of_rows(const kernels::Product::Args& a) {
  const Finish<T> finish = finish_of<T>(a.then, pointer<T>(a.c), nullptr);
  const std::int64_t work = a.batch * a.m * a.n * (a.k / kLanes<T> + 5);
  const std::int64_t per_row = at_least(work / (a.batch * a.m), 1);
  const std::int64_t size = (kTaskWork / per_row + kDotRows) / kDotRows * kDotRows;
  const std::int64_t pieces = (a.m + size - 1) / size;
  for_each_task(a.batch * pieces, work < kSerialWork, [&](std::int64_t i) {
    const std::int64_t item = i / pieces, first = i % pieces * size;
    const std::int64_t last = at_most(first + size, a.m);
    const T* bias = a.bias ? pointer<T>(a.bias) + item * a.stride_bias : nullptr;
    const Dots<T> d{pointer<T>(a.a) + item * a.stride_a,
                    pointer<T>(a.b) + item * a.stride_b,
                    bias,
                    pointer<T>(a.c) + item * a.stride_c,
                    a.n,
                    a.k,
                    a.c.accumulate};
    dots_of_rows(d, first, last);
    if (finish.kind != kernels::Epilogue::none) finish(first * a.n, (last - first) * a.n);
  });
}

template <class T>
void row_sums(In a, Out sum, std::int64_t k, std::int64_t m, std::int64_t batch = 1,
              std::int64_t stride_a = 0, std::int64_t stride_sum = 0) {
  if (!sum) return;
  column_sum<T>(nullptr, {.x = a,
                          .y = sum,
                          .groups = k,
                          .positions = 1,
                          .columns = m,
                          .batch = batch,
                          .stride_x = stride_a,
                          .stride_y = stride_sum});
}

bool is_outer(const kernels::Product::Args& a) {
  return a.k == 1 && !a.c.accumulate && !a.bias && a.then.kind == kernels::Epilogue::none;
}

bool is_outer(const kernels::DualProduct::Args& a) {
  return a.k == 1 && !a.c1.accumulate && !a.c2.accumulate && a.then.kind == kernels::Epilogue::none;
}

bool is_row(const kernels::Product::Args& a) {
  return a.m == 1 && a.batch == 1 && !a.trans_b && !a.square_a;
}

template <class T>
RowProduct<T> row_product(const kernels::Product::Args& a) {
  return {.s = pointer<T>(a.a),
          .s2 = nullptr,
          .v = pointer<T>(a.b),
          .bias = pointer<T>(a.bias),
          .c = pointer<T>(a.c),
          .c2 = nullptr,
          .n = a.n,
          .k = a.k,
          .add = a.c.accumulate,
          .add2 = false,
          .square_v = a.square_b,
          .finish = finish_of<T>(a.then, pointer<T>(a.c), nullptr)};
}

template <class T>
RowProduct<T> row_product(const kernels::DualProduct::Args& a) {
  return {.s = pointer<T>(a.a1),
          .s2 = pointer<T>(a.a2),
          .v = pointer<T>(a.b),
          .bias = nullptr,
          .c = pointer<T>(a.c1),
          .c2 = pointer<T>(a.c2),
          .n = a.n,
          .k = a.k,
          .add = a.c1.accumulate,
          .add2 = a.c2.accumulate,
          .square_v = false,
          .finish = finish_of<T>(a.then, pointer<T>(a.c1), pointer<T>(a.c2))};
}

}  // namespace

template <class T>
void product(void*, const kernels::Product::Args& args) {
  kernels::Product::Args a = args;
  row_sums<T>(a.a, a.sum, a.k, a.m, a.batch, a.stride_a, a.stride_sum);
  if (is_outer(a)) {
    return Outer<T>{pointer<T>(a.a), pointer<T>(a.b), pointer<T>(a.c), a.m,        a.n,
                    a.batch,         a.stride_a,      a.stride_b,      a.stride_c, a.square_a,
                    a.square_b}
        .run();
  }
  if (stacked(a)) {
    a.m *= a.batch;
    a.batch = 1;
  }
  if (is_row(a)) return row_product<T>(a).run();
  Problem<T> p = by_columns<T>(a);
  const Problem<T> q = by_rows<T>(a);
  if (!a.lower && cost(q, a.k, a.batch) < cost(p, a.k, a.batch)) p = q;
  if (!a.lower && contiguous_along_k(a) && dots_cost<T>(a) < cost(p, a.k, a.batch)) {
    return product_of_rows<T>(a);
  }
  p.k = a.k;
  p.c = pointer<T>(a.c);
  p.c_stride = a.n;
  p.add = a.c.accumulate;
  p.bias = pointer<T>(a.bias);
  p.lower = a.lower;
  p.batch = a.batch;
  p.c_batch = a.stride_c;
  p.bias_batch = a.stride_bias;
  p.finish = finish_of<T>(a.then, p.c, nullptr);
  Blocks<T>(p).run();
}

template <class T>
void dual_product(void*, const kernels::DualProduct::Args& a) {
  row_sums<T>(a.a1, a.sum1, a.k, a.m);
  row_sums<T>(a.a2, a.sum2, a.k, a.m);
  if (is_outer(a)) {
    const T* b = pointer<T>(a.b);
    Outer<T>{.a = pointer<T>(a.a1), .b = b, .c = pointer<T>(a.c1), .m = a.m, .n = a.n}.run();
    Outer<T>{
        .a = pointer<T>(a.a2), .b = b, .c = pointer<T>(a.c2), .m = a.m, .n = a.n, .square_b = true}
        .run();
    return;
  }
  if (a.m == 1) return row_product<T>(a).run();
  Problem<T> p;
  p.s = pointer<T>(a.a1);
  p.s2 = pointer<T>(a.a2);
  p.s_layout = a.trans_a ? Layout::along_rows : Layout::along_k;
  p.s_stride = a.trans_a ? a.m : a.k;
  p.v = pointer<T>(a.b);
  p.v_stride = a.n;
  p.c = pointer<T>(a.c1);
  p.c2 = pointer<T>(a.c2);
  p.c_stride = a.n;
  p.add = a.c1.accumulate;
  p.add2 = a.c2.accumulate;
  p.rows = a.m;
  p.columns = a.n;
  p.k = a.k;
  p.finish = finish_of<T>(a.then, p.c, p.c2);
  Blocks<T>(p).run();
}

namespace {

// With one position a group's square is a product of squares: sum_g a_g^2 (b_g^2)', in which the
// stacked a that share a b are added up first.
template <class T>
void square_groups(const kernels::GroupedSquare::Args& a, std::int64_t first, std::int64_t shared,
                   std::int64_t reps, bool add) {
  Problem<T> p;
  p.s = pointer<T>(a.a) + first * a.positions * a.m;
  p.s_layout = Layout::along_rows;
  p.s_stride = a.m;
  p.v = pointer<T>(a.b);
  p.v_stride = a.n;
  p.c = pointer<T>(a.c);
  p.c_stride = a.n;
  p.add = add;
  p.rows = a.m;
  p.columns = a.n;
  p.k = shared * a.positions;
  p.reps = reps;
  p.s_rep = p.k * a.m;
  p.scale = static_cast<T>(a.scale);
  p.square_s = p.square_v = a.positions == 1;
  p.positions = a.positions == 1 ? 0 : a.positions;
  Blocks<T>(p).run();
}

}  // namespace

template <class T>
void grouped_square(void*, const kernels::GroupedSquare::Args& a) {
  const std::int64_t reps = a.groups / a.groups_b, rest = a.groups % a.groups_b;
  if (reps > 0) square_groups<T>(a, 0, a.groups_b, reps, a.c.accumulate);
  if (rest > 0) {
    square_groups<T>(a, reps * a.groups_b, rest, 1, a.c.accumulate || reps > 0);
  }
}

namespace {

template <class T>
void add_products(KernelTable& table, DType dtype) {
  table.add_rehearsed<kernels::Product>(dtype, &product<T>);
  table.add_rehearsed<kernels::DualProduct>(dtype, &dual_product<T>);
  table.add_rehearsed<kernels::GroupedSquare>(dtype, &grouped_square<T>);
}

}  // namespace

template void product<float>(void*, const kernels::Product::Args&);
template void product<double>(void*, const kernels::Product::Args&);
template void dual_product<float>(void*, const kernels::DualProduct::Args&);
template void dual_product<double>(void*, const kernels::DualProduct::Args&);
template void grouped_square<float>(void*, const kernels::GroupedSquare::Args&);
template void grouped_square<double>(void*, const kernels::GroupedSquare::Args&);

void register_products(KernelTable& table) {
  add_products<float>(table, DType::f32);
  add_products<double>(table, DType::f64);
}

}  // namespace hesscore::cpu::HC_ISA
