// Recordings: a short list, the latest use first.
#include "plan/recordings.hpp"

#include <algorithm>
#include <mutex>

namespace hesscore {

void Recordings::run(const Key& key, const std::function<void()>& work) {
  if (device_.is_host()) return work();
  const std::lock_guard lock(device_);
  if (device_.recording()) return work();
  const auto same = [&](const Entry& e) { return e.key == key; };
  const auto found = std::find_if(entries_.begin(), entries_.end(), same);
  if (found == entries_.end()) {
    work();
    entries_.push_front({key, nullptr});
    if (entries_.size() > most_) entries_.pop_back();
    return;
  }
  entries_.splice(entries_.begin(), entries_, found);
  Entry& entry = entries_.front();
  if (!entry.recording && entry.refusals < kMostRefusals) {
    entry.recording = device_.record(work);
    if (!entry.recording) ++entry.refusals;
  }
  entry.recording ? entry.recording->launch() : work();
}

}  // namespace hesscore
