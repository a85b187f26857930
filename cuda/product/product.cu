// The product keys: each call becomes a Problem for a kernel of our own, or goes to cuBLASLt.
#include "product/after_lt.cuh"
#include "product/arguments.hpp"
#include "product/lt.hpp"
#include "product/policy.cuh"
#include "register.hpp"

namespace hesscore::cuda {

namespace {

template <class T>
void set_sizes(Problem<T>& p, std::int64_t m, std::int64_t n, std::int64_t steps,
               std::int64_t length, std::int64_t steps_b) {
  p.m = extent(m);
  p.n = extent(n);
  p.steps = extent(steps);
  p.length = extent(length > 0 ? length : 1);
  p.steps_b = extent(steps_b > 0 ? steps_b : 1);
}

template <class T>
void set_operands(Problem<T>& p, const In& a, const In& b, std::int64_t lead_a,
                  std::int64_t lead_b) {
  p.a = a.as<T>();
  p.b = b.as<T>();
  p.lead_a = lead_a;
  p.lead_b = lead_b;
  p.wide_a = may_copy_wide<T>(a.ptr, lead_a, p.stride_a);
  p.wide_b = may_copy_wide<T>(b.ptr, lead_b, p.stride_b);
}

template <class T>
Problem<T> problem_of(const Context& ctx, const kernels::Product::Args& a) {
  Problem<T> p;
  set_sizes(p, a.m, a.n, a.k, a.k, a.k);
  p.batch = extent(a.batch);
  p.stride_a = a.stride_a;
  p.stride_b = a.stride_b;
  p.stride_bias = a.stride_bias;
  p.stride_c = a.stride_c;
  p.stride_sum = a.stride_sum;
  p.trans_a = a.trans_a;
  p.trans_b = a.trans_b;
  p.square_a = a.square_a;
  p.square_b = a.square_b;
  set_operands(p, a.a, a.b, a.trans_a ? a.m : a.k, a.trans_b ? a.k : a.n);
  p.bias = a.bias.as<T>();
  p.c = Sink<T>(ctx, a.c);
  p.sum = Sink<T>(ctx, a.sum);
  p.then = Then<T>(ctx, a.then);
  return p;
}

// A batch that shares b and its bias and is stacked in a and c is one product with more rows.
bool stacked(const kernels::Product::Args& a) {
  return a.batch > 1 && !a.trans_a && a.stride_b == 0 && a.stride_bias == 0 &&
         a.stride_a == a.m * a.k && a.stride_c == a.m * a.n;
}

template <class T>
bool multiply_by_lt(const Context& ctx, const kernels::Product::Args& a, const Problem<T>& p,
                    Precision precision) {
  constexpr std::int64_t kNarrowest = 64;
  const bool plain = !a.square_a && !a.square_b;
  if (ctx.lt == nullptr || !plain || a.m < kNarrowest || a.n < kNarrowest) return false;
  if (a.batch * a.m * a.n * a.k < ctx.lt->least_work(kDType<T>)) return false;
  if (a.sum && !sums_fit(ctx, p)) return false;
  if (!ctx.lt->multiply(ctx, a, kDType<T>, precision)) return false;
  const bool add_bias = a.bias && !lt_bias(a, kDType<T>);
  if (add_bias || a.c.watch || a.then.kind != kernels::Epilogue::none) {
    for_each(ctx, a.batch * a.m * a.n, AfterLt<T>{p, add_bias});
  }
  if (a.sum) column_sums(ctx, p);
  return true;
}

template <class Policy, Precision precision>
void product(void* stream, const kernels::Product::Args& args) {
  using T = typename Policy::Number;
  const Context& ctx = context_of(stream);
  kernels::Product::Args a = args;
  if (stacked(a)) {
    a.m *= a.batch;
    a.batch = 1;
  }
  if (a.m * a.n * a.batch == 0) return;
  const Problem<T> p = problem_of<T>(ctx, a);
  if (!multiply_by_lt(ctx, a, p, precision)) run_single<Policy>(ctx, p);
}

template <class Policy>
void dual_product(void* stream, const kernels::DualProduct::Args& a) {
  using T = typename Policy::Number;
  const Context& ctx = context_of(stream);
  if (a.m * a.n == 0) return;
  Problem<T> p;
  set_sizes(p, a.m, a.n, a.k, a.k, a.k);
  p.trans_a = a.trans_a;
  set_operands(p, a.a1, a.b, a.trans_a ? a.m : a.k, a.n);
  p.a2 = a.a2.as<T>();
  p.wide_a = p.wide_a && may_copy_wide<T>(a.a2.ptr, p.lead_a, 0);
  p.c = Sink<T>(ctx, a.c1);
  p.c2 = Sink<T>(ctx, a.c2);
  p.sum = Sink<T>(ctx, a.sum1);
  p.sum2 = Sink<T>(ctx, a.sum2);
  p.then = Then<T>(ctx, a.then);
  run_dual<Policy>(ctx, p);
}

// With one position a group's square is a product of squares, b's read again for each stack of a.
template <class Policy>
void grouped_square(void* stream, const kernels::GroupedSquare::Args& a) {
  using T = typename Policy::Number;
  const Context& ctx = context_of(stream);
  if (a.m * a.n == 0) return;
  const bool squares = a.positions == 1;
  Problem<T> p;
  set_sizes(p, a.m, a.n, a.groups * a.positions, squares ? a.groups_b : a.positions,
            a.groups_b * a.positions);
  p.trans_a = true;
  p.square_a = p.square_b = squares;
  p.scale = static_cast<T>(a.scale);
  set_operands(p, a.a, a.b, a.m, a.n);
  p.c = Sink<T>(ctx, a.c);
  squares ? run_single<Policy>(ctx, p) : run_grouped<Policy>(ctx, p);
}

template <class Policy, Precision precision>
void add_products(KernelTable& table) {
  constexpr DType dtype = kDType<typename Policy::Number>;
  table.add<kernels::Product>(dtype, &product<Policy, precision>);
  table.add<kernels::DualProduct>(dtype, &dual_product<Policy>);
  table.add<kernels::GroupedSquare>(dtype, &grouped_square<Policy>);
}

}  // namespace

void register_products(KernelTable& table, Precision precision) {
  add_products<Simt<double>, Precision::fp32>(table);
  if (precision == Precision::tf32) {
    add_products<Tf32, Precision::tf32>(table);
  } else {
    add_products<Tf32x3, Precision::fp32>(table);
  }
}

}  // namespace hesscore::cuda
