// Arena packing: best fit over free blocks, in the order in which slots come alive.
#include <algorithm>
#include <map>

#include "plan/plan.hpp"

namespace hesscore {
namespace {

constexpr std::int64_t kAlign = 64;
constexpr int kForever = 1 << 30;

class FreeList {
 public:
  std::int64_t take(std::int64_t bytes) {
    auto best = blocks_.end();
    for (auto it = blocks_.begin(); it != blocks_.end(); ++it) {
      if (it->second >= bytes && (best == blocks_.end() || it->second < best->second)) best = it;
    }
    if (best == blocks_.end()) return grow(bytes);
    const auto [offset, size] = *best;
    blocks_.erase(best);
    if (size > bytes) blocks_[offset + bytes] = size - bytes;
    return offset;
  }

  void give(std::int64_t offset, std::int64_t bytes) {
    auto next = blocks_.upper_bound(offset);
    if (next != blocks_.end() && offset + bytes == next->first) {
      bytes += next->second;
      next = blocks_.erase(next);
    }
    if (next != blocks_.begin()) {
      const auto before = std::prev(next);
      if (before->first + before->second == offset) {
        before->second += bytes;
        return;
      }
    }
    blocks_[offset] = bytes;
  }

  std::int64_t total() const { return total_; }

 private:
  // No block fits: lengthen the last one if it is free, else append.
  std::int64_t grow(std::int64_t bytes) {
    std::int64_t offset = total_;
    if (!blocks_.empty()) {
      const auto last = std::prev(blocks_.end());
      if (last->first + last->second == total_) {
        offset = last->first;
        blocks_.erase(last);
      }
    }
    total_ = offset + bytes;
    return offset;
  }

  std::map<std::int64_t, std::int64_t> blocks_;  // offset -> bytes
  std::int64_t total_ = 0;
};

}  // namespace

std::vector<std::int64_t> pack_arena(std::vector<Slot>& slots, std::size_t phases,
                                     std::int64_t* total) {
  std::vector<std::size_t> births, deaths;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    Slot& s = slots[i];
    if (s.kind == Slot::external || s.first < 0) continue;
    // What crosses a phase must survive every later run of the phases that read it.
    const bool crosses = phases > 1 && s.first_phase != s.last_phase;
    if (crosses) s.last = kForever;
    if (s.kind == Slot::constant) s.first = -1, s.last = kForever;
    births.push_back(i);
  }
  deaths = births;
  const auto by = [&](auto key) {
    return [&slots, key](auto a, auto b) { return key(slots[a]) < key(slots[b]); };
  };
  std::stable_sort(births.begin(), births.end(), by([](const Slot& s) { return s.first; }));
  std::stable_sort(deaths.begin(), deaths.end(), by([](const Slot& s) { return s.last; }));

  const auto bytes = [&](std::size_t i) {
    return std::max<std::int64_t>(slots[i].elements * slots[i].element_size + kAlign - 1, kAlign) /
           kAlign * kAlign;
  };
  FreeList free;
  std::vector<std::int64_t> offsets(slots.size(), 0);
  std::size_t dead = 0;
  for (const std::size_t i : births) {
    while (dead < deaths.size() && slots[deaths[dead]].last < slots[i].first) {
      free.give(offsets[deaths[dead]], bytes(deaths[dead]));
      ++dead;
    }
    offsets[i] = free.take(bytes(i));
  }
  *total = free.total();
  return offsets;
}

}  // namespace hesscore
