// Pool: a short list.
#include "objective/pool.hpp"

#include <algorithm>

namespace hesscore {

std::shared_ptr<void> Pool::take(const Request& request) {
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(idle_.begin(), idle_.end(),
                                  [&](const auto& entry) { return entry.first == request; });
  if (found == idle_.end()) return nullptr;
  std::shared_ptr<void> work = std::move(found->second);
  idle_.erase(found);
  return work;
}

void Pool::give(const Request& request, std::shared_ptr<void> work) {
  std::shared_ptr<void> dropped;  // frees its memory outside the lock
  const std::lock_guard lock(mutex_);
  idle_.emplace_front(request, std::move(work));
  if (idle_.size() <= kMost) return;
  dropped = std::move(idle_.back().second);
  idle_.pop_back();
}

}  // namespace hesscore
