// Recordings: work that is called again and again on the same addresses becomes one launch.
#pragma once

#include <list>
#include <vector>

#include "hesscore/device.hpp"

namespace hesscore {

class Recordings {
 public:
  // `works`: kinds of work that take turns.
  explicit Recordings(Device& device, std::size_t works = 1)
      : device_(device), most_(kMost * works) {}

  // Runs `work`, which makes the same calls whenever `key` is the same. The first time the calls
  // are made one by one, which also warms up what they need; from the second time on they are a
  // recording. Devices without recordings, and work inside another recording, run call by call.
  using Key = std::vector<const void*>;
  void run(const Key& key, const std::function<void()>& work);

  // So often is work that a device refuses to record offered again: another library's thread may
  // have been the reason.
  static constexpr int kMostRefusals = 3;

 private:
  struct Entry {
    Key key;
    std::unique_ptr<Recording> recording;
    int refusals = 0;
  };
  static constexpr std::size_t kMost = 8;

  Device& device_;
  std::size_t most_;
  std::list<Entry> entries_;  // the latest first
};

}  // namespace hesscore
