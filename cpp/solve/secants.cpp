// The inverse from secant pairs: inner products on the device, small eigenproblems on the host.
//
// G'G = V S^2 V', u_i = G v_i / s_i and P_i = W v_i / s_i for s_i > rtol s_max. With G = H W,
// H^-1 = P U' on the span of G, and a = V S^-2 V' G'z gives U U'z = G a and P U'z = W a.
#include "solve/secants.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "backend/algebra.hpp"
#include "backend/lapack.hpp"
#include "solve/checks.hpp"

namespace hesscore {
namespace {

using Numbers = std::vector<double>;

constexpr std::int64_t kTogether = std::int64_t{1} << 27;  // multiply-adds between polls

// V D V' of a symmetric matrix, eigenvectors in the rows of V.
struct Eigen {
  Numbers V, values;
  std::size_t n, first;  // values from `first` on are above the tolerance

  Eigen(Numbers a, std::size_t size) : V(std::move(a)), values(size), n(size), first(0) {
    const auto sides = static_cast<std::int64_t>(n);
    if (lapack::symmetric_eigen(V.data(), values.data(), sides) != 0) {
      throw Error("the eigenvalues of a small matrix did not converge");
    }
  }
  // For squares of singular values, which are known to the rounding of the largest one.
  void drop_below(double rtol) {
    const double epsilon = static_cast<double>(n) * std::numeric_limits<double>::epsilon();
    const double least = std::max(rtol * rtol, epsilon) * values.back();
    while (first < n && !(values[first] > least)) ++first;
  }
  const double* vector(std::size_t i) const { return V.data() + i * n; }
};

double dot(const double* x, const Numbers& y) {
  double sum = 0;
  for (std::size_t i = 0; i < y.size(); ++i) sum += x[i] * y[i];
  return sum;
}

Numbers least_squares(const Eigen& e, const Numbers& Gz) {
  Numbers a(e.n);
  for (std::size_t i = e.first; i < e.n; ++i) {
    const double c = dot(e.vector(i), Gz) / e.values[i];
    for (std::size_t m = 0; m < e.n; ++m) a[m] += c * e.vector(i)[m];
  }
  return a;
}

// The largest eigenvalue of the symmetric part of B'G R, where B = W R is an orthonormal basis of
// the span of W, R = V S^-1.
double largest_ritz_value(const Eigen& e, const Numbers& WG) {
  const std::size_t rank = e.n - e.first;
  if (rank == 0) return 0;
  Numbers T(rank * rank), row(e.n);
  for (std::size_t i = 0; i < rank; ++i) {
    std::fill(row.begin(), row.end(), 0.0);
    for (std::size_t k = 0; k < e.n; ++k) {
      for (std::size_t m = 0; m < e.n; ++m) row[m] += e.vector(e.first + i)[k] * WG[k * e.n + m];
    }
    for (std::size_t j = 0; j < rank; ++j) {
      const double sizes = std::sqrt(e.values[e.first + i] * e.values[e.first + j]);
      const double half = dot(e.vector(e.first + j), row) / (2 * sizes);
      T[i * rank + j] += half;
      T[j * rank + i] += half;
    }
  }
  return Eigen(std::move(T), rank).values.back();
}

}  // namespace

SecantPairs::SecantPairs(Device& device, DType dtype, std::int64_t n, std::int64_t count)
    : device_(device),
      dtype_(dtype),
      kernels_(device, dtype),
      n_(n),
      count_(count),
      products_(device, static_cast<std::size_t>(count * (3 * count + 2)) * sizeof(double)),
      coefficients_(device, static_cast<std::size_t>(count) * sizeof(double)) {}

SecantFit SecantPairs::fit(const void* W, const void* G, const void* z, double rtol,
                           const std::function<void()>& poll) const {
  const auto M = static_cast<std::size_t>(count_);
  auto* const there = static_cast<double*>(products_.data());
  const auto bytes = static_cast<std::int64_t>(size_of(dtype_));
  const auto dots = [&](const void* x, const void* y, std::int64_t terms, std::size_t to) {
    const std::int64_t most = std::max<std::int64_t>(1, kTogether / (terms * n_ + 1));
    for (std::int64_t r = 0; r < count_; r += most) {
      if (poll) poll();
      kernels_.dots({.x = In(x),
                     .y = In(static_cast<const std::byte*>(y) + r * n_ * bytes),
                     .result = Out(there + to + r * terms),
                     .n = n_,
                     .rows = std::min(most, count_ - r),
                     .terms = terms,
                     .term_x = n_,
                     .row_y = n_,
                     .row_result = terms});
    }
  };
  dots(G, G, count_, 0);
  dots(G, W, count_, M * M);
  dots(W, W, count_, 2 * M * M);
  dots(z, G, 1, 3 * M * M);
  dots(z, W, 1, 3 * M * M + M);
  Numbers all(3 * M * M + 2 * M);
  device_.to_host(all.data(), there, all.size() * sizeof(double));

  SecantFit fit;
  fit.finite = std::all_of(all.begin(), all.end(), [](double v) { return std::isfinite(v); });
  if (!fit.finite) return fit;
  const auto part = [&](std::size_t at, std::size_t size) {
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(at);
    return Numbers(begin, begin + static_cast<std::ptrdiff_t>(size));
  };
  Eigen g(part(0, M * M), M), w(part(2 * M * M, M * M), M);
  g.drop_below(rtol);
  w.drop_below(rtol);
  fit.a = least_squares(g, part(3 * M * M, M));
  fit.rank = static_cast<std::int64_t>(M - g.first);
  fit.slope = dot(fit.a.data(), part(3 * M * M + M, M));
  fit.eigenvalue = largest_ritz_value(w, part(M * M, M * M));
  return fit;
}

void SecantPairs::combine(const Numbers& c, const void* X, bool b, void* y) const {
  device_.from_host(coefficients_.data(), c.data(), c.size() * sizeof(double));
  Out out(y);
  out.accumulate = b;
  kernels_.combine({.x = In(X),
                    .c = In(coefficients_.data()),
                    .b = {},
                    .y = out,
                    .n = n_,
                    .terms = count_,
                    .term_x = n_});
}

namespace {

void check_array(const char* name, const View& v, const Shape& shape, DType dtype) {
  if (v.shape != shape) throw ShapeError(name, "shape " + to_string(shape), to_string(v.shape));
  if (v.dtype == dtype) return;
  throw DTypeError(name, std::string(name_of(dtype)), std::string(name_of(v.dtype)));
}

}  // namespace

ReplicaReport replica_inverse(View W, View G, View z, View out, double rtol, Device& device) {
  if (z.shape.size() != 1) throw ShapeError("z", "a vector", "shape " + to_string(z.shape));
  if (z.dtype == DType::i64) throw DTypeError("z", "float32 or float64", "int64");
  const std::int64_t n = z.shape[0];
  if (W.shape.size() != 2 || W.shape[0] < 1) {
    throw ShapeError("W", "shape (M, " + std::to_string(n) + ")", "shape " + to_string(W.shape));
  }
  const std::int64_t count = W.shape[0];
  check_array("W", W, {count, n}, z.dtype);
  check_array("G", G, {count, n}, z.dtype);
  check_array("out", out, {n}, z.dtype);
  check_tolerance("rtol", rtol);
  const SecantPairs pairs(device, z.dtype, n, count);
  SecantFit fit = pairs.fit(W.data, G.data, z.data, rtol);
  if (!fit.finite) throw NonFiniteError("the inner products of W, G and z are not finite");
  if (out.data != z.data) {
    device.copy(out.data, z.data, static_cast<std::size_t>(n) * size_of(z.dtype));
  }
  pairs.combine(fit.a, W.data, true, out.data);
  for (double& a : fit.a) a = -a;
  pairs.combine(fit.a, G.data, true, out.data);
  return {fit.rank, fit.slope, fit.eigenvalue};
}

}  // namespace hesscore
