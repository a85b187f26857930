// Random signs: fair, functions of (seed, vector, element) alone, the same in both dtypes.
#include "hesscore/probes.hpp"

#include <cmath>

#include "check.hpp"

using namespace hesscore;

namespace {

using Numbers = std::vector<double>;

Numbers rows(DType dtype, std::uint64_t seed, std::int64_t n, std::uint64_t first,
             std::int64_t count) {
  Device& cpu = device("cpu");
  Vector out(cpu, dtype, n * count);
  Probes(cpu, dtype, seed).fill(out.data(), n, first, count);
  return out.to_host();
}

}  // namespace

TEST("signs are fair and independent") {
  const std::int64_t n = 1000, count = 100;
  const Numbers z = rows(DType::f64, 3, n, 0, count);
  double sum = 0, neighbours = 0, across = 0;
  for (std::size_t i = 0; i + n < z.size(); ++i) {
    CHECK(std::abs(z[i]) == 1);
    sum += z[i];
    neighbours += z[i] * z[i + 1];
    across += z[i] * z[i + n];
  }
  const double bound = 5 * std::sqrt(static_cast<double>(z.size()));
  CHECK(std::abs(sum) < bound);
  CHECK(std::abs(neighbours) < bound);
  CHECK(std::abs(across) < bound);
}

TEST("a vector is the same in every block, length, dtype and for any number of threads") {
  const Numbers all = rows(DType::f64, ~std::uint64_t{0}, 777, 5, 4);
  const auto from = all.begin() + 2 * 777;
  CHECK(rows(DType::f64, ~std::uint64_t{0}, 777, 7, 1) == Numbers(from, from + 777));
  CHECK(rows(DType::f64, ~std::uint64_t{0}, 500, 7, 1) == Numbers(from, from + 500));
  CHECK(rows(DType::f32, ~std::uint64_t{0}, 777, 5, 4) == all);
  const int before = num_threads();
  set_num_threads(1);
  CHECK(rows(DType::f64, ~std::uint64_t{0}, 777, 5, 4) == all);
  set_num_threads(before);
  CHECK(rows(DType::f64, 0, 777, 5, 4) != all);
}

TEST("nothing to fill, and a dtype that has no signs") {
  CHECK(rows(DType::f64, 0, 10, 0, 0).empty());
  CHECK(rows(DType::f32, 0, 0, 0, 3).empty());
  CHECK_THROWS(DTypeError, Probes(device("cpu"), DType::i64, 0));
}
