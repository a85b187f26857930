// Dtypes, shapes, error texts, vectors and LAPACK: what everything else stands on.
#include "backend/lapack.hpp"
#include "check.hpp"
#include "hesscore/vector.hpp"

namespace hc = hesscore;

TEST("shapes as text") {
  CHECK(hc::to_string({}) == "()");
  CHECK(hc::to_string({3}) == "(3,)");
  CHECK(hc::to_string({3, 4}) == "(3, 4)");
}

TEST("element counts") {
  CHECK(hc::element_count({}) == 1);
  CHECK(hc::element_count({2, 3, 4}) == 24);
  CHECK(hc::element_count({std::int64_t{1} << 40, 0, std::int64_t{1} << 40}) == 0);
  CHECK_THROWS(hc::SizeError, hc::element_count({std::int64_t{1} << 31, std::int64_t{1} << 31}));
  CHECK_THROWS(hc::SizeError, hc::element_count({2, -1}));
}

TEST("an error names the argument, what was expected and what came") {
  const hc::ShapeError error("x", "shape (N, 784)", "(3, 5)");
  CHECK(std::string(error.what()) == "x: expected shape (N, 784), got (3, 5)");
  CHECK(error.arg() == "x" && error.expected() == "shape (N, 784)" && error.got() == "(3, 5)");
  CHECK(hc::GraphError("a cycle").arg().empty());
}

TEST("vectors begin as zeros and keep their dtype") {
  for (const hc::DType dtype : {hc::DType::f32, hc::DType::f64}) {
    hc::Vector v(hc::device("cpu"), dtype, 3);
    CHECK(v.to_host() == std::vector<double>(3, 0.0));
    v.from_host({1, 0.5, -2});
    const hc::Vector moved = std::move(v);
    CHECK((moved.to_host() == std::vector<double>{1, 0.5, -2}) && moved.dtype() == dtype);
  }
  CHECK_THROWS(hc::ShapeError, hc::Vector(hc::device("cpu"), hc::DType::f32, 2).from_host({1}));
  CHECK_THROWS(hc::DTypeError, hc::Vector(hc::device("cpu"), hc::DType::i64, 2));
  CHECK_THROWS(hc::SizeError, hc::Vector(hc::device("cpu"), hc::DType::f32, -1));
  CHECK(hc::Vector(hc::device("cpu"), hc::DType::f32, 0).data() != nullptr);
}

TEST("threads") {
  CHECK_THROWS(hc::OptionError, hc::set_num_threads(0));
  hc::set_num_threads(2);
  CHECK(hc::num_threads() == 2);
}

// Checks that the shorter side of q (rows, cols) is orthonormal.
static void check_orthonormal(const std::vector<double>& q, int rows, int cols) {
  const bool tall = rows >= cols;
  const int side = tall ? cols : rows, length = tall ? rows : cols;
  const auto at = [&](int i, int k) {
    return q[static_cast<std::size_t>(tall ? k * cols + i : i * cols + k)];
  };
  for (int i = 0; i < side; ++i) {
    for (int j = 0; j < side; ++j) {
      double dot = 0;
      for (int k = 0; k < length; ++k) dot += at(i, k) * at(j, k);
      CHECK_CLOSE(dot, i == j ? 1.0 : 0.0, 1e-14);
    }
  }
}

TEST("orthonormal factors of tall, wide and square matrices") {
  for (const auto& [rows, cols] : {std::pair{5, 3}, std::pair{3, 5}, std::pair{4, 4}}) {
    std::vector<double> a(static_cast<std::size_t>(rows * cols));
    for (std::size_t i = 0; i < a.size(); ++i)
      a[i] = std::sin(3.7 * static_cast<double>(i * i + 1));
    hc::lapack::qr_orthonormal(a.data(), rows, cols);
    check_orthonormal(a, rows, cols);
  }
}

TEST("the QR factor of an orthonormal matrix is itself") {
  std::vector<double> a{0.6, -0.8, 0.8, 0.6};
  const std::vector<double> before = a;
  hc::lapack::qr_orthonormal(a.data(), 2, 2);
  for (std::size_t i = 0; i < a.size(); ++i) CHECK_CLOSE(a[i], before[i], 1e-15);
}
