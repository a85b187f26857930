// Timing for the benches: repeat until the time is used up, report the median, and print one JSON
// object per line.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <variant>
#include <vector>

namespace bench {

inline double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// --key value pairs of the command line into the variables of their keys.
using Options = std::map<std::string, std::variant<std::string*, int*, double*>>;

inline void read_options(int argc, char** argv, const Options& known) {
  for (int i = 1; i < argc; i += 2) {
    const auto it = known.find(argv[i]);
    if (it == known.end() || i + 1 == argc) {
      std::fprintf(stderr, "unknown option, or one without a value: %s\n", argv[i]);
      std::exit(2);
    }
    const std::string value = argv[i + 1];
    if (auto* const* text = std::get_if<std::string*>(&it->second)) **text = value;
    if (auto* const* whole = std::get_if<int*>(&it->second)) **whole = std::stoi(value);
    if (auto* const* real = std::get_if<double*>(&it->second)) **real = std::stod(value);
  }
}

// Seconds per call: median, fastest, and the middle 80 % of the samples as a fraction of the
// median.
struct Timing {
  double median = 0, best = 0, spread = 0;
  int samples = 0;
};

// Calls body() for about `seconds`; calls too short for the clock are timed in bundles.
template <class F>
Timing measure(F&& body, double seconds = 0.2) {
  constexpr double kShortest = 50e-6;
  body();
  double start = now();
  body();
  const double once = std::max(now() - start, 1e-9);
  const int bundle = std::max(1, static_cast<int>(kShortest / once));
  std::vector<double> times;
  const double end = now() + seconds;
  while (now() < end || times.size() < 5) {
    start = now();
    for (int i = 0; i < bundle; ++i) body();
    times.push_back((now() - start) / bundle);
  }
  std::sort(times.begin(), times.end());
  const std::size_t n = times.size();
  const double median = times[n / 2];
  return {median, times[0], (times[n - 1 - n / 10] - times[n / 10]) / median, static_cast<int>(n)};
}

// {"name": value, ...}
class Line {
 public:
  Line& add(const char* name, const std::string& value) { return raw(name, '"' + value + '"'); }
  Line& add(const char* name, const char* value) { return add(name, std::string(value)); }
  Line& add(const char* name, double value, int digits = 2) {
    char text[64];
    std::snprintf(text, sizeof text, "%.*f", digits, value);
    return raw(name, text);
  }
  Line& add(const char* name, long long value) { return raw(name, std::to_string(value)); }
  Line& add(const char* name, long value) { return raw(name, std::to_string(value)); }
  Line& add(const char* name, int value) { return raw(name, std::to_string(value)); }
  Line& add(const Timing& t) {
    return add("us", t.median * 1e6).add("best_us", t.best * 1e6).add("spread", t.spread);
  }
  void print() const {
    std::printf("{%s}\n", text_.c_str());
    std::fflush(stdout);
  }

 private:
  Line& raw(const char* name, const std::string& value) {
    text_ += (text_.empty() ? "\"" : ", \"") + std::string(name) + "\": " + value;
    return *this;
  }
  std::string text_;
};

}  // namespace bench
