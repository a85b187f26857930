// For tests of kernels: every table that this machine can run, and arrays with guard words around
// them.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "backend/kernels.hpp"
#include "check.hpp"
#include "cpu/kernels_for.hpp"
#include "test_device.hpp"

namespace check {

template <class T>
inline constexpr hesscore::DType kDType =
    sizeof(T) == 4 ? hesscore::DType::f32 : hesscore::DType::f64;

inline hesscore::Precision precision_now = hesscore::Precision::fp32;

// Calls a kernel and waits for what it does.
template <class Key, class T>
void run(const hesscore::KernelTable& table, const typename Key::Args& args) {
  table.get<Key>(kDType<T>)(device().stream(), args);
  device().synchronize();
}

// body(table, T()) for every instruction set and both dtypes
template <class F>
void for_cpu_tables(F body) {
  for (const std::string_view isa : hesscore::cpu::supported_isas()) {
    const hesscore::KernelTable table = hesscore::cpu::make_kernel_table(isa);
    const int before = failures;
    body(table, float());
    body(table, double());
    if (failures > before) std::printf("  (with %s kernels)\n", std::string(isa).c_str());
  }
}

template <class F, class T>
void for_cuda_table(F body, hesscore::Precision precision, T zero) {
  const int before = failures;
  device_now = &hesscore::device("cuda");
  precision_now = precision;
  body(device_now->kernels(precision), zero);
  device_now = nullptr;
  precision_now = hesscore::Precision::fp32;
  if (failures > before) std::printf("  (with CUDA kernels)\n");
}

// The same for the tables of a CUDA device, too, if there is one (test_device.hpp).
template <class F>
void for_tables(F body) {
  if (tests_cpu()) for_cpu_tables(body);
  if (!tests_cuda()) return;
  for_cuda_table(body, hesscore::Precision::fp32, float());
  for_cuda_table(body, hesscore::Precision::fp32, double());
}

// The same, and products with operands of 11 bits.
template <class F>
void for_product_tables(F body) {
  for_tables(body);
  if (tests_cuda()) for_cuda_table(body, hesscore::Precision::tf32, float());
}

// An array between guard words, which the tested device reaches; filled with values in [-2, 2] that
// depend on `seed` and the index.
template <class T>
class Guarded {
 public:
  Guarded(std::int64_t n, int seed) : data_(static_cast<std::size_t>(n + 2 * kGuard), T(kMark)) {
    for (std::int64_t i = 0; i < n; ++i) {
      (*this)[i] = T(2 * std::sin(1.3 * static_cast<double>(i) + 7.1 * seed));
    }
  }
  ~Guarded() {
    for (std::int64_t i = 0; i < kGuard; ++i) {
      CHECK(data_[static_cast<std::size_t>(i)] == T(kMark));
      CHECK(data_[data_.size() - 1 - static_cast<std::size_t>(i)] == T(kMark));
    }
  }
  Guarded(const Guarded&) = default;

  std::int64_t size() const { return static_cast<std::int64_t>(data_.size()) - 2 * kGuard; }
  T* data() { return data_.data() + kGuard; }
  T& operator[](std::int64_t i) { return data_[static_cast<std::size_t>(i + kGuard)]; }
  T operator[](std::int64_t i) const { return data_[static_cast<std::size_t>(i + kGuard)]; }

  hesscore::In in() { return hesscore::In(data()); }
  hesscore::Out out(bool accumulate = false) { return hesscore::Out(data(), accumulate); }

 private:
  static constexpr std::int64_t kGuard = 16;
  static constexpr double kMark = 12345;
  Array<T> data_;
};

// Every element of y is within tolerance of value(i), plus what was there before if it accumulates.
template <class T, class F>
void expect(const char* what, const Guarded<T>& y, const Guarded<T>& before, bool accumulate,
            double tolerance, F value) {
  for (std::int64_t i = 0; i < y.size(); ++i) {
    const double expected =
        static_cast<double>(value(i)) + (accumulate ? static_cast<double>(before[i]) : 0.0);
    if (close(static_cast<double>(y[i]), expected, tolerance)) continue;
    fail(what, static_cast<int>(i),
         std::to_string(static_cast<double>(y[i])) + " instead of " + std::to_string(expected));
    return;
  }
}

template <class T>
inline constexpr double kTolerance = sizeof(T) == 4 ? 4e-6 : 1e-13;

}  // namespace check
