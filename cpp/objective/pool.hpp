// Pool: what was made for a request and is idle now, for the next one who asks.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <utility>

#include "objective/request.hpp"

namespace hesscore {

class Pool {
 public:
  std::shared_ptr<void> take(const Request& request);  // null if there is none
  void give(const Request& request, std::shared_ptr<void> work);

 private:
  static constexpr std::size_t kMost = 4;

  std::mutex mutex_;
  std::list<std::pair<Request, std::shared_ptr<void>>> idle_;  // the latest first
};

}  // namespace hesscore
