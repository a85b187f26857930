// A test framework in a page. A test program includes this once, and nothing else is needed:
//   TEST("the sum commutes") { CHECK(a + b == b + a); CHECK_CLOSE(x, y, 1e-12); }
//   TEST("bad input") { CHECK_THROWS(hc::ShapeError, f(x)); }
// An argument on the command line runs only the tests whose name contains it.
#pragma once

#include <cmath>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

namespace check {

struct Case {
  const char* name;
  void (*body)();
};

inline std::vector<Case>& cases() {
  static std::vector<Case> list;
  return list;
}

inline int failures = 0;

inline bool add(const char* name, void (*body)()) {
  cases().push_back({name, body});
  return true;
}

inline void fail(const char* file, int line, const std::string& what) {
  std::printf("%s:%d: %s\n", file, line, what.c_str());
  ++failures;
}

// |a - b| <= tolerance * max(1, |a|, |b|); false for NaN.
inline bool close(double a, double b, double tolerance) {
  return std::abs(a - b) <= tolerance * std::fmax(1.0, std::fmax(std::abs(a), std::abs(b)));
}

}  // namespace check

#define CHECK_JOIN2(a, b) a##b
#define CHECK_JOIN(a, b) CHECK_JOIN2(a, b)
#define TEST(name)                                                                                 \
  static void CHECK_JOIN(test_, __LINE__)();                                                       \
  static const bool CHECK_JOIN(added_, __LINE__) = check::add(name, &CHECK_JOIN(test_, __LINE__)); \
  static void CHECK_JOIN(test_, __LINE__)()

#define CHECK(...)                                                                \
  do {                                                                            \
    if (!(__VA_ARGS__)) check::fail(__FILE__, __LINE__, "failed: " #__VA_ARGS__); \
  } while (false)

#define CHECK_CLOSE(a, b, tolerance)                                                             \
  do {                                                                                           \
    const double check_a = (a), check_b = (b);                                                   \
    if (!check::close(check_a, check_b, tolerance)) {                                            \
      check::fail(__FILE__, __LINE__,                                                            \
                  #a " = " + std::to_string(check_a) + ", " #b " = " + std::to_string(check_b)); \
    }                                                                                            \
  } while (false)

#define CHECK_THROWS(Type, ...)                                                            \
  do {                                                                                     \
    bool check_caught = false;                                                             \
    try {                                                                                  \
      static_cast<void>(__VA_ARGS__);                                                      \
    } catch (const Type&) {                                                                \
      check_caught = true;                                                                 \
    } catch (const std::exception& error) {                                                \
      check::fail(__FILE__, __LINE__, std::string("another exception: ") + error.what());  \
      check_caught = true;                                                                 \
    }                                                                                      \
    if (!check_caught) check::fail(__FILE__, __LINE__, "no " #Type " from " #__VA_ARGS__); \
  } while (false)

int main(int argc, char** argv) {
  const std::string filter = argc > 1 ? argv[1] : "";
  int run = 0;
  for (const check::Case& test : check::cases()) {
    if (std::string(test.name).find(filter) == std::string::npos) continue;
    const int before = check::failures;
    try {
      test.body();
    } catch (const std::exception& error) {
      check::fail(test.name, 0, std::string("unexpected exception: ") + error.what());
    }
    if (check::failures > before) std::printf("FAILED: %s\n", test.name);
    ++run;
  }
  std::printf("%d tests, %d failures\n", run, check::failures);
  return check::failures > 0 || run == 0 ? 1 : 0;
}
