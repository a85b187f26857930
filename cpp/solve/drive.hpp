// The loop of a solver whose scalars are on the device, and its reports.
#pragma once

#include <algorithm>

#include "hesscore/solve.hpp"
#include "solve/krylov.hpp"

namespace hesscore {

// Everything in a report that follows from the progress of a state and its history.
SolveReport report_of(const math::KrylovProgress& p, std::vector<double> history, bool stopped);

// Repeats `iterate` until no row runs, and looks at the states: on the host after each iteration,
// on a device as seldom as their records allow, or each time when somebody wants to be called back.
template <class State>
class Driver {
 public:
  Driver(Krylov<State>& states, bool on_host, std::function<void()> poll,
         std::function<bool(std::int64_t)> look = {})
      : states_(states),
        every_(on_host || look ? 1 : math::kRecent),
        poll_(std::move(poll)),
        look_(std::move(look)),
        histories_(states.states.size()) {}

  template <class F>
  void run(const F& iterate) {
    see();
    for (std::int64_t i = 1; running() && !stopped_; ++i) {
      if (poll_) poll_();
      iterate();
      if (i % every_ != 0) continue;
      see();
      stopped_ = look_ && look_(i);
    }
  }

  std::vector<SolveReport> reports() const {
    std::vector<SolveReport> all;
    for (std::size_t r = 0; r < histories_.size(); ++r) {
      const State& s = states_.states[r];
      all.push_back(report_of(s, histories_[r], stopped_ && s.running()));
    }
    return all;
  }

 private:
  void see() {
    states_.download();
    for (std::size_t r = 0; r < histories_.size(); ++r) {
      const math::KrylovProgress& p = states_.states[r];
      auto& history = histories_[r];
      for (auto i = static_cast<std::int64_t>(history.size()); i <= p.iterations; ++i) {
        history.push_back(p.recent[i % math::kRecent]);
      }
    }
  }
  bool running() const {
    return std::any_of(states_.states.begin(), states_.states.end(),
                       [](const State& s) { return s.running(); });
  }

  Krylov<State>& states_;
  std::int64_t every_;
  std::function<void()> poll_;
  std::function<bool(std::int64_t)> look_;
  std::vector<std::vector<double>> histories_;
  bool stopped_ = false;
};

}  // namespace hesscore
